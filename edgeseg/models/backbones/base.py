"""What every backbone is: a module from images to features at strides 2, 4, 8, …"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from torch import Tensor, nn


class Backbone(nn.Module):
    """A classifier without its head.

    Its parameters are declared in the order in which an image passes them, as those of torchvision, timm and mmseg are:
    by that order weights with other names find their place (:mod:`edgeseg.train.transfer`).

    Attributes:
        channels: of the features at strides 2, 4, 8, … in their order; they end at the last stride that is computed.
    """

    channels: tuple[int, ...]

    def forward(self, images: Tensor) -> list[Tensor]:
        """(N, 3, H, W) normalised images to (N, channels, H / stride, W / stride) each."""
        raise NotImplementedError


class Step(NamedTuple):
    """One module of a :class:`Chain`.

    Attributes:
        make: makes it of the channels before it.
        channels: behind it.
        stride: of it.
    """

    make: Callable[[int], nn.Module]
    channels: int
    stride: int


class Chain(Backbone):
    """A backbone of modules one behind the other, whose features are the last ones at each stride.

    Args:
        stem: the first module, of stride 2.
        channels: behind it.
        steps: the others.
        stride: of the last features; what would halve them further is not made.
        epsilon, momentum: of batch normalisation.
    """

    def __init__(
        self,
        stem: nn.Module,
        channels: int,
        steps: Iterable[Step],
        stride: int,
        *,
        epsilon: float = 1e-5,
        momentum: float = 0.1,
    ) -> None:
        super().__init__()
        self.stem = stem
        modules: list[nn.Module] = []
        reached = 2
        last = {reached: (-1, channels)}
        for step in steps:
            reached *= step.stride
            if reached > stride:
                break
            modules.append(step.make(channels))
            channels = step.channels
            last[reached] = len(modules) - 1, channels
        self.steps = nn.ModuleList(modules)
        self._last = frozenset(index for index, _ in last.values())
        self.channels = tuple(channels for _, channels in last.values())
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eps, module.momentum = epsilon, momentum

    def forward(self, images: Tensor) -> list[Tensor]:
        """See :meth:`Backbone.forward`."""
        x: Tensor = self.stem(images)
        features = [x] if -1 in self._last else []
        for index, step in enumerate(self.steps):
            x = step(x)
            if index in self._last:
                features.append(x)
        return features
