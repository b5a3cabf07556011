"""ESPNetv2 (Mehta, Rastegari, Shapiro, Hajishirzi, "ESPNetv2: A Light-weight, Power Efficient, and General Purpose
Convolutional Neural Network", CVPR 2019, arXiv:1811.11431).

Each unit sees as far as a large convolution by four small ones with holes, all depthwise or in groups, and the image
itself reinforces the features at every stride. The decoder is not the paper's: it is the one for Cityscapes in the
authors' sacmehta/EdgeNets, whose efficient pyramid pooling comes from DiCENet (Mehta, Hajishirzi, Rastegari, 2019,
arXiv:1906.03516).

782,388 parameters at 11 classes and scale 2; EdgeNets has 782,868, with slopes in the strided units that no image
passes. They are declared in its order, so that its weights find their place.
"""

from __future__ import annotations

import math
from itertools import accumulate

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edgeseg.errors import InputError
from edgeseg.models.backbones.base import Backbone
from edgeseg.models.blocks import bn_prelu, channel_shuffle, conv_bn, conv_bn_prelu, grid_pool, halve
from edgeseg.models.network import Features, Network
from edgeseg.models.registry import register_network

_CHANNELS = {
    0.5: (16, 32, 64, 128),
    1.0: (32, 64, 128, 256),
    1.25: (32, 80, 160, 320),
    1.5: (32, 96, 192, 384),
    2.0: (32, 128, 256, 512),
}
"""Table 2: of the features at strides 2, 4, 8 and 16 by scale."""

_WIDE, _NARROW = (1, 2, 3, 4), (1, 1, 2, 3)
"""Dilations of a unit's branches: all that differ, and those where features are small."""

_DECODER = (64, 48, 32)
"""Channels at strides 16, 8 and 4."""

_SCALES = (2.0, 1.5, 1.0, 0.5, 0.1)
"""Sizes at which the pyramid looks at its features, as multiples of their own."""

_LEAST = 5
"""Pixels across the smallest of them."""


class EESP(nn.Module):
    """The extremely efficient spatial pyramid (Fig. 1c) before its residual: reduce, split, transform, merge."""

    def __init__(self, in_channels: int, out_channels: int, dilations: tuple[int, ...], stride: int = 1) -> None:
        super().__init__()
        groups = len(dilations)
        branch = out_channels // groups
        self.reduce = conv_bn_prelu(in_channels, branch, 1, groups=groups)
        self.branches = nn.ModuleList(
            nn.Conv2d(branch, branch, 3, stride, rate, rate, groups=branch, bias=False) for rate in dilations
        )
        self.expand = conv_bn(out_channels, out_channels, 1, groups=groups)
        self.join = bn_prelu(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in, H, W) to (N, out, H / stride, W / stride)."""
        x = self.reduce(x)
        sums = accumulate(branch(x) for branch in self.branches)  # without which holes would leave a grid
        y: Tensor = self.expand(self.join(torch.cat([*sums], dim=1)))
        return y


class ResidualEESP(nn.Module):
    """The unit added to what came in (Fig. 1c), and a PReLU."""

    def __init__(self, channels: int, dilations: tuple[int, ...]) -> None:
        super().__init__()
        self.eesp = EESP(channels, channels, dilations)
        self.activation = nn.PReLU(channels)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to the same shape."""
        y: Tensor = self.activation(x + self.eesp(x))
        return y


class StridedEESP(nn.Module):
    """The unit at stride 2 beside average pooling (Fig. 2), and the image added by two small convolutions."""

    def __init__(self, in_channels: int, out_channels: int, dilations: tuple[int, ...]) -> None:
        super().__init__()
        self.eesp = EESP(in_channels, out_channels - in_channels, dilations, stride=2)
        self.reinforce = nn.Sequential(conv_bn_prelu(3, 3, 3), conv_bn(3, out_channels, 1))
        self.activation = nn.PReLU(out_channels)

    def forward(self, x: Tensor, image: Tensor) -> Tensor:
        """(N, in, H, W) and the image at half that size to (N, out, H / 2, W / 2)."""
        y: Tensor = self.activation(torch.cat([halve(x), self.eesp(x)], dim=1) + self.reinforce(image))
        return y


class Trunk(Backbone):
    """ESPNetv2 to stride 16 (Table 2), as a backbone of this network alone: it needs the image all the way."""

    def __init__(self, channels: tuple[int, int, int, int]) -> None:
        super().__init__()
        self.channels = channels
        at2, at4, at8, at16 = channels
        self.level1 = conv_bn_prelu(3, at2, 3, stride=2)
        self.level2 = StridedEESP(at2, at4, _WIDE)
        self.to_level3 = StridedEESP(at4, at8, _WIDE)
        self.level3 = nn.Sequential(*(ResidualEESP(at8, _WIDE) for _ in range(3)))
        self.to_level4 = StridedEESP(at8, at16, _WIDE)
        self.level4 = nn.Sequential(*(ResidualEESP(at16, _NARROW) for _ in range(7)))

    def forward(self, images: Tensor) -> list[Tensor]:
        """(N, 3, H, W) normalised images to features at strides 2, 4, 8 and 16."""
        image4 = halve(halve(images))
        image8 = halve(image4)
        at2 = self.level1(images)
        at4 = self.level2(at2, image4)
        at8 = self.level3(self.to_level3(at4, image8))
        at16 = self.level4(self.to_level4(at8, halve(image8)))
        return [at2, at4, at8, at16]


