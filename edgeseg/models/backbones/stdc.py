"""STDC1 (Fan, Lai, Huang, Wei, Chai, Luo, Wei, "Rethinking BiSeNet For Real-time Semantic Segmentation", CVPR 2021,
arXiv:2104.13188, Table 2), as the authors built it.

Their own order is not quite that of an image: a depthwise convolution that halves the size stands behind the others of
its module.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edgeseg.models.backbones.base import Chain, Place, Step
from edgeseg.models.blocks import conv_bn, conv_bn_relu


class ShortTermDenseConcatenate(nn.Module):
    """The STDC module (Fig. 3): convolutions in a row, each narrower than the last; what all of them see, concatenated.

    The first is 1x1 and gives half of the channels, then come 3x3 with a quarter and twice an eighth. With a stride the
    second begins with a depthwise convolution that has it, and the first is averaged.
    """

    def __init__(self, place: Place, channels: int) -> None:
        super().__init__()
        half, quarter, eighth = channels // 2, channels // 4, channels // 8
        self.halves = place.dilation != place.dilation_before or place.stride == 2
        self.stride, self.before = place.stride, place.dilation_before
        self.convs = nn.ModuleList(
            [
                conv_bn_relu(place.in_channels, half, 1),
                conv_bn_relu(half, quarter, 3, dilation=place.dilation),
                conv_bn_relu(quarter, eighth, 3, dilation=place.dilation),
                conv_bn_relu(eighth, eighth, 3, dilation=place.dilation),
            ]
        )
        self.down = (
            conv_bn(half, half, 3, place.stride, groups=half, dilation=self.before) if self.halves else nn.Identity()
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, in, H, W) to (N, channels, H / stride, W / stride)."""
        first = self.convs[0](x)
        x = self.down(first)
        parts = [self._averaged(first) if self.halves else first]
        for conv in list(self.convs)[1:]:
            x = conv(x)
            parts.append(x)
        return torch.cat(parts, dim=1)

    def _averaged(self, x: Tensor) -> Tensor:
        """The mean of 3x3 pixels, zeros beyond the border among them."""
        if self.before == 1:
            return F.avg_pool2d(x, 3, self.stride, 1)
        ninths = x.new_full((x.shape[1], 1, 3, 3), 1 / 9)
        return F.conv2d(x, ninths, None, self.stride, self.before, self.before, x.shape[1])


def stdc1(stride: int, output_stride: int) -> Chain:
    """STDC1 that ends at stride 16 or 32: 1.28 or 5.32 million parameters."""
    second = Step(lambda place: conv_bn_relu(place.in_channels, 64, 3, place.stride), 64, 2)
    steps = (second, *map(_stage, (256, 512, 1024)))
    return Chain(conv_bn_relu(3, 32, 3, 2), 32, steps, stride, output_stride=output_stride)


def _stage(channels: int) -> Step:
    """Two modules, the first of which changes channels and stride."""

    def make(place: Place) -> nn.Module:
        after = Place(channels, 1, place.dilation, place.dilation)
        return nn.Sequential(ShortTermDenseConcatenate(place, channels), ShortTermDenseConcatenate(after, channels))

    return Step(make, channels, 2)
