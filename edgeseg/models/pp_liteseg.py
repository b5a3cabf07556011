"""PP-LiteSeg-T (Peng et al., "PP-LiteSeg: A Superior Real-Time Semantic Segmentation Model", 2022, arXiv:2204.02681).

STDC1, a pyramid that adds instead of concatenating (SPPM, Fig. 5), and a decoder that grows narrower as its features
grow larger (Fig. 3). Its steps choose, pixel by pixel, between the deep and the fine (UAFM, Fig. 4, Eq. 1). 8,028,064
parameters at 11 classes, as in PaddleSeg, the authors' implementation, without its auxiliary heads. As there, the
decoder has three steps where the paper draws two: the first joins the pyramid with stride 32; and the pyramid's
convolutions keep their bias. Where the trunk averages, PaddleSeg leaves out what lies beyond the border; here it counts
as zeros, as with STDC's authors.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from edgeseg.models.backbones.registry import build_backbone
from edgeseg.models.blocks import biased_conv_bn_relu, conv_bn, conv_bn_relu, grid_pool, resize
from edgeseg.models.network import Features, Network
from edgeseg.models.registry import register_network


class SimplePyramid(nn.Module):
    """The simple pyramid pooling module (Fig. 5): averages over 1, 2 and 4 bins a side, added."""

    def __init__(self, in_channels: int, channels: int, bins: tuple[int, ...] = (1, 2, 4)) -> None:
        super().__init__()
        self.bins = bins
        self.branches = nn.ModuleList(biased_conv_bn_relu(in_channels, channels, 1) for _ in bins)
        self.project = biased_conv_bn_relu(channels, channels, 3)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in, H, W) to (N, channels, H, W)."""
        size = (x.shape[2], x.shape[3])
        pyramid = [
            resize(branch(grid_pool(x, bins)), size) for bins, branch in zip(self.bins, self.branches, strict=True)
        ]
        y: Tensor = self.project(sum(pyramid[1:], pyramid[0]))
        return y


class AttentionFusion(nn.Module):
    """The unified attention fusion module with spatial attention (Fig. 4a, b).

    Mean and maximum over the channels of both say which of the two counts at a pixel. The weight is that of the fine
    features, as in PaddleSeg; in Eq. 1 it is that of the deep ones.
    """

    def __init__(self, fine_channels: int, deep_channels: int, out_channels: int) -> None:
        super().__init__()
        self.fine = conv_bn_relu(fine_channels, deep_channels, 3)
        self.project = conv_bn_relu(deep_channels, out_channels, 3)
        self.weigh = nn.Sequential(conv_bn_relu(4, 2, 3), conv_bn(2, 1, 3), nn.Sigmoid())

    def forward(self, fine: Tensor, deep: Tensor) -> Tensor:
        """(N, fine, H, W) and (N, deep, h, w) to (N, out, H, W)."""
        fine = self.fine(fine)
        deep = resize(deep, (fine.shape[2], fine.shape[3]))
        seen = [value for x in (fine, deep) for value in (x.mean(dim=1, keepdim=True), x.amax(dim=1, keepdim=True))]
        weight = self.weigh(torch.cat(seen, dim=1))
        y: Tensor = self.project(fine * weight + deep * (1 - weight))
        return y


@register_network("pp_liteseg_t", paper="arXiv:2204.02681", year=2022)
class PPLiteSeg(Network):
    """PP-LiteSeg-T with logits at stride 8. Its taps are the decoder at strides 32 and 16."""

    stride = 8
    tap_channels = (128, 64)

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.backbone = build_backbone("stdc1", stride=32)
        _, _, at8, at16, at32 = self.backbone.channels
        self.context = SimplePyramid(at32, 128)
        self.fusion32 = AttentionFusion(at32, 128, 128)
        self.fusion16 = AttentionFusion(at16, 128, 64)
        self.fusion8 = AttentionFusion(at8, 64, 32)
        self.classifier = nn.Sequential(conv_bn_relu(32, 32, 3), nn.Conv2d(32, num_classes, 1, bias=False))

    def features(self, images: Tensor) -> Features:
        """Logits (N, classes, H / 8, W / 8) and taps of (N, 3, H, W) normalised images."""
        _, _, at8, at16, at32 = self.backbone(images)
        deep32 = self.fusion32(at32, self.context(at32))
        deep16 = self.fusion16(at16, deep32)
        return Features(self.classifier(self.fusion8(at8, deep16)), (deep32, deep16))
