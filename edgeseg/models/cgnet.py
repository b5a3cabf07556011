"""CGNet (Wu, Tang, Zhang, Cao, Zhang, "CGNet: A Light-weight Context Guided Network for Semantic Segmentation", 2018,
arXiv:1811.08201; IEEE Transactions on Image Processing 30, 2021).

Context in every block: each looks at a pixel and around it, and weighs channels by the whole picture. Three blocks at
stride 4 and twenty-one at stride 8 (the paper's M and N), no decoder, and the image itself, made smaller, beside the
features. 494,258 parameters at 11 classes, as in wutianyiRosun/CGNet, whose linear layers are 1x1 convolutions here.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from edgeseg.models.blocks import SqueezeExcitation, bn_prelu, conv_bn_prelu, halve, set_bn_epsilon
from edgeseg.models.network import Features, Network
from edgeseg.models.registry import register_network


class JointFeatures(nn.Module):
    """A 3x3 depthwise convolution for what is near and a dilated one for the surroundings (f_loc, f_sur and f_joi)."""

    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        self.local = nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False)
        self.surrounding = nn.Conv2d(
            channels, channels, 3, padding=dilation, dilation=dilation, groups=channels, bias=False
        )
        self.join = bn_prelu(2 * channels)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, 2C, H, W)."""
        y: Tensor = self.join(torch.cat([self.local(x), self.surrounding(x)], dim=1))
        return y


class ContextGuided(nn.Module):
    """The context guided block: reduce, look near and around, weigh by the whole (f_glo), and add what came in."""

    def __init__(self, channels: int, dilation: int, reduction: int) -> None:
        super().__init__()
        self.block = nn.Sequential(
            conv_bn_prelu(channels, channels // 2, 1),
            JointFeatures(channels // 2, dilation),
            SqueezeExcitation(channels, channels // reduction),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to the same shape."""
        y: Tensor = x + self.block(x)
        return y


class ContextGuidedDown(nn.Sequential):
    """The same at stride 2, without what came in: (N, in, H, W) to (N, out, H / 2, W / 2)."""

    def __init__(self, in_channels: int, out_channels: int, dilation: int, reduction: int) -> None:
        super().__init__(
            conv_bn_prelu(in_channels, out_channels, 3, stride=2),
            JointFeatures(out_channels, dilation),
            nn.Conv2d(2 * out_channels, out_channels, 1, bias=False),
            SqueezeExcitation(out_channels, out_channels // reduction),
        )


@register_network("cgnet", paper="arXiv:1811.08201", year=2018)
class CGNet(Network):
    """CGNet with logits at stride 8. Its tap is the second stage, at stride 4."""

    stride = 8
    tap_channels = (64,)

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.stage1 = nn.Sequential(
            conv_bn_prelu(3, 32, 3, stride=2), conv_bn_prelu(32, 32, 3), conv_bn_prelu(32, 32, 3)
        )
        self.to_stage2 = nn.Sequential(bn_prelu(32 + 3), ContextGuidedDown(32 + 3, 64, dilation=2, reduction=8))
        self.stage2 = nn.Sequential(*(ContextGuided(64, dilation=2, reduction=8) for _ in range(2)))
        self.to_stage3 = nn.Sequential(bn_prelu(2 * 64 + 3), ContextGuidedDown(2 * 64 + 3, 128, 4, reduction=16))
        self.stage3 = nn.Sequential(*(ContextGuided(128, dilation=4, reduction=16) for _ in range(20)))
        self.classifier = nn.Sequential(bn_prelu(2 * 128), nn.Conv2d(2 * 128, num_classes, 1, bias=False))
        set_bn_epsilon(self, 1e-3)

    def features(self, images: Tensor) -> Features:
        """Logits (N, classes, H / 8, W / 8) and the tap of (N, 3, H, W) normalised images."""
        at2 = halve(images)
        before = self.to_stage2(torch.cat([self.stage1(images), at2], dim=1))
        middle = self.stage2(before)
        before = self.to_stage3(torch.cat([middle, before, halve(at2)], dim=1))
        return Features(self.classifier(torch.cat([before, self.stage3(before)], dim=1)), (middle,))
