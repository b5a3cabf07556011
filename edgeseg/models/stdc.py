"""STDC1-Seg (Fan, Lai, Huang, Wei, Chai, Luo, Wei, "Rethinking BiSeNet For Real-time Semantic Segmentation", CVPR 2021,
arXiv:2104.13188).

BiSeNet without its second branch (Fig. 4): the trunk's own features at stride 8 learn detail from a head that is there
in training alone, and meet the context of strides 16 and 32 in a feature fusion module. 8,273,056 parameters at 11
classes, as in the authors' implementation without the heads of training and the trunk's classifier; the context is
upsampled by repetition, as there.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edgeseg.models.backbones.registry import build_backbone
from edgeseg.models.blocks import conv_bn, conv_bn_relu, grid_pool
from edgeseg.models.network import Features, Network
from edgeseg.models.registry import register_network


class AttentionRefinement(nn.Module):
    """The attention refinement module of BiSeNet (Yu 2018, arXiv:1808.00897): channels weighed by the whole picture."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = conv_bn_relu(in_channels, out_channels, 3)
        self.weigh = nn.Sequential(conv_bn(out_channels, out_channels, 1), nn.Sigmoid())

    def forward(self, x: Tensor) -> Tensor:
        """(N, in, H, W) to (N, out, H, W)."""
        x = self.conv(x)
        y: Tensor = x * self.weigh(grid_pool(x, 1))
        return y


class FeatureFusion(nn.Module):
    """The feature fusion module of BiSeNet: both concatenated, and channels weighed once more, as a residual."""

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        self.conv = conv_bn_relu(in_channels, channels, 1)
        self.weigh = nn.Sequential(
            nn.Conv2d(channels, channels // 4, 1, bias=False),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels // 4, channels, 1, bias=False),
            nn.Sigmoid(),
        )

    def forward(self, detail: Tensor, context: Tensor) -> Tensor:
        """Two (N, C, H, W), of ``in_channels`` together, to (N, channels, H, W)."""
        x = self.conv(torch.cat([detail, context], dim=1))
        y: Tensor = x + x * self.weigh(grid_pool(x, 1))
        return y


@register_network("stdc1", paper="arXiv:2104.13188", year=2021)
class STDCSeg(Network):
    """STDC1-Seg with logits at stride 8.

    Its taps are the trunk at stride 8, from which the detail head of the paper (Fig. 4) foretells contours, and the
    context at strides 8 and 16, where auxiliary heads of classes hang.
    """

    stride = 8
    tap_channels = (256, 128, 128)

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.backbone = build_backbone("stdc1", stride=32)
        _, _, at8, at16, at32 = self.backbone.channels
        self.refine16 = AttentionRefinement(at16, 128)
        self.refine32 = AttentionRefinement(at32, 128)
        self.up32 = conv_bn_relu(128, 128, 3)
        self.up16 = conv_bn_relu(128, 128, 3)
        self.whole = conv_bn_relu(at32, 128, 1)
        self.fusion = FeatureFusion(at8 + 128, 256)
        self.classifier = nn.Sequential(conv_bn_relu(256, 256, 3), nn.Conv2d(256, num_classes, 1, bias=False))

    def features(self, images: Tensor) -> Features:
        """Logits (N, classes, H / 8, W / 8) and taps of (N, 3, H, W) normalised images."""
        _, _, at8, at16, at32 = self.backbone(images)
        context = self.refine32(at32) + self.whole(grid_pool(at32, 1))
        context16 = self.up32(_repeated(context, at16))
        context8 = self.up16(_repeated(context16 + self.refine16(at16), at8))
        return Features(self.classifier(self.fusion(at8, context8)), (at8, context8, context16))


def _repeated(features: Tensor, like: Tensor) -> Tensor:
    """Features at the height and width of ``like``, each pixel repeated."""
    return F.interpolate(features, (like.shape[2], like.shape[3]), mode="nearest")
