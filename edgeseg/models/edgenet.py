"""EdgeNet: edgeseg's own network, a backbone to stride 16 or 32 with a decoder to stride 4.

Thin things want logits at stride 4, and context comes cheapest where features are smallest. The context is the pyramid
of PSPNet, or atrous depthwise separable convolutions as in DeepLabv3+ (Chen 2018, arXiv:1802.02611); each step of the
decoder adds the backbone's own features of the next finer stride. All but the backbone is ReLU, with channels in
multiples of 16.

The three sizes are what measurements left of many designs: docs/edgenet.md says what each choice costs and gives.
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


@register_network("edgenet_nano", backbone="edge_nano", fine_channels=32, stride=8)
@register_network("edgenet_small", backbone="edge_small", fine_channels=32)
@register_network("edgenet_base", backbone="edge_base", context_stride=32, channels=96, fine_channels=64)
@register_network("edgenet")
class EdgeNet(Network):
    """EdgeNet upon any backbone. Its taps are the context and the decoder's first step.

    Args:
        num_classes: logits of each pixel.
        backbone: name in :data:`edgeseg.models.backbones.registry.BACKBONES`.
        context: ``pyramid`` or ``atrous``.
        context_stride: 16 or 32, where the backbone ends and the context is taken.
        channels: of the context and the decoder, a multiple of 16.
        fine_channels: of the decoder's last step; 0 for as many.
        stride: of the logits, 4 or 8.

    Raises:
        InputError: no such backbone or context, or another number of channels, or another stride.
    """

    def __init__(
        self,
        num_classes: int,
        *,
        backbone: str = "efficientnet_lite0",
        context: str = "pyramid",
        context_stride: int = 16,
        channels: int = 64,
        fine_channels: int = 0,
        stride: int = 4,
    ) -> None:
        super().__init__()
        contexts = {"pyramid": Pyramid, "atrous": Atrous}
        fine_channels = fine_channels or channels
        if context not in contexts:
            raise InputError(f"the context of edgenet is {context!r}", f"Use {' or '.join(contexts)}")
        if min(channels, fine_channels) < 16 or channels % 16 or fine_channels % 16:
            both = f"{channels}" if fine_channels == channels else f"{channels} and {fine_channels}"
            raise InputError(f"the channels of edgenet are {both}", "Use a multiple of 16")
        if stride not in (4, 8) or context_stride not in (16, 32):
            raise InputError(f"edgenet of strides {context_stride} and {stride}", "Use 16 or 32, and 4 or 8")
        self.stride = stride
        self.backbone = build_backbone(backbone, stride=context_stride)
        *finer, coarsest = self.backbone.channels
        self._steps = tuple(at for at in (16, 8, 4) if stride <= at < context_stride)
        widths = [channels] * len(self._steps) + [fine_channels]
        self.tap_channels = (channels, widths[1])
        self.context = contexts[context](coarsest, channels)
        for at, fine, before, after in zip(self._steps, reversed(finer), widths, widths[1:], strict=False):
            self.add_module(f"to{at}", Merge(before, fine, after))
        self.classifier = nn.Sequential(nn.Dropout(0.1), nn.Conv2d(fine_channels, num_classes, 1))

    def features(self, images: Tensor) -> Features:
        """Logits (N, classes, H / stride, W / stride) and taps of (N, 3, H, W) normalised images."""
        *finer, coarsest = self.backbone(images)
        outputs = [self.context(coarsest)]
        for at, fine in zip(self._steps, reversed(finer), strict=False):
            outputs.append(self.get_submodule(f"to{at}")(outputs[-1], fine))
        return Features(self.classifier(outputs[-1]), (outputs[0], outputs[1]))
