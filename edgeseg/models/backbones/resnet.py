"""ResNet (He, Zhang, Ren, Sun, "Deep Residual Learning", CVPR 2016, arXiv:1512.03385, Table 1), as in torchvision.

The stride of a bottleneck lies in its 3x3 convolution.
"""

from __future__ import annotations

from torch import Tensor, nn

from edgeseg.models.backbones.base import Backbone
from edgeseg.models.blocks import conv_bn


class _Residual(nn.Module):
    """Convolutions beside a shortcut, which is a 1x1 convolution where the shapes differ."""

    def __init__(self, in_channels: int, channels: int, stride: int, expansion: int) -> None:
        super().__init__()
        out_channels = channels * expansion
        layers: list[nn.Module]
        if expansion == 1:
            layers = [
                conv_bn(in_channels, channels, 3, stride, activation=_relu),
                conv_bn(channels, channels, 3),
            ]
        else:
            layers = [
                conv_bn(in_channels, channels, 1, activation=_relu),
                conv_bn(channels, channels, 3, stride, activation=_relu),
                conv_bn(channels, out_channels, 1),
            ]
        self.block = nn.Sequential(*layers)
        same = stride == 1 and in_channels == out_channels
        self.shortcut = nn.Identity() if same else conv_bn(in_channels, out_channels, 1, stride)
        self.relu = _relu()

    def forward(self, x: Tensor) -> Tensor:
        """(N, in, H, W) to (N, out, H / stride, W / stride)."""
        y: Tensor = self.relu(self.block(x) + self.shortcut(x))
        return y


class ResNet(Backbone):
    """ResNet up to the features of a stride, 16 or 32.

    Args:
        repeats: blocks of each stage.
        expansion: 1 for basic blocks, 4 for bottlenecks.
        stride: of the last features.
    """

    def __init__(self, repeats: tuple[int, ...], expansion: int, stride: int = 32) -> None:
        super().__init__()
        self.stem = conv_bn(3, 64, 7, 2, activation=_relu)
        self.pool = nn.MaxPool2d(3, 2, padding=1)
        stages: list[nn.Module] = []
        in_channels = 64
        for index, count in enumerate(repeats if stride == 32 else repeats[:3]):
            channels = 64 << index
            blocks = []
            for block in range(count):
                step = 2 if index and block == 0 else 1
                blocks.append(_Residual(in_channels, channels, step, expansion))
                in_channels = channels * expansion
            stages.append(nn.Sequential(*blocks))
        self.stages = nn.ModuleList(stages)
        self.channels = (64, *((64 << index) * expansion for index in range(len(stages))))

    def forward(self, images: Tensor) -> list[Tensor]:
        """Features at strides 2, 4, 8, 16 (and 32) of (N, 3, H, W) normalised images."""
        x: Tensor = self.stem(images)
        features = [x]
        x = self.pool(x)
        for stage in self.stages:
            x = stage(x)
            features.append(x)
        return features


def _relu() -> nn.Module:
    return nn.ReLU(inplace=True)


def resnet18(stride: int) -> ResNet:
    """ResNet-18 that ends at that stride."""
    return ResNet((2, 2, 2, 2), 1, stride)


def resnet34(stride: int) -> ResNet:
    """ResNet-34 that ends at that stride."""
    return ResNet((3, 4, 6, 3), 1, stride)


def resnet50(stride: int) -> ResNet:
    """ResNet-50 that ends at that stride."""
    return ResNet((3, 4, 6, 3), 4, stride)
