"""HRNet-W18-small, versions 1 and 2 (Wang et al., "Deep High-Resolution Representation Learning for Visual
Recognition", TPAMI 2020, arXiv:1908.07919), as in the authors' HRNet-Image-Classification and in timm.

Streams of all resolutions run side by side from stride 4 on, and exchange what they know again and again (Fig. 2). Of
the two small forms, which are the repository's and not in the paper, version 1 has one exchange in each stage.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from edgeseg.errors import InputError
from edgeseg.models.backbones.base import Backbone, Place
from edgeseg.models.backbones.resnet import Residual
from edgeseg.models.blocks import conv_bn, conv_bn_relu, resize

_STEM = 64
_BLOCKS = 2
"""Residual blocks of each stream between two exchanges."""


class Exchange(nn.Module):
    """Every stream becomes the sum of all, each brought to its size (Fig. 3): the multi-resolution convolution.

    Finer streams come down by convolutions of stride 2, coarser ones up by a 1x1 convolution and bilinear resizing.
    """

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        self.sums = nn.ModuleList(_Sum(channels, target) for target in range(len(channels)))

    def forward(self, streams: list[Tensor]) -> list[Tensor]:
        """(N, channels, H, W) of each stream to the same shapes."""
        return [total(streams) for total in self.sums]


class _Sum(nn.Module):
    """One of the streams behind an exchange."""

    def __init__(self, channels: Sequence[int], target: int) -> None:
        super().__init__()
        self.target = target
        self.paths = nn.ModuleList(self._path(channels, source, target) for source in range(len(channels)))
        self.relu = nn.ReLU(inplace=True)

    @staticmethod
    def _path(channels: Sequence[int], source: int, target: int) -> nn.Module:
        if source == target:
            return nn.Identity()
        if source > target:
            return conv_bn(channels[source], channels[target], 1)
        halvings = [conv_bn_relu(channels[source], channels[source], 3, 2) for _ in range(target - source - 1)]
        return nn.Sequential(*halvings, conv_bn(channels[source], channels[target], 3, 2))

    def forward(self, streams: list[Tensor]) -> Tensor:
        """(N, channels, H, W) of each stream to the shape of the target."""
        total = streams[self.target]
        size = (total.shape[2], total.shape[3])
        for source, (path, stream) in enumerate(zip(self.paths, streams, strict=True)):
            if source != self.target:
                y = path(stream)
                total = total + (resize(y, size) if source > self.target else y)
        summed: Tensor = self.relu(total)
        return summed


class _Step(nn.Module):
    """Residual blocks of each stream, then an exchange."""

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        self.branches = nn.ModuleList(nn.Sequential(*(_residual(c, c, 1) for _ in range(_BLOCKS))) for c in channels)
        self.exchange = Exchange(channels)

    def forward(self, streams: list[Tensor]) -> list[Tensor]:
        """(N, channels, H, W) of each stream to the same shapes."""
        refined: list[Tensor] = self.exchange([branch(x) for branch, x in zip(self.branches, streams, strict=True)])
        return refined


class Stage(nn.Module):
    """One stream more than before, made of the last; then residual blocks and an exchange, several times.

    Args:
        before: channels of the streams that come in.
        channels: of those that go out.
        exchanges: how often.
    """

    def __init__(self, before: Sequence[int], channels: Sequence[int], exchanges: int) -> None:
        super().__init__()
        kept = [
            nn.Identity() if was == now else conv_bn_relu(was, now)
            for was, now in zip(before, channels, strict=False)  # the new one has none before it
        ]
        self.transitions = nn.ModuleList([*kept, conv_bn_relu(before[-1], channels[-1], 3, 2)])
        self.steps = nn.Sequential(*(_Step(channels) for _ in range(exchanges)))

    def forward(self, streams: list[Tensor]) -> list[Tensor]:
        """The streams, and one more at half the size of the last."""
        sources = [*streams, streams[-1]]
        more: list[Tensor] = self.steps(
            [transition(x) for transition, x in zip(self.transitions, sources, strict=True)]
        )
        return more


class HRNet(Backbone):
    """Features at stride 2 are those of the stem, from stride 4 on those of the streams.

    Args:
        width: channels at stride 4; twice as many at each stream after that.
        bottlenecks: channels inside those of the first stage, and how many there are.
        exchanges: in each of the stages 2, 3, 4.
        stride: of the coarsest stream; stages that would have a coarser one are left out.
    """

    def __init__(self, width: int, bottlenecks: tuple[int, int], exchanges: tuple[int, ...], stride: int) -> None:
        super().__init__()
        self.stem = conv_bn_relu(3, _STEM, 3, 2)
        self.stem4 = conv_bn_relu(_STEM, _STEM, 3, 2)
        inside, count = bottlenecks
        outside = 4 * inside
        self.stage1 = nn.Sequential(*(_residual(outside if n else _STEM, inside, 4) for n in range(count)))
        widths = tuple(width << index for index in range(stride.bit_length() - 2))
        self.stages = nn.ModuleList()
        before: tuple[int, ...] = (outside,)
        for streams, times in zip(range(2, len(widths) + 1), exchanges, strict=False):
            self.stages.append(Stage(before, widths[:streams], times))
            before = widths[:streams]
        self.channels = (_STEM, *widths)

    def forward(self, images: Tensor) -> list[Tensor]:
        """See :meth:`Backbone.forward`."""
        at2 = self.stem(images)
        streams = [self.stage1(self.stem4(at2))]
        for stage in self.stages:
            streams = stage(streams)
        return [at2, *streams]


def _residual(in_channels: int, channels: int, expansion: int) -> Residual:
    return Residual(Place(in_channels, 1, 1, 1), channels, expansion)


def hrnet_w18_small(stride: int, output_stride: int) -> HRNet:
    """HRNet-W18-small v1 that ends at stride 16 or 32: 0.36 or 1.48 million parameters. No other output stride."""
    _check(stride, output_stride)
    return HRNet(16, (32, 1), (1, 1, 1), stride)


def hrnet_w18_small_v2(stride: int, output_stride: int) -> HRNet:
    """HRNet-W18-small v2 that ends at stride 16 or 32: 1.13 or 3.86 million parameters. No other output stride."""
    _check(stride, output_stride)
    return HRNet(18, (64, 2), (1, 3, 2), stride)


def _check(stride: int, output_stride: int) -> None:
    if output_stride < stride:
        raise InputError(
            f"HRNet has no output stride {output_stride}: its finest stream stays at stride 4", "Leave it out"
        )
