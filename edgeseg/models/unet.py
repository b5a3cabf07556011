"""U-Net (Ronneberger, Fischer, Brox, "U-Net: Convolutional Networks for Biomedical Image Segmentation", MICCAI 2015,
arXiv:1505.04597).

Two 3x3 convolutions at each of five resolutions down, and at each of four up again, where the features of the way down
are put beside those that a transposed convolution brings up (Fig. 1). 31,038,283 parameters at 11 classes, as in the
reimplementation of milesial, which has batch normalisation, and padding, so that logits are as large as the image. The
paper has neither, and labels the middle of what it sees.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from edgeseg.models.blocks import conv_bn_relu, cropped, scaled
from edgeseg.models.network import Features, Network
from edgeseg.models.registry import register_network


class Up(nn.Module):
    """One step up: fewer channels at twice the resolution, beside what the way down had there, and convolved twice."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(in_channels, out_channels, 2, stride=2)
        self.convs = _two_convs(2 * out_channels, out_channels)

    def forward(self, coarse: Tensor, fine: Tensor) -> Tensor:
        """(N, in, h, w) and (N, out, H, W) to (N, out, H, W)."""
        coarse = cropped(self.up(coarse), (fine.shape[2], fine.shape[3]))
        y: Tensor = self.convs(torch.cat([fine, coarse], dim=1))
        return y


@register_network("unet", paper="arXiv:1505.04597", year=2015)
class UNet(Network):
    """U-Net with logits at full resolution. Its tap is the bottom of the U, at stride 16.

    Args:
        num_classes: logits of each pixel.
        width: multiplies the channels of every layer; the paper's network has 1, which is 64 at the top.
    """

    stride = 1

    def __init__(self, num_classes: int, *, width: float = 1.0) -> None:
        super().__init__()
        channels = [scaled(64 << level, width) for level in range(5)]
        self.tap_channels = (channels[-1],)
        self.pool = nn.MaxPool2d(2, ceil_mode=True)  # an odd row more is cut off on the way up
        self.down = nn.ModuleList(
            _two_convs(before, behind) for before, behind in zip([3, *channels], channels, strict=False)
        )
        self.up = nn.ModuleList(
            Up(before, behind) for before, behind in zip(channels[:0:-1], channels[-2::-1], strict=True)
        )
        self.classifier = nn.Conv2d(channels[0], num_classes, 1)

    def features(self, images: Tensor) -> Features:
        """Logits (N, classes, H, W) and the tap at stride 16 of (N, 3, H, W) normalised images."""
        skips: list[Tensor] = []
        for down in self.down:
            skips.append(down(self.pool(skips[-1]) if skips else images))
        x = bottom = skips.pop()
        for up in self.up:
            x = up(x, skips.pop())
        return Features(self.classifier(x), (bottom,))


def _two_convs(in_channels: int, out_channels: int) -> nn.Sequential:
    return nn.Sequential(conv_bn_relu(in_channels, out_channels), conv_bn_relu(out_channels, out_channels))