class EfficientPyramidPooling(nn.Module):
    """A depthwise convolution at each of five sizes; their results meet channel by channel (DiCENet).

    Args:
        in_channels: of the features.
        channels: at each size.
        out_channels: of the result.
        last: whether the result is logits: with a bias, not normalised.
    """

    def __init__(self, in_channels: int, channels: int, out_channels: int, *, last: bool = False) -> None:
        super().__init__()
        joined = channels * len(_SCALES)
        self.convs = nn.ModuleList(
            nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False) for _ in _SCALES
        )
        self.reduce = conv_bn_prelu(in_channels, channels, 1)
        self.join = bn_prelu(joined)
        self.mix = conv_bn_prelu(joined, channels, 3, groups=channels)
        self.expand = nn.Conv2d(channels, out_channels, 1, bias=last)
        self.finish = nn.Identity() if last else bn_prelu(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in, H, W) to (N, out, H, W)."""
        x = self.reduce(x)
        levels = [_at_scale(x, scale, conv) for scale, conv in zip(_SCALES, self.convs, strict=True)]
        joined = channel_shuffle(self.join(torch.cat(levels, dim=1)), len(_SCALES))
        y: Tensor = self.finish(self.expand(self.mix(joined)))
        return y


class GatedProjection(nn.Module):
    """A 3x3 convolution in groups, of which the whole picture weighs the channels."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.gate = nn.Sequential(nn.Conv2d(in_channels, out_channels, 1, bias=False), nn.Sigmoid())
        self.project = conv_bn_prelu(in_channels, out_channels, 3, groups=math.gcd(in_channels, out_channels))

    def forward(self, x: Tensor) -> Tensor:
        """(N, in, H, W) to (N, out, H, W)."""
        y: Tensor = self.project(x) * self.gate(grid_pool(x, 1))
        return y


@register_network("espnetv2", paper="arXiv:1811.11431", year=2019)
class ESPNetv2(Network):
    """ESPNetv2 with logits at stride 2. Its taps are the decoder's features at strides 16 and 8.

    Args:
        num_classes: logits of each pixel.
        scale: of the channels: 0.5, 1, 1.25, 1.5 or 2.
        pyramid: channels at each size of the pyramids; 0 for half of the classes and at most 16, as EdgeNets has them.
            Weights of other classes fit with the number that they were trained with: Cityscapes' have 10.

    Raises:
        InputError: another scale, or a negative pyramid.
    """

    stride = 2
    tap_channels = _DECODER[:2]

    def __init__(self, num_classes: int, *, scale: float = 2.0, pyramid: int = 0) -> None:
        super().__init__()
        if scale not in _CHANNELS:
            raise InputError(f"the scale of espnetv2 is {scale}", f"Use {', '.join(map(str, _CHANNELS))}")
        if pyramid < 0:
            raise InputError(f"the pyramid of espnetv2 has {pyramid} channels", "Use 1 or more, or 0")
        inside = pyramid or max(1, min(num_classes // 2, 16))
        self.backbone = Trunk(_CHANNELS[scale])
        at2, at4, at8, at16 = self.backbone.channels
        to16, to8, to4 = _DECODER
        self.pyramids = nn.ModuleList(
            [
                EfficientPyramidPooling(at16, inside, to16),
                EfficientPyramidPooling(to16, inside, to8),
                EfficientPyramidPooling(to8, inside, to4),
                EfficientPyramidPooling(to4, inside, num_classes, last=True),
            ]
        )
        self.sides = nn.ModuleList([GatedProjection(at8, to16), GatedProjection(at4, to8), GatedProjection(at2, to4)])
        self.joins = nn.ModuleList(bn_prelu(channels) for channels in _DECODER)

    def features(self, images: Tensor) -> Features:
        """Logits (N, classes, H / 2, W / 2) and taps of (N, 3, H, W) normalised images."""
        at2, at4, at8, at16 = self.backbone(images)
        first, *others = self.pyramids
        decoded = [first(at16)]
        for pyramid, side, join, fine in zip(others, self.sides, self.joins, (at8, at4, at2), strict=True):
            coarse = _resize(decoded[-1], (fine.shape[2], fine.shape[3]))
            decoded.append(pyramid(join(side(fine) + coarse)))
        return Features(decoded[-1], (decoded[0], decoded[1]))


def _at_scale(x: Tensor, scale: float, conv: nn.Module) -> Tensor:
    """Features convolved at another size: pooled to a smaller one and resized back, or resized and pooled back."""
    own = (x.shape[2], x.shape[3])
    size = (max(_LEAST, math.ceil(own[0] * scale)), max(_LEAST, math.ceil(own[1] * scale)))
    if scale < 1:
        return _resize(conv(_pool(x, size)), own)
    if scale > 1:
        return _pool(conv(_resize(x, size)), own)
    y: Tensor = conv(x)
    return y


def _resize(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Bilinear with the corners aligned, as the published weights learned it."""
    return F.interpolate(x, size, mode="bilinear", align_corners=True)


def _pool(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Adaptive average pooling of (N, C, H, W), which ONNX does not have: as two products with constant matrices."""
    height, width = x.shape[2], x.shape[3]
    if height % size[0] == 0 and width % size[1] == 0:
        return F.avg_pool2d(x, (height // size[0], width // size[1]))
    return _bins(height, size[0], x) @ x @ _bins(width, size[1], x).T


def _bins(pixels: int, bins: int, like: Tensor) -> Tensor:
    """(bins, pixels): each row averages the pixels of a bin, which may overlap the next by one."""
    position = torch.arange(pixels, device=like.device)
    first = torch.arange(bins, device=like.device).unsqueeze(1) * pixels // bins
    last = (torch.arange(1, bins + 1, device=like.device).unsqueeze(1) * pixels - 1) // bins
    inside = ((first <= position) & (position <= last)).to(like.dtype)
    return inside / inside.sum(dim=1, keepdim=True)
