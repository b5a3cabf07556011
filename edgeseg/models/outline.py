"""The outline of a network: which parts it has, how large what they give is, and who takes what from whom.

It is what really passes through the network, not what its code says: one pass of an image of shapes alone, on the meta
device, where hooks see each module and a dispatch mode each operation between them. So a skip is found however it is
written: as an argument, a sum, a concatenation or the indices of a pooling.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import log2
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from edgeseg.models.network import Network
from edgeseg.models.trace import shapes_of, tensors_in

SIZE = (512, 1024)
"""Of the image, where nothing is said: (height, width), whose halves are whole for long."""


@dataclass(frozen=True)
class Part:
    """A box of the outline.

    Attributes:
        name: of the module, with dots; of the ends ``image`` and ``logits``.
        kind: the module's class.
        channels: of what it gives.
        size: (height, width) of what it gives; (1, 1) of what is of the whole picture.
        sources: the parts whose output it takes, by their place in the outline.
        repeats: how many modules of this kind stand here one behind the other.
    """

    name: str
    kind: str
    channels: int
    size: tuple[int, int]
    sources: tuple[int, ...]
    repeats: int = 1


def outline_of(network: Network, input_size: tuple[int, int] = SIZE) -> list[Part]:
    """The parts in the order in which they run: first the image, last the logits.

    A part is a module that gives one tensor, of at most about twice or half the resolution of what it takes. Others are
    opened and their own modules looked at, with two exceptions: what takes several resolutions and gives several is a
    part for each of those that it gives; and what has no kernel, such as a pooling or a normalisation, is none. Nor is
    what leads to losses of the training and not to the logits.

    Args:
        network: whose weights play no part; it is left as it is.
        input_size: (height, width) of the image, width not equal to height, that the network can take.

    Raises:
        InputError: the network cannot take images of that size.
    """
    network.check_size(input_size)
    shapes = shapes_of(network)
    image = torch.zeros(1, 3, *input_size, device="meta")
    with torch.no_grad():
        tracer = _Tracer(_closed(shapes, image), image)
        handles = list(tracer.watch(shapes))
        with tracer:
            logits = shapes(image)
        for handle in handles:
            handle.remove()
    parts = [*tracer.parts, Part("logits", "", *tracer.shape(logits), sources=tracer.origins(logits))]
    return _joined(_leading_to_the_end(parts))


def _shape_of(tensor: Tensor, input_size: tuple[int, int]) -> tuple[int, tuple[int, int]]:
    """Channels and (height, width); (1, 1) of what has no place in the picture.

    Whether channels come first or last is told by the proportions, which are the image's but for a pixel of rounding.
    """

    def fits(height: int, width: int) -> bool:
        return abs(height * input_size[1] - width * input_size[0]) <= max(input_size)

    if tensor.dim() != 4:
        return (tensor.shape[1] if tensor.dim() > 1 else 1), (1, 1)
    _, first, second, third = tensor.shape
    if fits(first, second) and not fits(second, third):
        return third, (first, second)
    return first, (second, third)


def _closed(network: nn.Module, image: Tensor) -> set[str]:
    """The names of the modules that are not opened."""
    input_size = (image.shape[2], image.shape[3])
    opened: set[str] = set()
    called: set[str] = set()

    def levels(value: Any) -> list[float]:
        sizes = [_shape_of(t, input_size)[1] for t in tensors_in(value) if t.is_floating_point()]
        return [log2(input_size[0] / height) for height, width in sizes if width > 1]

    def look(name: str, took: Any, gave: Any) -> None:
        called.add(name)
        before, after = levels(took), levels(gave)
        if len(after) > 1:
            far = len(before) < 2
        else:
            far = bool(before and after) and min(abs(after[0] - level) for level in before) > 1.2
        if far:
            opened.add(name)

    modules = {name: module for name, module in network.named_modules() if name}
    handles = [
        module.register_forward_hook(
            lambda _, args, kwargs, gave, name=name: look(name, (args, kwargs), gave), with_kwargs=True
        )
        for name, module in modules.items()
    ]
    network(image)
    for handle in handles:
        handle.remove()
    opened |= {name for name in modules if name not in called}
    opened -= {name for name, module in modules.items() if not any(module.children())}

    def all_open_above(name: str) -> bool:
        above = name.rpartition(".")[0]
        return not above or (above in opened and all_open_above(above))

    return {n for n, m in modules.items() if n not in opened and all_open_above(n) and _has_kernel(m)}


def _has_kernel(module: nn.Module) -> bool:
    return any(parameter.dim() > 1 for parameter in module.parameters())


class _Tracer(TorchDispatchMode):  # type: ignore[no-untyped-call]  # PyTorch has no types for it
    """Makes the parts, and knows of every tensor which of them it comes from."""

    def __init__(self, closed: set[str], image: Tensor) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.closed = closed
        self.input_size = (image.shape[2], image.shape[3])
        self.parts = [Part("image", "", 3, self.input_size, ())]
        self._known: dict[int, tuple[int, ...]] = {id(image): (0,)}
        self._kept: list[Tensor] = [image]  # so that no id is given twice

    def shape(self, tensor: Tensor) -> tuple[int, tuple[int, int]]:
        """Channels and (height, width)."""
        return _shape_of(tensor, self.input_size)

    def origins(self, value: Any) -> tuple[int, ...]:
        """The parts that the tensors in it come from."""
        return tuple(sorted({part for tensor in tensors_in(value) for part in self._known.get(id(tensor), ())}))

    def watch(self, network: nn.Module) -> Iterator[Any]:
        """Hooks on what is not opened."""
        taken: list[tuple[int, ...]] = []

        def before(_: nn.Module, args: Any, kwargs: Any) -> None:
            taken.append(self.origins((args, kwargs)))

        for name, module in network.named_modules():
            if name in self.closed:
                yield module.register_forward_pre_hook(before, with_kwargs=True)
                yield module.register_forward_hook(
                    lambda module, _, gave, name=name: self._add(name, module, taken.pop(), gave)
                )

    def _add(self, name: str, module: nn.Module, sources: tuple[int, ...], gave: Any) -> None:
        tensors = tensors_in(gave)
        kind = type(module).__name__
        features = [tensor for tensor in tensors if tensor.is_floating_point()]
        spatial = [tensor for tensor in features if self.shape(tensor)[1][1] > 1] or features[:1]
        for tensor in tensors:  # indices and what is of the whole picture come with the first
            self._note(tensor, (len(self.parts),))
        for tensor in spatial:
            self._note(tensor, (len(self.parts),))
            self.parts.append(Part(name, kind, *self.shape(tensor), sources))

    def _note(self, tensor: Tensor, origins: tuple[int, ...]) -> None:
        self._known[id(tensor)] = origins
        self._kept.append(tensor)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """What an operation makes comes from whatever its arguments come from."""
        kwargs = kwargs or {}
        made = func(*args, **kwargs)
        origins = self.origins((args, kwargs))
        for tensor in tensors_in(made):
            self._note(tensor, origins)
        return made


def _leading_to_the_end(parts: list[Part]) -> list[Part]:
    """Those that the last one needs."""
    needed = {len(parts) - 1}
    for index in range(len(parts) - 1, -1, -1):
        if index in needed:
            needed.update(parts[index].sources)
    place = {index: new for new, index in enumerate(sorted(needed))}
    return [replace(parts[index], sources=tuple(place[s] for s in parts[index].sources)) for index in sorted(needed)]


def _joined(parts: list[Part]) -> list[Part]:
    """With one part for several of a kind that stand in a row and change neither size nor channels."""
    takers = [sum(index in part.sources for part in parts) for index in range(len(parts))]
    place: list[int] = []
    joined: list[Part] = []
    for index, part in enumerate(parts):
        sources = tuple(sorted({place[source] for source in part.sources}))
        last = joined[-1] if joined else None
        follows = last is not None and part.sources == (index - 1,) and takers[index - 1] == 1
        if last is not None and follows and _alike(last, part):
            joined[-1] = replace(last, repeats=last.repeats + 1)
        else:
            joined.append(replace(part, sources=sources))
        place.append(len(joined) - 1)
    return joined


def _alike(one: Part, other: Part) -> bool:
    same_room = one.name.rpartition(".")[0] == other.name.rpartition(".")[0] != ""
    return same_room and (one.kind, one.channels, one.size) == (other.kind, other.channels, other.size)
