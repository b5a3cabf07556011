"""What a network begins with instead of random weights, and a report of what was taken from where."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from torch import Tensor, nn

from edgeseg.errors import ModelError
from edgeseg.models.backbones.registry import BACKBONES
from edgeseg.models.checkpoint import ForeignFileError, load_network
from edgeseg.models.network import Network
from edgeseg.spec import ModelSpec
from edgeseg.train.pretrained import Weights, pretrained, read_weights

_WRAPPERS = ("module.", "model.", "backbone.", "encoder.", "net.", "features.")
"""What other trainers put before the names of a backbone."""

_FEW = 20
"""One tensor of another trainer's in so many may be none that a network has."""

_Found = tuple[str, Tensor]
"""The name that a tensor has in its file, and the tensor."""


@dataclass(frozen=True)
class Transfer:
    """What :func:`start_from` did.

    Attributes:
        origin: what to call the weights.
        taken: names of the network's tensors that have them.
        fresh: names of those that begin with random numbers.
        left: names in the file that nothing was taken from.
        mean, std: of (R, G, B) in 0..1, that the weights were trained with.
        spec: of a checkpoint of edgeseg that was the same network; None of all else.
    """

    origin: str
    taken: tuple[str, ...]
    fresh: tuple[str, ...]
    left: tuple[str, ...]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    spec: ModelSpec | None = None

    def __str__(self) -> str:
        parts = [f"{len(self.taken)} tensors are taken from {self.origin}"]
        if self.fresh:
            rooms = dict.fromkeys(name.partition(".")[0] for name in self.fresh)
            parts.append(f"{len(self.fresh)} begin fresh ({', '.join(rooms)})")
        if self.left:
            parts.append(f"{len(self.left)} of it are left")
        return ", ".join(parts)


def start_from(network: Network, source: str, num_classes: int) -> Transfer:
    """Give a network the weights of a file, or of ImageNet to its backbone.

    From a checkpoint of edgeseg all is taken whose name and shape agree. Another trainer's may hold the whole network,
    of other classes also, whose classifier then begins fresh; or else the network's backbone. Its tensors are taken by
    name, or else by their order, in which every shape must agree.

    Args:
        network: to be changed.
        source: the name of a backbone, or a path.
        num_classes: of the network.

    Raises:
        ModelError: no such file, or weights of another network, or none that are finite numbers.
        MissingDependencyError: the package that has the weights is not installed.
    """
    if source in BACKBONES:
        _check_backbone(network, source)
        return _into_backbone(network, pretrained(source))
    path = Path(source)
    if path.suffix in (".safetensors", ".npz"):
        return _from_another_trainer(network, read_weights(path), num_classes)
    try:
        trained, spec = load_network(path)
    except ForeignFileError:
        return _from_another_trainer(network, read_weights(path), num_classes)
    weights = Weights(trained.state_dict(), path.name, spec.mean, spec.std)
    if type(trained) is type(network):
        return replace(_by_name(network, weights), spec=spec)
    if hasattr(trained, "backbone") and hasattr(network, "backbone"):
        return _into_backbone(network, weights)
    raise ModelError(
        f"{path} is a {spec.network}, which this network cannot start from", f"Set network to {spec.network}"
    )


def _check_backbone(network: Network, name: str) -> None:
    own = network.backbone_name
    if own != name:
        what = f"its backbone is {own}" if own else "it has no backbone of that name"
        raise ModelError(f"the network cannot start from {name}: {what}", "Set network edgenet, or its backbone")


def _from_another_trainer(network: Network, weights: Weights, num_classes: int) -> Transfer:
    """The whole network where the file has it, else its backbone, if it has one."""
    wanted, classifier = _floats(network), _classifier(network, num_classes)
    try:
        places = _places("network", wanted, _unwrapped(weights.tensors), weights.origin, classifier)
    except ModelError:
        if hasattr(network, "backbone"):
            return _into_backbone(network, weights)
        raise
    return _put(network, weights, places)


def _into_backbone(network: Network, weights: Weights) -> Transfer:
    prefix = next(name for name, module in network.named_modules() if module is network.backbone)
    wanted = {name: tensor for name, tensor in _floats(network).items() if name.startswith(f"{prefix}.")}
    given = {f"{prefix}.{short}": found for short, found in _stripped(weights.tensors).items()}
    return _put(network, weights, _places("backbone", wanted, given, weights.origin))


