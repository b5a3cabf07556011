"""PIDNet-S (Xu, Xiong, Bhattacharyya, "PIDNet: A Real-time Semantic Segmentation Network Inspired by PID Controllers",
CVPR 2023, arXiv:2206.02066).

Two branches are to a picture what a proportional and an integral controller are to a signal: they overshoot, and
context runs over small things. PIDNet adds the derivative (Fig. 4): P keeps the detail at stride 8, I sees the context
down to stride 64, D finds the borders and says, where the two are joined, which of them counts. 7,624,683 parameters at
11 classes, as in the authors' implementation without its auxiliary heads; the stem's convolutions keep their bias, as
there.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from edgeseg.models.backbones.resnet import residuals
from edgeseg.models.blocks import PooledScales, bn_relu_conv, conv_bn, resize
from edgeseg.models.ddrnet import before_the_branches
from edgeseg.models.network import Features, Network
from edgeseg.models.registry import register_network


class PixelAttentionFusion(nn.Module):
    """Pag, pixel-attention-guided fusion: P takes context from I where the two are alike."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.detail = conv_bn(channels, hidden, 1)
        self.context = conv_bn(channels, hidden, 1)

    def forward(self, detail: Tensor, context: Tensor) -> Tensor:
        """(N, C, H, W) and (N, C, h, w) to (N, C, H, W)."""
        size = (detail.shape[2], detail.shape[3])
        alike = self.detail(detail) * resize(self.context(context), size)
        weight = torch.sigmoid(alike.sum(dim=1, keepdim=True))
        return (1 - weight) * detail + weight * resize(context, size)


class ParallelAggregation(nn.Module):
    """PAPPM, parallel aggregation pyramid pooling: DAPPM whose scales do not wait for each other."""

    def __init__(self, in_channels: int, channels: int, out_channels: int) -> None:
        super().__init__()
        self.scales = PooledScales(in_channels, channels)
        self.refine = bn_relu_conv(4 * channels, 4 * channels, 3, groups=4)
        self.compress = bn_relu_conv(5 * channels, out_channels)
        self.shortcut = bn_relu_conv(in_channels, out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in, H, W) to (N, out, H, W)."""
        own, pooled = self.scales(x)
        refined = self.refine(torch.cat([scale + own for scale in pooled], dim=1))
        y: Tensor = self.compress(torch.cat([own, refined], dim=1)) + self.shortcut(x)
        return y


class BoundaryAttentionFusion(nn.Module):
    """Light-Bag, boundary-attention-guided fusion: P counts where D sees a border, I everywhere else."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.detail = conv_bn(channels, channels, 1)
        self.context = conv_bn(channels, channels, 1)

    def forward(self, detail: Tensor, context: Tensor, boundary: Tensor) -> Tensor:
        """Three (N, C, H, W) to one."""
        border = torch.sigmoid(boundary)
        y: Tensor = self.detail(detail + (1 - border) * context) + self.context(context + border * detail)
        return y


@register_network("pidnet_s", paper="arXiv:2206.02066", year=2023)
class PIDNet(Network):
    """PIDNet-S with logits at stride 8.

    Its taps are P after the first fusion, for a head of classes, and D before its last block, for one of borders; both
    at stride 8.
    """

    stride = 8
    tap_channels = (64, 64)

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        c = 32
        self.begin = before_the_branches(c)
        self.i3 = residuals(2 * c, 4 * c, 3, stride=2)
        self.i4 = residuals(4 * c, 8 * c, 3, stride=2)
        self.i5 = residuals(8 * c, 8 * c, 2, stride=2, expansion=2)
        self.i3_to_p = conv_bn(4 * c, 2 * c, 1)
        self.i4_to_p = conv_bn(8 * c, 2 * c, 1)
        self.pag3 = PixelAttentionFusion(2 * c, c)
        self.pag4 = PixelAttentionFusion(2 * c, c)
        self.p3 = residuals(2 * c, 2 * c, 2)
        self.p4 = residuals(2 * c, 2 * c, 2)
        self.p5 = residuals(2 * c, 2 * c, 1, expansion=2)
        self.d3 = residuals(2 * c, c, 1)
        self.d4 = residuals(c, c, 1, expansion=2)
        self.i3_to_d = conv_bn(4 * c, c, 3)
        self.i4_to_d = conv_bn(8 * c, 2 * c, 3)
        self.context = ParallelAggregation(16 * c, 96, 4 * c)
        self.bag = BoundaryAttentionFusion(4 * c)
        self.d5 = residuals(2 * c, 2 * c, 1, expansion=2)
        self.classifier = nn.Sequential(bn_relu_conv(4 * c, 128, 3), bn_relu_conv(128, num_classes, bias=True))

    def features(self, images: Tensor) -> Features:
        """Logits (N, classes, H / 8, W / 8) and taps of (N, 3, H, W) normalised images."""
        x = self.begin(images)
        size = (x.shape[2], x.shape[3])
        i = torch.relu(self.i3(x))
        p = semantic_tap = self.pag3(self.p3(x), self.i3_to_p(i))
        d = self.d3(x) + resize(self.i3_to_d(i), size)
        i = torch.relu(self.i4(i))
        p = self.pag4(self.p4(torch.relu(p)), self.i4_to_p(i))
        d = boundary_tap = self.d4(torch.relu(d)) + resize(self.i4_to_d(i), size)
        p, d = self.p5(torch.relu(p)), self.d5(torch.relu(d))
        i = resize(self.context(self.i5(i)), size)
        return Features(self.classifier(self.bag(p, i, d)), (semantic_tap, boundary_tap))
