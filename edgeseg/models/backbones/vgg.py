"""VGG-16 (Simonyan, Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition", ICLR 2015,
arXiv:1409.1556, Table 1, column D), as in torchvision: also with batch normalisation, where convolutions keep their
bias.

Its fully connected layers are left out. Pooling rounds sizes up, as Caffe's does, for which the first networks of
segmentation were written. Pooling whose stride is taken away has windows of 3x3, as in DeepLab (arXiv:1412.7062).
"""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn

from edgeseg.models.backbones.base import Backbone
from edgeseg.models.blocks import he_normal

_STAGES = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))
"""Channels and convolutions of each."""


class Stage(nn.Module):
    """3x3 convolutions of one size, and the max pooling behind them.

    Args:
        in_channels, channels: before and behind.
        count: of the convolutions.
        normalised: whether batch normalisation follows each.
        window: of the pooling; one of 3 pixels is padded.
        stride: of the pooling: 2, or 1 with a window of 3.
        dilation: of the convolutions.

    Attributes:
        convs: (N, in, H, W) to (N, channels, H, W).
        pool: to (N, channels, H / stride, W / stride), rounded up.
    """

    def __init__(
        self, in_channels: int, channels: int, count: int, *, normalised: bool, window: int, stride: int, dilation: int
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for _ in range(count):
            layers.append(nn.Conv2d(in_channels, channels, 3, padding=dilation, dilation=dilation))
            layers += [nn.BatchNorm2d(channels), nn.ReLU(inplace=True)] if normalised else [nn.ReLU(inplace=True)]
            in_channels = channels
        self.convs = nn.Sequential(*layers)
        self.pool = nn.MaxPool2d(window, stride, padding=window // 2 if window == 3 else 0, ceil_mode=window == 2)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in, H, W) to (N, channels, H / stride, W / stride)."""
        y: Tensor = self.pool(self.convs(x))
        return y


class VGG(Backbone):
    """VGG-16, whose features are those behind each pooling.

    Args:
        stride: of the last features, 2 to 32.
        output_stride: no features are smaller than at this one.
        normalised: whether batch normalisation follows each convolution.
        window: of the pooling that has a stride, 2 or 3.
    """

    def __init__(self, stride: int, output_stride: int, *, normalised: bool = False, window: int = 2) -> None:
        super().__init__()
        self.name = "vgg16_bn" if normalised else "vgg16"
        stages, before, reached = [], 3, 1
        for channels, count in _STAGES[: stride.bit_length() - 1]:
            halves = reached < output_stride
            stages.append(
                Stage(
                    before,
                    channels,
                    count,
                    normalised=normalised,
                    window=window if halves else 3,
                    stride=2 if halves else 1,
                    dilation=max(1, reached // output_stride),
                )
            )
            before, reached = channels, 2 * reached
        self.body = nn.Sequential(*stages)
        self.channels = tuple(channels for channels, _ in _STAGES[: len(stages)])
        he_normal(self)

    @property
    def stages(self) -> list[Stage]:
        """From stride 1 on, for networks that want what lies before the pooling, or pool it themselves."""
        return cast("list[Stage]", list(self.body))

    def forward(self, images: Tensor) -> list[Tensor]:
        """See :meth:`Backbone.forward`."""
        features, x = [], images
        for stage in self.body:
            x = stage(x)
            features.append(x)
        return features


def vgg16(stride: int, output_stride: int) -> VGG:
    """VGG-16 that ends at stride 16 or 32: 7.6 or 14.7 million parameters."""
    return VGG(stride, output_stride)


def vgg16_bn(stride: int, output_stride: int) -> VGG:
    """VGG-16 with batch normalisation that ends at stride 16 or 32: 7.6 or 14.7 million parameters."""
    return VGG(stride, output_stride, normalised=True)
