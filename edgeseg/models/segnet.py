"""SegNet (Badrinarayanan, Kendall, Cipolla, "SegNet: A Deep Convolutional Encoder-Decoder Architecture for Image
Segmentation", TPAMI 2017, arXiv:1511.00561).

The convolutions of VGG-16, and the same in reverse (Fig. 2). The decoder gets no features from the encoder, only where
in each window the maximum was (Fig. 3), and makes the sparse map dense by convolutions. 29,449,355 parameters at 11
classes, as in the reimplementation of xiaoyufenfei, whose convolutions keep their bias before batch normalisation. That
one's pooling loses the last row of an odd height; Caffe's rounds up, as here, so that 360x480 pixels of the paper can
pass.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn

from edgeseg.models.backbones.vgg import VGG, vgg16_bn
from edgeseg.models.blocks import biased_conv_bn_relu, cropped, unpool, window_argmax
from edgeseg.models.network import Features, Network
from edgeseg.models.registry import register_network


class Pooling(NamedTuple):
    """What the decoder learns of one pooling.

    Attributes:
        mask: where the maxima were, as :func:`~edgeseg.models.blocks.window_argmax` says it.
        size: (height, width) before.
    """

    mask: Tensor
    size: tuple[int, int]


def encode(backbone: VGG, images: Tensor) -> tuple[Tensor, list[Pooling]]:
    """Features (N, 512, H / 32, W / 32) of (N, 3, H, W) normalised images, and each pooling on the way there."""
    x, poolings = images, []
    for stage in backbone.stages:
        x = stage.convs(x)
        size = (x.shape[2], x.shape[3])
        x, mask = window_argmax(x)
        poolings.append(Pooling(mask, size))
    return x, poolings


class Decoder(nn.Module):
    """The stages of VGG-16 in reverse: each unpools, and then convolves as often as its counterpart does.

    Args:
        last: convolutions of the stage at full resolution.
    """

    def __init__(self, last: int) -> None:
        super().__init__()
        stages = ((512, 512, 3), (512, 256, 3), (256, 128, 3), (128, 64, 2), (64, 64, last))
        self.stages = nn.ModuleList(_convs(*stage) for stage in stages)

    def forward(self, x: Tensor, poolings: list[Pooling]) -> Tensor:
        """(N, 512, H / 32, W / 32) and what :func:`encode` returns beside it to (N, 64, H, W)."""
        for stage, pooling in zip(self.stages, reversed(poolings), strict=True):
            x = stage(cropped(unpool(x, pooling.mask), pooling.size))
        return x


@register_network("segnet", paper="arXiv:1511.00561", year=2017)
class SegNet(Network):
    """SegNet with logits at full resolution. Its tap is the encoder's end, at stride 32."""

    stride = 1
    tap_channels = (512,)

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.backbone = vgg16_bn(32, 32)
        self.decoder = Decoder(last=1)
        self.classifier = nn.Conv2d(64, num_classes, 3, padding=1)

    def features(self, images: Tensor) -> Features:
        """Logits (N, classes, H, W) and the tap at stride 32 of (N, 3, H, W) normalised images."""
        encoded, poolings = encode(self.backbone, images)
        return Features(self.classifier(self.decoder(encoded, poolings)), (encoded,))


def _convs(in_channels: int, out_channels: int, count: int) -> nn.Sequential:
    """3x3 convolutions with batch normalisation and ReLU, of which the last changes the channels."""
    before = (biased_conv_bn_relu(in_channels, in_channels) for _ in range(count - 1))
    return nn.Sequential(*before, biased_conv_bn_relu(in_channels, out_channels))
