"""The backbones of EdgeNet: EfficientNet-Lite0, with less where a CPU in INT8 takes long and learns little.

What costs there is measured in docs/edgenet.md: all that happens at stride 2, and depthwise convolutions whose channels
are no multiple of 16. So `edge_small` and `edge_nano` come to stride 4 by two convolutions, the second a fused inverted
residual (EfficientNet-EdgeTPU, Gupta 2020, arXiv:2003.02838). From there on they have fewer hidden channels than Lite0,
and kernels of 3x3 where those of 5x5 are slowest.
"""

from __future__ import annotations

from torch import nn

from edgeseg.errors import InputError
from edgeseg.models.backbones.base import Chain, Place, Step
from edgeseg.models.backbones.efficientnet_lite import STAGES
from edgeseg.models.backbones.inverted_residual import InvertedResidual, relu6, stage
from edgeseg.models.blocks import conv_bn

_SMALL = (
    *((144, 40, 2, 5), (240, 40, 1, 3), (240, 80, 2, 3), (480, 80, 1, 3), (480, 80, 1, 3)),
    *((480, 112, 1, 5), (480, 112, 1, 5), (480, 112, 1, 5)),
)
_NANO = ((48, 40, 2, 3), (80, 40, 1, 3), (80, 80, 2, 3), (160, 80, 1, 3), (160, 80, 1, 3), (160, 112, 1, 3))
"""Hidden channels, channels, stride, kernel of the inverted residuals behind stride 4, Lite0's blocks from its 3rd."""


def edge_base(stride: int, output_stride: int) -> Chain:
    """EfficientNet-Lite0 without its last stage, a fifth of it: 0.70 M parameters to stride 16, 2.35 M to 32."""
    steps = (stage(*row) for row in STAGES[:-1])
    stem = conv_bn(3, 32, 3, 2, activation=relu6)
    return Chain(stem, 32, steps, stride, output_stride=output_stride, epsilon=1e-3, momentum=0.01)


def edge_small(stride: int, output_stride: int) -> Chain:
    """0.60 M parameters; it ends at stride 16.

    Raises:
        InputError: a larger one.
    """
    return _edge(64, _SMALL, stride, output_stride)


def edge_nano(stride: int, output_stride: int) -> Chain:
    """0.12 M parameters; it ends at stride 16.

    Raises:
        InputError: a larger one.
    """
    return _edge(32, _NANO, stride, output_stride)


def _edge(hidden: int, rows: tuple[tuple[int, int, int, int], ...], stride: int, output_stride: int) -> Chain:
    if stride > 16:
        raise InputError("edge_small and edge_nano end at stride 16", "Use edge_base, or another backbone")
    steps = (_fused(hidden, 24), *(_residual(*row) for row in rows))
    stem = conv_bn(3, 16, 3, 2, activation=relu6)
    return Chain(stem, 16, steps, stride, output_stride=output_stride, epsilon=1e-3, momentum=0.01)


def _fused(hidden: int, channels: int) -> Step:
    def make(place: Place) -> nn.Module:
        expand = conv_bn(place.in_channels, hidden, 3, place.stride, dilation=place.dilation, activation=relu6)
        return nn.Sequential(expand, conv_bn(hidden, channels, 1))

    return Step(make, channels, 2)


def _residual(hidden: int, channels: int, stride: int, kernel: int) -> Step:
    def make(place: Place) -> nn.Module:
        return InvertedResidual(
            place.in_channels, channels, hidden, kernel=kernel, stride=place.stride, dilation=place.dilation
        )

    return Step(make, channels, stride)
