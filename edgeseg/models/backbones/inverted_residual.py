"""The block of MobileNetV2 and what followed: expand 1x1, depthwise, project 1x1 (Sandler 2018, arXiv:1801.04381)."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from edgeseg.models.blocks import conv_bn


class InvertedResidual(nn.Module):
    """Wide inside, narrow outside; added to its input where their shapes agree.

    Args:
        in_channels, out_channels: outside.
        hidden: channels inside; the first convolution is left out where they are ``in_channels``.
        kernel: pixels across the depthwise convolution.
        stride: of the depthwise convolution.
        activation: makes the layer after each of the first two convolutions.
        squeeze: makes what weighs the channels inside, of their number; None for nothing.
        dilation: of the depthwise convolution.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        hidden: int,
        *,
        kernel: int = 3,
        stride: int = 1,
        activation: Callable[[], nn.Module] | None = None,
        squeeze: Callable[[int], nn.Module] | None = None,
        dilation: int = 1,
    ) -> None:
        super().__init__()
        activation = activation or (lambda: nn.ReLU6(inplace=True))
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
