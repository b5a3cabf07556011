"""LEDNet (Wang, Zhou, Liu, Xiong, Gao, Wu, Latecki, "LEDNet: A Lightweight Encoder-Decoder Network for Real-Time
Semantic Segmentation", ICIP 2019, arXiv:1905.02423).

ERFNet's factorised convolutions on each half of the channels (Table 1), which are shuffled after each block, and for a
decoder an attention pyramid: one map, seen through 7x7, 5x5 and 3x3 convolutions at strides 16, 32 and 64, weighs the
pixels' class scores.

920,725 parameters at 11 classes. The authors' xiaoyufenfei/LEDNet has 922,144, with the 1x1 convolution of ERFNet by
which the encoder is trained alone (here the trainer's head at the tap). Two slips of its file are put right: a decoder
for 20 classes whatever is asked for, and max pooling padded so that it is larger than the convolution beside it.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from edgeseg.models.blocks import (
    Downsampler,
    biased_conv_bn_relu,
    channel_shuffle,
    factorised_conv,
    grid_pool,
    resize,
    set_bn_epsilon,
)
from edgeseg.models.network import Features, Network
from edgeseg.models.registry import register_network


class SplitShuffle(nn.Module):
    """The split-shuffle-non-bottleneck (SS-nbt): two factorised branches, one along columns first, one along rows."""

    def __init__(self, channels: int, dropout: float, dilation: int = 1) -> None:
        super().__init__()
        self.left, self.right = (
            nn.Sequential(
                factorised_conv(channels // 2, columns_first=columns_first),
                nn.ReLU(inplace=True),
                factorised_conv(channels // 2, dilation, columns_first=columns_first),
                nn.Dropout2d(dropout),
            )
            for columns_first in (True, False)
        )
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to the same shape."""
        left, right = x.chunk(2, dim=1)
        y = self.relu(x + torch.cat([self.left(left), self.right(right)], dim=1))
        return channel_shuffle(y, 2)


class AttentionPyramid(nn.Module):
    """The attention pyramid network (APN): scores of pixels, weighed by what is around, and those of the picture."""

    def __init__(self, in_channels: int, num_classes: int) -> None:
        super().__init__()
        self.picture = biased_conv_bn_relu(in_channels, num_classes, 1)
        self.pixels = biased_conv_bn_relu(in_channels, num_classes, 1)
        self.to16 = biased_conv_bn_relu(in_channels, 1, 7, stride=2)
        self.to32 = biased_conv_bn_relu(1, 1, 5, stride=2)
        self.to64 = nn.Sequential(biased_conv_bn_relu(1, 1, 3, stride=2), biased_conv_bn_relu(1, 1, 3))
        self.at32 = biased_conv_bn_relu(1, 1, 5)
        self.at16 = biased_conv_bn_relu(1, 1, 7)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in, H, W) to (N, classes, H, W)."""
        at16 = self.to16(x)
        at32 = self.to32(at16)
        at64 = self.to64(at32)
        attention = self.at32(at32) + resize(at64, (at32.shape[2], at32.shape[3]))
        attention = self.at16(at16) + resize(attention, (at16.shape[2], at16.shape[3]))
        attention = resize(attention, (x.shape[2], x.shape[3]))
        y: Tensor = self.pixels(x) * attention + self.picture(grid_pool(x, 1))
        return y


@register_network("lednet", paper="arXiv:1905.02423", year=2019)
class LEDNet(Network):
    """LEDNet with logits, which are never negative, at stride 8. Its tap is the encoder's end, at the same stride."""

    stride = 8
    tap_channels = (128,)

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            Downsampler(3, 32),
            *(SplitShuffle(32, dropout=0.03) for _ in range(3)),
            Downsampler(32, 64),
            *(SplitShuffle(64, dropout=0.03) for _ in range(2)),
            Downsampler(64, 128),
            *(SplitShuffle(128, dropout=0.3, dilation=dilation) for dilation in (1, 2, 5, 9, 2, 5, 9, 17)),
        )
        self.classifier = AttentionPyramid(128, num_classes)
        set_bn_epsilon(self, 1e-3)

    def features(self, images: Tensor) -> Features:
        """Logits (N, classes, H / 8, W / 8) and the tap of (N, 3, H, W) normalised images."""
        encoded = self.encoder(images)
        return Features(self.classifier(encoded), (encoded,))
