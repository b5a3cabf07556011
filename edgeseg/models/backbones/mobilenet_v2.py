"""MobileNetV2 (Sandler, Howard, Zhu, Zhmoginov, Chen, CVPR 2018, arXiv:1801.04381, Table 2), as in torchvision."""

from __future__ import annotations

from torch import Tensor, nn

from edgeseg.models.backbones.base import Backbone
from edgeseg.models.backbones.inverted_residual import InvertedResidual
from edgeseg.models.blocks import conv_bn

_STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
"""Expansion, channels, blocks, stride of the first."""


class MobileNetV2(Backbone):
    """MobileNetV2 up to the features of a stride, 16 or 32: 0.54 or 1.81 million parameters."""

    def __init__(self, stride: int = 32) -> None:
        super().__init__()
        self.stem = conv_bn(3, 32, 3, 2, activation=lambda: nn.ReLU6(inplace=True))
        stages: list[nn.Module] = []
        in_channels = 32
        for expansion, channels, repeats, first_stride in _STAGES if stride == 32 else _STAGES[:5]:
            blocks = []
            for index in range(repeats):
                step = first_stride if index == 0 else 1
                blocks.append(InvertedResidual(in_channels, channels, in_channels * expansion, stride=step))
                in_channels = channels
            stages.append(nn.Sequential(*blocks))
        self.stages = nn.ModuleList(stages)
        self.channels = (16, 24, 32, 96) + ((320,) if stride == 32 else ())

    def forward(self, images: Tensor) -> list[Tensor]:
        """Features at strides 2, 4, 8, 16 (and 32) of (N, 3, H, W) normalised images."""
        x: Tensor = self.stem(images)
        features = []
        for index, stage in enumerate(self.stages):
            x = stage(x)
            if index in (0, 1, 2, 4, 6):  # the next stage halves it, or there is none
                features.append(x)
        return features


def mobilenet_v2(stride: int) -> MobileNetV2:
    """MobileNetV2 that ends at that stride."""
    return MobileNetV2(stride)
