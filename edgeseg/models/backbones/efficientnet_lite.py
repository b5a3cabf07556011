"""EfficientNet-Lite0 (Tan, Le, "EfficientNet", ICML 2019, arXiv:1905.11946, in the form of Google's tpu repository).

Without squeeze-and-excitation and with ReLU6, so that it survives INT8. Its weights were trained where strided
convolutions pad below and to the right (TensorFlow's SAME). Here they pad above and to the left, as PyTorch does: that
is the same network on a picture that is shifted by 15 pixels, up to its borders.
"""

from __future__ import annotations

from torch import Tensor, nn

from edgeseg.models.backbones.base import Backbone
from edgeseg.models.backbones.inverted_residual import InvertedResidual
from edgeseg.models.blocks import conv_bn

_STAGES = ((1, 16, 1, 1, 3), (6, 24, 2, 2, 3), (6, 40, 2, 2, 5), (6, 80, 3, 2, 3), (6, 112, 3, 1, 5))
_LAST_STAGES = ((6, 192, 4, 2, 5), (6, 320, 1, 1, 3))
"""Expansion, channels, blocks, stride of the first, kernel."""

_EPSILON, _MOMENTUM = 1e-3, 0.01


class EfficientNetLite(Backbone):
    """EfficientNet-Lite0 up to the features of a stride, 16 or 32.

    0.70 million parameters to stride 16, 2.96 million to stride 32.
    """

    def __init__(self, stride: int = 32) -> None:
        super().__init__()
        self.stem = conv_bn(3, 32, 3, 2, activation=_relu6)
        stages: list[nn.Module] = []
        in_channels = 32
        for expansion, channels, repeats, first_stride, kernel in _STAGES + (_LAST_STAGES if stride == 32 else ()):
            blocks = []
            for index in range(repeats):
                step = first_stride if index == 0 else 1
                hidden = in_channels * expansion
                blocks.append(
                    InvertedResidual(in_channels, channels, hidden, kernel=kernel, stride=step, activation=_relu6)
                )
                in_channels = channels
            stages.append(nn.Sequential(*blocks))
        self.stages = nn.ModuleList(stages)
        self.channels = (16, 24, 40, 112) + ((320,) if stride == 32 else ())
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eps, module.momentum = _EPSILON, _MOMENTUM

    def forward(self, images: Tensor) -> list[Tensor]:
        """Features at strides 2, 4, 8, 16 (and 32) of (N, 3, H, W) normalised images."""
        x: Tensor = self.stem(images)
        features = []
        for index, stage in enumerate(self.stages):
            x = stage(x)
            if index in (0, 1, 2, 4, 6):  # the next stage halves it, or there is none
                features.append(x)
        return features


def _relu6() -> nn.Module:
    return nn.ReLU6(inplace=True)


def efficientnet_lite0(stride: int) -> EfficientNetLite:
    """EfficientNet-Lite0 that ends at that stride."""
    return EfficientNetLite(stride)
