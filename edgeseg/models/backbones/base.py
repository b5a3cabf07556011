"""What every backbone is: a module from images to features at strides 2, 4, 8, …"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from torch import Tensor, nn


class Backbone(nn.Module):
    """A classifier without its head.

    With an output stride its later features keep the size of those at that stride, and convolutions with holes see as
    far as before (Chen 2017, arXiv:1706.05587): the weights are the same.

    Its parameters are declared in the order in which an image passes them, as those of torchvision, timm and mmseg are:
    by that order weights with other names find their place (:mod:`edgeseg.train.transfer`).

    Attributes:
        name: in :data:`edgeseg.models.backbones.registry.BACKBONES`; empty of one that is not among them.
        channels: of the features at strides 2, 4, 8, … in their order; they end at the last stride that is computed.
            Those beyond the output stride are as large as those at it. Transformers begin at stride 4: whoever wants
            features of some strides counts from the end.
    """

    name: str = ""
    channels: tuple[int, ...]

    def forward(self, images: Tensor) -> list[Tensor]:
        """(N, 3, H, W) normalised images to (N, channels, H / stride, W / stride) each."""
        raise NotImplementedError

    def widen(self) -> None:
        """Let the last features pass the 1x1 convolution that the classifier has before its average, if it has one."""


class Place(NamedTuple):
    """Where a module of a :class:`Chain` stands.

    Attributes:
        in_channels: of what comes in.
        stride: that it has to have: its own, or 1 from the chain's output stride on.
        dilation: of its convolutions, which makes up for the strides that were taken away, its own with them.
        dilation_before: the same without its own.
    """

    in_channels: int
    stride: int
    dilation: int
    dilation_before: int


class Step(NamedTuple):
    """One module of a :class:`Chain`.

    Attributes:
        make: makes it for its place.
        channels: behind it.
        stride: of it.
    """

    make: Callable[[Place], nn.Module]
    channels: int
    stride: int


class Chain(Backbone):
    """A backbone of modules one behind the other, whose features are the last ones at each stride.

    Args:
        stem: the first module, of stride 2.
        channels: behind it.
        steps: the others.
        stride: of the last features; what would halve them further is not made.
        output_stride: no features are smaller than at this one.
        epsilon, momentum: of batch normalisation.
        widening: the step that :meth:`widen` appends; None for none.
    """

    def __init__(
        self,
        stem: nn.Module,
        channels: int,
        steps: Iterable[Step],
        stride: int,
        *,
        output_stride: int,
        epsilon: float = 1e-5,
        momentum: float = 0.1,
        widening: Step | None = None,
    ) -> None:
        super().__init__()
        self.stem = stem
        modules: list[nn.Module] = []
        reached, dilation = 2, 1
        last = {reached: (-1, channels)}
        for step in steps:
            reached *= step.stride
            if reached > stride:
                break
            before, dilation = dilation, max(1, reached // output_stride)
            kept = step.stride * before // dilation
            modules.append(step.make(Place(channels, kept, dilation, before)))
            channels = step.channels
            last[reached] = len(modules) - 1, channels
        self.steps = nn.ModuleList(modules)
        self._last = frozenset(index for index, _ in last.values())
        self.channels = tuple(channels for _, channels in last.values())
        self._norm = epsilon, momentum
        self._widening = widening
        self._set_norms()

    def forward(self, images: Tensor) -> list[Tensor]:
        """See :meth:`Backbone.forward`."""
        x: Tensor = self.stem(images)
        features = [x] if -1 in self._last else []
        for index, step in enumerate(self.steps):
            x = step(x)
            if index in self._last:
                features.append(x)
        return features

    def widen(self) -> None:
        """See :meth:`Backbone.widen`."""
        if self._widening is None:
            return
        *before, channels = self.channels
        self._last = self._last - {len(self.steps) - 1} | {len(self.steps)}
        self.steps.append(self._widening.make(Place(channels, 1, 1, 1)))
        self.channels = (*before, self._widening.channels)
        self._widening = None
        self._set_norms()

    def _set_norms(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eps, module.momentum = self._norm
