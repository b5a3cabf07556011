"""The block of MobileNetV2 and what followed: expand 1x1, depthwise, project 1x1 (Sandler 2018, arXiv:1801.04381)."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from edgeseg.models.backbones.base import Place, Step
from edgeseg.models.blocks import conv_bn


class InvertedResidual(nn.Module):
    """Wide inside, narrow outside; added to its input where their shapes agree.

    Args:
        in_channels, out_channels: outside.
        hidden: channels inside; the first convolution is left out where they are ``in_channels``.
        kernel: pixels across the depthwise convolution.
        stride, dilation: of the depthwise convolution.
        activation: makes the layer after each of the first two convolutions; None for ReLU6.
        squeeze: makes what weighs the channels inside, of their number; None for nothing.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        hidden: int,
        *,
        kernel: int = 3,
        stride: int = 1,
        dilation: int = 1,
        activation: Callable[[], nn.Module] | None = None,
        squeeze: Callable[[int], nn.Module] | None = None,
    ) -> None:
        super().__init__()
        activation = activation or relu6
        self.residual = stride == 1 and in_channels == out_channels
        layers: list[nn.Module] = []
        if hidden != in_channels:
            layers.append(conv_bn(in_channels, hidden, 1, activation=activation))
        layers.append(conv_bn(hidden, hidden, kernel, stride, groups=hidden, dilation=dilation, activation=activation))
        if squeeze is not None:
            layers.append(squeeze(hidden))
        layers.append(conv_bn(hidden, out_channels, 1))
        self.block = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in, H, W) to (N, out, H / stride, W / stride)."""
        y: Tensor = self.block(x)
        return x + y if self.residual else y


def stage(expansion: int, channels: int, repeats: int, stride: int, kernel: int = 3) -> Step:
    """Inverted residuals with ReLU6, of which the first changes channels and stride: a row of the papers' tables."""

    def make(place: Place) -> nn.Module:
        blocks = []
        for index in range(repeats):
            before, step = (place.in_channels, place.stride) if index == 0 else (channels, 1)
            blocks.append(
                InvertedResidual(
                    before, channels, before * expansion, kernel=kernel, stride=step, dilation=place.dilation
                )
            )
        return nn.Sequential(*blocks)

    return Step(make, channels, stride)


def widening(channels: int, activation: Callable[[], nn.Module] | None = None) -> Step:
    """The 1x1 convolution behind the last inverted residual; with ReLU6, or what ``activation`` makes."""
    return Step(lambda place: conv_bn(place.in_channels, channels, 1, activation=activation or relu6), channels, 1)


def relu6() -> nn.Module:
    """ReLU6, in place."""
    return nn.ReLU6(inplace=True)
