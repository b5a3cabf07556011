"""SegFormer-B0 (Xie et al., "SegFormer: Simple and Efficient Design for Semantic Segmentation with Transformers",
NeurIPS 2021, arXiv:2105.15203).

A transformer trunk and a decoder of linear layers alone (Fig. 2, Eq. 4): features of four strides, each made 256
channels and brought to stride 4, then mixed and classified pixel by pixel. 3,716,971 parameters at 11 classes, as in
the authors' repository and in transformers; both put batch normalisation and ReLU behind the mixing layer, of which
Eq. 4 does not speak.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from edgeseg.errors import InputError
from edgeseg.models.backbones.mit import LEAST_SIDE_PX
from edgeseg.models.backbones.registry import build_backbone
from edgeseg.models.blocks import conv_bn_relu, resize
from edgeseg.models.network import Features, Network
from edgeseg.models.registry import register_network


@register_network("segformer_b0", paper="arXiv:2105.15203", year=2021)
class SegFormer(Network):
    """SegFormer with logits at stride 4. It is trained without auxiliary losses and has no taps.

    Args:
        num_classes: logits of each pixel.
        backbone: name in :data:`edgeseg.models.backbones.registry.BACKBONES`.
        channels: of the decoder.

    Raises:
        InputError: no such backbone, or no channels.
    """

    stride = 4
    tap_channels = ()

    def __init__(self, num_classes: int, *, backbone: str = "mit_b0", channels: int = 256) -> None:
        super().__init__()
        if channels < 1:
            raise InputError(f"the channels of segformer are {channels}", "Use 1 or more")
        self.backbone = build_backbone(backbone)
        self.levels = nn.ModuleList(nn.Conv2d(before, channels, 1) for before in self.backbone.channels[-4:])
        self.mix = conv_bn_relu(4 * channels, channels, 1)
        self.classifier = nn.Sequential(nn.Dropout2d(0.1), nn.Conv2d(channels, num_classes, 1))

    def check_size(self, size: tuple[int, int]) -> None:
        """Raise InputError unless images of (height, width) ``size`` can pass."""
        if min(size) < LEAST_SIDE_PX:
            raise InputError(
                f"SegFormer cannot take images of {size[1]}x{size[0]}",
                f"Give a width and height of at least {LEAST_SIDE_PX}",
            )

    def features(self, images: Tensor) -> Features:
        """Logits (N, classes, H / 4, W / 4) of (N, 3, H, W) normalised images."""
        levels = [level(x) for level, x in zip(self.levels, self.backbone(images)[-4:], strict=True)]
        size = (levels[0].shape[2], levels[0].shape[3])
        finest, *coarser = levels
        upsampled = [resize(level, size) for level in coarser]
        together = torch.cat([*reversed(upsampled), finest], dim=1)  # the coarsest first, as the authors do
        return Features(self.classifier(self.mix(together)), ())
