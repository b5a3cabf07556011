"""MobileNetV2 (Sandler, Howard, Zhu, Zhmoginov, Chen, CVPR 2018, arXiv:1801.04381, Table 2), as in torchvision."""

from __future__ import annotations

from edgeseg.models.backbones.base import Chain
from edgeseg.models.backbones.inverted_residual import relu6, stage, widening
from edgeseg.models.blocks import conv_bn

_STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
"""Expansion, channels, blocks, stride of the first."""


def mobilenet_v2(stride: int, output_stride: int) -> Chain:
    """MobileNetV2 that ends at stride 16 or 32: 0.54 or 1.81 million parameters."""
    stem = conv_bn(3, 32, 3, 2, activation=relu6)
    wide = widening(1280)
    return Chain(stem, 32, (stage(*row) for row in _STAGES), stride, output_stride=output_stride, widening=wide)
