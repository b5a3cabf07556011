"""DABNet (Li, Kim, "DABNet: Depth-wise Asymmetric Bottleneck for Real-time Semantic Segmentation", BMVC 2019,
arXiv:1907.11357).

Two blocks of bottlenecks with holes that grow to 16 (Table 1), and no decoder. The image itself, made smaller, is put
beside the features of each stage. 754,571 parameters at 11 classes, as in Reagan1311/DABNet.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from edgeseg.models.blocks import Downsampler, bn_prelu, conv_bn_prelu, halve, set_bn_epsilon
from edgeseg.models.network import Features, Network
from edgeseg.models.registry import register_network


class DepthwiseAsymmetricBottleneck(nn.Module):
    """The DAB module: half of the channels pass a near and a dilated branch, whose sum is expanded and added."""

    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        half = channels // 2
        self.reduce = nn.Sequential(bn_prelu(channels), conv_bn_prelu(channels, half, 3))
        self.near = _depthwise_asymmetric(half, 1)
        self.far = _depthwise_asymmetric(half, dilation)
        self.expand = nn.Sequential(bn_prelu(half), nn.Conv2d(half, channels, 1, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to the same shape."""
        half = self.reduce(x)
        y: Tensor = x + self.expand(self.near(half) + self.far(half))
        return y


@register_network("dabnet", paper="arXiv:1907.11357", year=2019)
class DABNet(Network):
    """DABNet with logits at stride 8. Its tap is the first block, at stride 4."""

    stride = 8
    tap_channels = (64,)

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(conv_bn_prelu(3, 32, 3, stride=2), conv_bn_prelu(32, 32, 3), conv_bn_prelu(32, 32, 3))
        pooled = Downsampler(32 + 3, 64, bias=False, activation=nn.PReLU(64))
        self.to_block1 = nn.Sequential(bn_prelu(32 + 3), pooled)
        self.block1 = nn.Sequential(*(DepthwiseAsymmetricBottleneck(64, 2) for _ in range(3)))
        self.to_block2 = nn.Sequential(bn_prelu(2 * 64 + 3), conv_bn_prelu(2 * 64 + 3, 128, 3, stride=2))
        self.block2 = nn.Sequential(*(DepthwiseAsymmetricBottleneck(128, rate) for rate in (4, 4, 8, 8, 16, 16)))
        self.classifier = nn.Sequential(bn_prelu(2 * 128 + 3), nn.Conv2d(2 * 128 + 3, num_classes, 1, bias=False))
        set_bn_epsilon(self, 1e-3)

    def features(self, images: Tensor) -> Features:
        """Logits (N, classes, H / 8, W / 8) and the tap of (N, 3, H, W) normalised images."""
        at2 = halve(images)
        at4 = halve(at2)
        at8 = halve(at4)
        before = self.to_block1(torch.cat([self.stem(images), at2], dim=1))
        middle = self.block1(before)
        before = self.to_block2(torch.cat([middle, before, at4], dim=1))
        last = self.block2(before)
        return Features(self.classifier(torch.cat([last, before, at8], dim=1)), (middle,))


def _depthwise_asymmetric(channels: int, dilation: int) -> nn.Sequential:
    """3x1 and 1x3 depthwise convolutions, each with batch normalisation and PReLU."""
    tall, wide = (dilation, 0), (0, dilation)
    return nn.Sequential(
        nn.Conv2d(channels, channels, (3, 1), padding=tall, dilation=(dilation, 1), groups=channels, bias=False),
        bn_prelu(channels),
        nn.Conv2d(channels, channels, (1, 3), padding=wide, dilation=(1, dilation), groups=channels, bias=False),
        bn_prelu(channels),
    )