def _by_name(network: Network, weights: Weights) -> Transfer:
    own = network.state_dict()
    same = (name for name, value in weights.tensors.items() if name in own and value.shape == own[name].shape)
    return _put(network, weights, {name: name for name in same})


def _floats(network: Network) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in network.state_dict().items() if tensor.is_floating_point()}


def _classifier(network: Network, num_classes: int) -> frozenset[str]:
    """The tensors of the layers that have a channel for each class."""
    layers = (
        (name, module)
        for name, module in network.named_modules()
        if (isinstance(module, nn.Conv2d | nn.ConvTranspose2d) and module.out_channels == num_classes)
        or (isinstance(module, nn.BatchNorm2d) and module.num_features == num_classes)
    )
    return frozenset(f"{name}.{key}" for name, module in layers for key in module.state_dict())


def _unwrapped(tensors: Mapping[str, Tensor]) -> dict[str, _Found]:
    """Tensors by their names without what stands before all of them, each with the name it had."""
    unwrapped = {name: (name, value) for name, value in tensors.items()}
    while prefix := next((one for one in _WRAPPERS if all(name.startswith(one) for name in unwrapped)), None):
        unwrapped = {name.removeprefix(prefix): found for name, found in unwrapped.items()}
    return unwrapped


def _stripped(tensors: Mapping[str, Tensor]) -> dict[str, _Found]:
    """The backbone's tensors by their own names, each with the name it had; all, where none is marked as such."""
    marked = {name: value for name, value in tensors.items() if "backbone." in name or name.startswith("encoder.")}
    stripped: dict[str, _Found] = {}
    for name, value in (marked or tensors).items():
        short = name
        while (prefix := next((one for one in _WRAPPERS if short.startswith(one)), None)) is not None:
            short = short.removeprefix(prefix)
        stripped[short] = (name, value)
    return stripped


def _places(
    what: str,
    wanted: Mapping[str, Tensor],
    given: Mapping[str, _Found],
    origin: str,
    classifier: Collection[str] = (),
) -> dict[str, str]:
    """Which of theirs each of ours is: that of the same name, or else the next one of the same shape.

    Few of theirs may lie between, such as a head that was trained and is no longer used, and any number behind.

    Args:
        what: is wanted: a network or a backbone.
        wanted: ours, in the order in which an image passes them.
        given: theirs, in their order.
        origin: what to call them.
        classifier: those of ours that may have been of other classes, and are then left out.

    Raises:
        ModelError: one of ours is not among theirs.
    """
    if all(name in given and _fits(own, given[name][1], name in classifier) for name, own in wanted.items()):
        return {name: given[name][0] for name, own in wanted.items() if given[name][1].shape == own.shape}
    places: dict[str, str] = {}
    theirs = list(given.values())
    position = between = 0
    for name, own in wanted.items():
        rest = range(position, len(theirs))
        place = next((index for index in rest if _fits(own, theirs[index][1], name in classifier)), len(theirs))
        between += place - position
        if place == len(theirs) or between * _FEW > len(wanted):
            reason = f"it holds {len(theirs)} tensors of {len(wanted)}"
            if rest:
                their_name, value = theirs[position]
                reason = f"its {their_name:.80} is {tuple(value.shape)} where {name} is {tuple(own.shape)}"
            raise ModelError(f"{origin} is of another {what}: {reason}", f"Pass weights of this {what}")
        their_name, value = theirs[place]
        if value.shape == own.shape:
            places[name] = their_name
        position = place + 1
    return places


def _fits(own: Tensor, value: Tensor, is_classifier: bool) -> bool:
    """Whether the shapes agree; those of a classifier may differ in one number."""
    if own.ndim != value.ndim:
        return False
    return sum(ours != theirs for ours, theirs in zip(own.shape, value.shape, strict=True)) <= is_classifier


def _put(network: Network, weights: Weights, places: Mapping[str, str]) -> Transfer:
    network.load_state_dict({name: weights.tensors[theirs] for name, theirs in places.items()}, strict=False)
    own = _floats(network)
    used = set(places.values())
    return Transfer(
        weights.origin,
        taken=tuple(name for name in own if name in places),
        fresh=tuple(name for name in own if name not in places),
        left=tuple(name for name, value in weights.tensors.items() if name not in used and value.is_floating_point()),
        mean=weights.mean,
        std=weights.std,
    )
