"""RegSeg (Gao, "Rethinking Dilated Convolution for Real-time Semantic Segmentation", 2021, arXiv:2111.09957).

A RegNet that stops at stride 16, where it sees as far as others do by more strides: half of the channels of a
convolution look at their neighbours, the other half up to 14 pixels away (the D block). The decoder takes it to
stride 4. 3,334,431 parameters at 11 classes, as in the author's implementation, which calls it ``exp48_decoder26``.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edgeseg.models.blocks import SqueezeExcitation, conv_bn, conv_bn_relu, resize
from edgeseg.models.network import Features, Network
from edgeseg.models.registry import register_network

_GROUP = 16
"""Channels in a group of the grouped convolutions."""

_DILATIONS = ((1,), (1, 2), *4 * ((1, 4),), *7 * ((1, 14),))
"""Of the blocks at stride 16, behind the one that comes down to it."""


class DilatedSplit(nn.Module):
    """Grouped 3x3 convolutions side by side, each on its part of the channels and with its own dilation.

    Each has its part of what is one batch normalisation in the reference, so that it can be folded away.
    """

    def __init__(self, channels: int, stride: int, dilations: tuple[int, ...]) -> None:
        super().__init__()
        part = channels // len(dilations)
        self.convs = nn.ModuleList(
            conv_bn_relu(part, part, 3, stride, groups=part // _GROUP, dilation=rate) for rate in dilations
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C, H / stride, W / stride)."""
        parts = x.chunk(len(self.convs), dim=1)
        return torch.cat([conv(part) for conv, part in zip(self.convs, parts, strict=True)], dim=1)


class DilatedBlock(nn.Module):
    """The D block: RegNet's Y block with split dilations; where the size halves, the shortcut averages 2x2 pixels."""

    def __init__(self, in_channels: int, channels: int, stride: int, dilations: tuple[int, ...]) -> None:
        super().__init__()
        self.block = nn.Sequential(
            conv_bn_relu(in_channels, channels, 1),
            DilatedSplit(channels, stride, dilations),
            SqueezeExcitation(channels, in_channels // 4),
            conv_bn(channels, channels, 1),
        )
        self.halves = stride == 2
        self.shortcut = nn.Identity() if in_channels == channels else conv_bn(in_channels, channels, 1)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in, H, W) to (N, channels, H / stride, W / stride)."""
        y: Tensor = self.relu(self.block(x) + self.shortcut(halved(x) if self.halves else x))
        return y


def halved(x: Tensor) -> Tensor:
    """Averages of 2x2 pixels, and at an odd border of those that there are.

    That is pooling with ``ceil_mode``, which engines do not all compute alike; a repeated row or column is the same.
    """
    odd = (0, x.shape[3] % 2, 0, x.shape[2] % 2)
    return F.avg_pool2d(F.pad(x, odd, mode="replicate") if any(odd) else x, 2)


class Decoder(nn.Module):
    """From stride 16 to 8 by a sum, from there to 4 by a concatenation with eight channels."""

    def __init__(self, channels4: int, channels8: int, channels16: int, num_classes: int) -> None:
        super().__init__()
        self.reduce16 = conv_bn_relu(channels16, 128, 1)
        self.reduce8 = conv_bn_relu(channels8, 128, 1)
        self.reduce4 = conv_bn_relu(channels4, 8, 1)
        self.conv8 = conv_bn_relu(128, 64, 3)
        self.conv4 = conv_bn_relu(64 + 8, 64, 3)
        self.classifier = nn.Conv2d(64, num_classes, 1)

    def forward(self, at4: Tensor, at8: Tensor, at16: Tensor) -> tuple[Tensor, Tensor]:
        """Features at three strides to logits at stride 4, and what it has made at stride 8, 64 channels."""
        middle = self.reduce8(at8) + resize(self.reduce16(at16), (at8.shape[2], at8.shape[3]))
        middle = self.conv8(middle)
        fine = resize(middle, (at4.shape[2], at4.shape[3]))
        return self.classifier(self.conv4(torch.cat([fine, self.reduce4(at4)], dim=1))), middle


@register_network("regseg", paper="arXiv:2111.09957", year=2021)
class RegSeg(Network):
    """RegSeg with logits at stride 4. Its taps are the body's end, at stride 16, and the decoder at stride 8."""

    stride = 4
    tap_channels = (320, 64)

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.stem = conv_bn_relu(3, 32, 3, stride=2)
        self.stage4 = DilatedBlock(32, 48, 2, (1,))
        self.stage8 = nn.Sequential(
            DilatedBlock(48, 128, 2, (1,)), DilatedBlock(128, 128, 1, (1,)), DilatedBlock(128, 128, 1, (1,))
        )
        self.stage16 = nn.Sequential(
            DilatedBlock(128, 256, 2, (1,)),
            *(DilatedBlock(256, 256, 1, dilations) for dilations in _DILATIONS[:-1]),
            DilatedBlock(256, 320, 1, _DILATIONS[-1]),
        )
        self.decoder = Decoder(48, 128, 320, num_classes)

    def features(self, images: Tensor) -> Features:
        """Logits (N, classes, H / 4, W / 4) and taps of (N, 3, H, W) normalised images."""
        at4 = self.stage4(self.stem(images))
        at8 = self.stage8(at4)
        at16 = self.stage16(at8)
        logits, middle = self.decoder(at4, at8, at16)
        return Features(logits, (at16, middle))
