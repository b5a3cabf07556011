"""What a network begins with instead of random weights, and a report of what was taken from where."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from torch import Tensor

from edgeseg.errors import ModelError
from edgeseg.models.backbones.registry import BACKBONES
from edgeseg.models.checkpoint import ForeignFileError, load_network
from edgeseg.models.network import Network
from edgeseg.spec import ModelSpec
from edgeseg.train.pretrained import Weights, pretrained, read_weights

_WRAPPERS = ("module.", "model.", "backbone.", "encoder.", "net.", "features.")
"""What other trainers put before the names of a backbone."""


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


def start_from(network: Network, source: str) -> Transfer:
    """Give a network the weights of a file, or of ImageNet to its backbone.

    From a checkpoint of edgeseg all is taken whose name and shape agree. Another trainer's is for the backbone: its
    tensors are taken by name, or else by their order, in which every shape must agree.

    Args:
        network: to be changed.
        source: the name of a backbone, or a path.

    Raises:
        ModelError: no such file, or weights of another network, or none that are finite numbers.
        MissingDependencyError: the package that has the weights is not installed.
    """
    if source in BACKBONES:
        _check_backbone(network, source)
        return _into_backbone(network, pretrained(source))
    path = Path(source)
    if path.suffix in (".safetensors", ".npz"):
        return _into_backbone(network, read_weights(path))
    try:
        trained, spec = load_network(path)
    except ForeignFileError:
        return _into_backbone(network, read_weights(path))
    weights = Weights(trained.state_dict(), path.name, spec.mean, spec.std)
    if type(trained) is type(network):
        return replace(_by_name(network, weights), spec=spec)
    if hasattr(trained, "backbone") and hasattr(network, "backbone"):
        return _into_backbone(network, weights)
    raise ModelError(
        f"{path} is a {spec.network}, which this network cannot start from", f"Set network to {spec.network}"
    )


def _check_backbone(network: Network, name: str) -> None:
    own = getattr(network, "backbone_name", None)
    if own != name:
        what = f"its backbone is {own}" if own else "it has no backbone"
        raise ModelError(f"the network cannot start from {name}: {what}", "Set network edgenet, or its backbone")


def _into_backbone(network: Network, weights: Weights) -> Transfer:
    if not hasattr(network, "backbone"):
        raise ModelError(
            f"{weights.origin} has weights for a backbone, which {type(network).__name__} has not", "Choose edgenet"
        )
    backbone = network.backbone
    prefix = next(f"{name}." for name, module in network.named_modules() if module is backbone)
    wanted = {
        f"{prefix}{name}": tensor
        for name, tensor in backbone.state_dict().items()  # type: ignore[union-attr]
        if tensor.is_floating_point()
    }
    given = _stripped(weights.tensors)
    found = {name: name.removeprefix(prefix) for name in wanted if name.removeprefix(prefix) in given}
    if len(found) < len(wanted):
        found = _in_order(wanted, given, weights.origin)
    network.load_state_dict({name: given[theirs][1] for name, theirs in found.items()}, strict=False)
    return _report(network, weights, {name: given[theirs][0] for name, theirs in found.items()})


def _by_name(network: Network, weights: Weights) -> Transfer:
    own = network.state_dict()
    fitting = {name: value for name, value in weights.tensors.items() if name in own and value.shape == own[name].shape}
    network.load_state_dict(fitting, strict=False)
    return _report(network, weights, {name: name for name in fitting})


def _stripped(tensors: Mapping[str, Tensor]) -> dict[str, tuple[str, Tensor]]:
    """The backbone's tensors by their own names, each with the name it had; all, where none is marked as such."""
    marked = {name: value for name, value in tensors.items() if "backbone." in name or name.startswith("encoder.")}
    stripped: dict[str, tuple[str, Tensor]] = {}
    for name, value in (marked or tensors).items():
        short = name
        while (prefix := next((one for one in _WRAPPERS if short.startswith(one)), None)) is not None:
            short = short.removeprefix(prefix)
        stripped[short] = (name, value)
    return stripped


def _in_order(wanted: Mapping[str, Tensor], given: Mapping[str, tuple[str, Tensor]], origin: str) -> dict[str, str]:
    """Which of theirs each of ours is: the n-th is the n-th, and what follows is of a head that is not wanted."""
    pairs = list(zip(wanted, given, strict=False))
    for ours, theirs in pairs:
        if wanted[ours].shape != given[theirs][1].shape:
            raise ModelError(
                f"{origin} is of another network: its {theirs:.80} is {tuple(given[theirs][1].shape)} where "
                f"{ours} is {tuple(wanted[ours].shape)}",
                "Pass weights of this backbone",
            )
    if len(given) < len(wanted):
        raise ModelError(
            f"{origin} holds {len(given)} tensors where the backbone has {len(wanted)}", "Pass weights of this backbone"
        )
    return dict(pairs)


def _report(network: Network, weights: Weights, taken: Mapping[str, str]) -> Transfer:
    own = [name for name, tensor in network.state_dict().items() if tensor.is_floating_point()]
    fresh = tuple(name for name in own if name not in taken)
    used = set(taken.values())
    left = tuple(name for name, value in weights.tensors.items() if name not in used and value.is_floating_point())
    taken_floats = tuple(name for name in own if name in taken)
    return Transfer(weights.origin, taken_floats, fresh, left, weights.mean, weights.std)
