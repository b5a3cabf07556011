"""EdgeNet: edgeseg's own network, a backbone to stride 16 with a decoder to stride 4.

Thin things want logits at stride 4, and context comes cheapest at stride 16. The context is the pyramid of PSPNet, or
atrous depthwise separable convolutions as in DeepLabv3+ (Chen 2018, arXiv:1802.02611); two steps of the decoder add the
backbone's own features at strides 8 and 4. All but the backbone is ReLU and channels in multiples of 16.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from edgeseg.errors import InputError
from edgeseg.models.backbones.registry import build_backbone
from edgeseg.models.blocks import PyramidPooling, conv_bn, conv_bn_relu, grid_pool, resize, separable_conv
from edgeseg.models.network import Features, Network
from edgeseg.models.registry import register_network


class Pyramid(nn.Sequential):
    """Pyramid pooling (PSPNet, Zhao 2017, arXiv:1612.01105) of features that are made fewer first."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(conv_bn_relu(in_channels, out_channels, 1), PyramidPooling(out_channels, out_channels))


class Atrous(nn.Module):
    """Depthwise 3x3 convolutions of several rates in parallel, and the average of the picture (DeepLabv3+)."""

    def __init__(self, in_channels: int, out_channels: int, rates: tuple[int, ...] = (1, 3, 6)) -> None:
        super().__init__()
        self.reduce = conv_bn_relu(in_channels, out_channels, 1)
        self.branches = nn.ModuleList(
            conv_bn_relu(out_channels, out_channels, 3, groups=out_channels, dilation=rate) for rate in rates
        )
        self.whole = conv_bn_relu(out_channels, out_channels, 1)
        self.project = conv_bn_relu(out_channels * (1 + len(rates)), out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in, H, W) to (N, out, H, W)."""
        x = self.reduce(x)
        whole = resize(self.whole(grid_pool(x, 1)), (x.shape[2], x.shape[3]))
        y: Tensor = self.project(torch.cat([whole, *(branch(x) for branch in self.branches)], dim=1))
        return y


class Merge(nn.Module):
    """One step of the decoder: coarse features, upsampled, and finer ones, added after a 1x1 convolution of each."""

    def __init__(self, coarse_channels: int, fine_channels: int, out_channels: int) -> None:
        super().__init__()
        self.coarse = conv_bn(coarse_channels, out_channels, 1)
        self.fine = conv_bn(fine_channels, out_channels, 1)
        self.refine = separable_conv(out_channels, out_channels)

    def forward(self, coarse: Tensor, fine: Tensor) -> Tensor:
        """(N, coarse, h, w) and (N, fine, H, W) to (N, out, H, W)."""
        coarse = resize(self.coarse(coarse), (fine.shape[2], fine.shape[3]))
        y: Tensor = self.refine(torch.relu(coarse + self.fine(fine)))
        return y


@register_network("edgenet")
class EdgeNet(Network):
    """EdgeNet with logits at stride 4. Its taps are the context (stride 16) and the decoder's first step (stride 8).

    Args:
        num_classes: logits of each pixel.
        backbone: name in :data:`edgeseg.models.backbones.registry.BACKBONES`.
        context: ``pyramid`` or ``atrous``.
        channels: of the decoder, a multiple of 16.

    Raises:
        InputError: no such backbone or context, or another number of channels.
    """

    stride = 4

    def __init__(
        self, num_classes: int, *, backbone: str = "efficientnet_lite0", context: str = "pyramid", channels: int = 64
    ) -> None:
        super().__init__()
        contexts = {"pyramid": Pyramid, "atrous": Atrous}
        if context not in contexts:
            raise InputError(f"the context of edgenet is {context!r}", f"Use {' or '.join(contexts)}")
        if channels < 16 or channels % 16:
            raise InputError(f"the channels of edgenet are {channels}", "Use a multiple of 16")
        self.backbone = build_backbone(backbone, stride=16)
        at4, at8, at16 = self.backbone.channels[-3:]
        self.tap_channels = (channels, channels)
        self.context = contexts[context](at16, channels)
        self.to8 = Merge(channels, at8, channels)
        self.to4 = Merge(channels, at4, channels)
        self.classifier = nn.Sequential(nn.Dropout(0.1), nn.Conv2d(channels, num_classes, 1))

    def features(self, images: Tensor) -> Features:
        """Logits (N, classes, H / 4, W / 4) and taps of (N, 3, H, W) normalised images."""
        at4, at8, at16 = self.backbone(images)[-3:]
        context = self.context(at16)
        middle = self.to8(context, at8)
        return Features(self.classifier(self.to4(middle, at4)), (context, middle))
