"""EfficientNet-Lite0 (Tan, Le, "EfficientNet", ICML 2019, arXiv:1905.11946, in the form of Google's tpu repository).

Without squeeze-and-excitation and with ReLU6, so that it survives INT8. Its weights were trained where strided
convolutions pad below and to the right (TensorFlow's SAME). Here they pad above and to the left, as PyTorch does: that
is the same network on a picture that is shifted by 15 pixels, up to its borders.
"""

from __future__ import annotations

from edgeseg.models.backbones.base import Chain
from edgeseg.models.backbones.inverted_residual import relu6, stage, widening
from edgeseg.models.blocks import conv_bn

STAGES = (
    *((1, 16, 1, 1, 3), (6, 24, 2, 2, 3), (6, 40, 2, 2, 5), (6, 80, 3, 2, 3), (6, 112, 3, 1, 5)),
    *((6, 192, 4, 2, 5), (6, 320, 1, 1, 3)),
)
"""Expansion, channels, blocks, stride of the first, kernel."""


def efficientnet_lite0(stride: int, output_stride: int) -> Chain:
    """EfficientNet-Lite0 that ends at stride 16 or 32: 0.70 or 2.96 million parameters."""
    stem = conv_bn(3, 32, 3, 2, activation=relu6)
    steps = (stage(*row) for row in STAGES)
    wide = widening(1280)
    return Chain(stem, 32, steps, stride, output_stride=output_stride, epsilon=1e-3, momentum=0.01, widening=wide)
