"""DDRNet-23-slim (Hong, Pan, Sun, Jia, "Deep Dual-resolution Networks for Real-time and Accurate Semantic Segmentation
of Road Scenes", IEEE T-ITS 2022, arXiv:2101.06085).

From stride 8 on two branches go side by side (Fig. 4): one stays there, the other goes down to stride 64, and twice
each takes from the other (Fig. 3, Eq. 1). A deep aggregation pyramid pooling module (DAPPM, Fig. 5) gathers context
where there are few pixels left. 5,695,467 parameters at 11 classes, as in the authors' implementation without its
auxiliary head; the stem's convolutions keep their bias, as there.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from edgeseg.models.backbones.resnet import residuals
from edgeseg.models.blocks import PooledScales, biased_conv_bn_relu, bn_relu_conv, conv_bn, conv_bn_relu, resize
from edgeseg.models.network import Features, Network
from edgeseg.models.registry import register_network


def before_the_branches(channels: int) -> nn.Sequential:
    """What all branches have in common: the image to twice so many channels at stride 8, after ReLU."""
    return nn.Sequential(
        biased_conv_bn_relu(3, channels, 3, stride=2),
        biased_conv_bn_relu(channels, channels, 3, stride=2),
        residuals(channels, channels, 2),
        nn.ReLU(inplace=True),
        residuals(channels, 2 * channels, 2, stride=2),
        nn.ReLU(inplace=True),
    )


class DeepAggregation(nn.Module):
    """DAPPM (Fig. 5, Eq. 2): each scale is refined together with what the smaller windows before it gave."""

    def __init__(self, in_channels: int, channels: int, out_channels: int) -> None:
        super().__init__()
        self.scales = PooledScales(in_channels, channels)
        self.refine = nn.ModuleList(bn_relu_conv(channels, channels, 3) for _ in range(4))
        self.compress = bn_relu_conv(5 * channels, out_channels)
        self.shortcut = bn_relu_conv(in_channels, out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in, H, W) to (N, out, H, W)."""
        last, pooled = self.scales(x)
        refined = [last]
        for refine, scale in zip(self.refine, pooled, strict=True):
            last = refine(scale + last)
            refined.append(last)
        y: Tensor = self.compress(torch.cat(refined, dim=1)) + self.shortcut(x)
        return y


@register_network("ddrnet_23_slim", paper="arXiv:2101.06085", year=2022)
class DDRNet(Network):
    """DDRNet-23-slim with logits at stride 8. Its tap is the fine branch after the first fusion, also at stride 8."""

    stride = 8
    tap_channels = (64,)

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        c = 32
        self.begin = before_the_branches(c)
        self.coarse4 = residuals(2 * c, 4 * c, 2, stride=2)
        self.coarse5 = residuals(4 * c, 8 * c, 2, stride=2)
        self.coarse6 = residuals(8 * c, 8 * c, 1, stride=2, expansion=2)
        self.fine4 = residuals(2 * c, 2 * c, 2)
        self.fine5 = residuals(2 * c, 2 * c, 2)
        self.fine6 = residuals(2 * c, 2 * c, 1, expansion=2)
        self.up4 = conv_bn(4 * c, 2 * c, 1)
        self.up5 = conv_bn(8 * c, 2 * c, 1)
        self.down4 = conv_bn(2 * c, 4 * c, 3, stride=2)
        self.down5 = nn.Sequential(conv_bn_relu(2 * c, 4 * c, 3, stride=2), conv_bn(4 * c, 8 * c, 3, stride=2))
        self.context = DeepAggregation(16 * c, 128, 4 * c)
        self.classifier = nn.Sequential(bn_relu_conv(4 * c, 64, 3), bn_relu_conv(64, num_classes, bias=True))

    def features(self, images: Tensor) -> Features:
        """Logits (N, classes, H / 8, W / 8) and the tap of (N, 3, H, W) normalised images."""
        x = self.begin(images)
        size = (x.shape[2], x.shape[3])
        coarse, fine = self.coarse4(x), self.fine4(x)
        coarse, fine = (
            coarse + self.down4(torch.relu(fine)),
            fine + resize(self.up4(torch.relu(coarse)), size),
        )
        tap = fine
        coarse, fine = self.coarse5(torch.relu(coarse)), self.fine5(torch.relu(fine))
        coarse, fine = (
            coarse + self.down5(torch.relu(fine)),
            fine + resize(self.up5(torch.relu(coarse)), size),
        )
        context = self.context(self.coarse6(torch.relu(coarse)))
        fine = self.fine6(torch.relu(fine))
        return Features(self.classifier(fine + resize(context, size)), (tap,))
