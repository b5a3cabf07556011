"""MobileNetV3 (Howard et al., "Searching for MobileNetV3", ICCV 2019, arXiv:1905.02244, Tables 1 and 2), as torchvision
builds it. Hard swish and squeeze-and-excitation lose accuracy in INT8 that the other backbones keep.
"""

from __future__ import annotations

from torch import nn

from edgeseg.models.backbones.base import Chain, Place, Step
from edgeseg.models.backbones.inverted_residual import InvertedResidual, widening
from edgeseg.models.blocks import SqueezeExcitation, conv_bn

_Row = tuple[int, int, int, bool, bool, int]

_LARGE: tuple[_Row, ...] = (
    (3, 16, 16, False, False, 1),
    (3, 64, 24, False, False, 2),
    (3, 72, 24, False, False, 1),
    (5, 72, 40, True, False, 2),
    (5, 120, 40, True, False, 1),
    (5, 120, 40, True, False, 1),
    (3, 240, 80, False, True, 2),
    (3, 200, 80, False, True, 1),
    (3, 184, 80, False, True, 1),
    (3, 184, 80, False, True, 1),
    (3, 480, 112, True, True, 1),
    (3, 672, 112, True, True, 1),
    (5, 672, 160, True, True, 2),
    (5, 960, 160, True, True, 1),
    (5, 960, 160, True, True, 1),
)
_SMALL: tuple[_Row, ...] = (
    (3, 16, 16, True, False, 2),
    (3, 72, 24, False, False, 2),
    (3, 88, 24, False, False, 1),
    (5, 96, 40, True, True, 2),
    (5, 240, 40, True, True, 1),
    (5, 240, 40, True, True, 1),
    (5, 120, 48, True, True, 1),
    (5, 144, 48, True, True, 1),
    (5, 288, 96, True, True, 2),
    (5, 576, 96, True, True, 1),
    (5, 576, 96, True, True, 1),
)
"""Kernel, channels inside, channels outside, squeeze-and-excitation, hard swish, stride."""


def mobilenet_v3_large(stride: int, output_stride: int) -> Chain:
    """MobileNetV3-Large that ends at stride 16 or 32: 0.79 or 2.82 million parameters."""
    return _chain(_LARGE, stride, output_stride)


def mobilenet_v3_small(stride: int, output_stride: int) -> Chain:
    """MobileNetV3-Small that ends at stride 16 or 32: 0.19 or 0.87 million parameters."""
    return _chain(_SMALL, stride, output_stride)


def _chain(rows: tuple[_Row, ...], stride: int, output_stride: int) -> Chain:
    stem = conv_bn(3, 16, 3, 2, activation=_hard_swish)
    steps = map(_step, rows)
    _, _, channels, *_ = rows[-1]
    wide = widening(6 * channels, _hard_swish)
    return Chain(stem, 16, steps, stride, output_stride=output_stride, epsilon=1e-3, momentum=0.01, widening=wide)


def _step(row: _Row) -> Step:
    kernel, hidden, channels, squeezes, swishes, stride = row

    def make(place: Place) -> nn.Module:
        return InvertedResidual(
            place.in_channels,
            channels,
            hidden,
            kernel=kernel,
            stride=place.stride,
            dilation=place.dilation,
            activation=_hard_swish if swishes else _relu,
            squeeze=_squeeze if squeezes else None,
        )

    return Step(make, channels, stride)


def _squeeze(channels: int) -> nn.Module:
    squeezed = max(8, int(channels / 4 + 4) // 8 * 8)
    squeezed += 8 if squeezed < 0.9 * channels / 4 else 0
    return SqueezeExcitation(channels, squeezed, nn.Hardsigmoid)


def _relu() -> nn.Module:
    return nn.ReLU(inplace=True)


def _hard_swish() -> nn.Module:
    return nn.Hardswish(inplace=True)
