"""HRNetV2 (Wang et al., "Deep High-Resolution Representation Learning for Visual Recognition", TPAMI 2020,
arXiv:1908.07919).

The head of Fig. 4b: the streams of all resolutions, brought to stride 4, are concatenated and mixed by a 1x1
convolution before another classifies. In the small forms of the authors' HRNet-Semantic-Segmentation that is 1,538,891
(v1) and 3,937,411 (v2) parameters at 11 classes; the first of the two convolutions keeps its bias there.
"""

from __future__ import annotations

import torch
from torch import nn

from edgeseg.models.backbones.registry import build_backbone
from edgeseg.models.blocks import biased_conv_bn_relu, resize
from edgeseg.models.network import Features, Network
from edgeseg.models.registry import register_network


@register_network("hrnet_w18_small", paper="arXiv:1908.07919", year=2020)
@register_network("hrnet_w18_small_v2", backbone="hrnet_w18_small_v2")
class HRNetV2(Network):
    """HRNetV2 with logits at stride 4. It is trained without auxiliary losses and has no taps.

    Args:
        num_classes: logits of each pixel.
        backbone: name in :data:`edgeseg.models.backbones.registry.BACKBONES`; of others than HRNet the features at
            strides 4 to 32 are concatenated likewise.

    Raises:
        InputError: no such backbone.
    """

    stride = 4
    tap_channels = ()

    def __init__(self, num_classes: int, *, backbone: str = "hrnet_w18_small") -> None:
        super().__init__()
        self.backbone = build_backbone(backbone)
        channels = sum(self.backbone.channels[-4:])
        self.mix = biased_conv_bn_relu(channels, channels, 1)
        self.classifier = nn.Conv2d(channels, num_classes, 1)

    def features(self, images: torch.Tensor) -> Features:
        """Logits (N, classes, H / 4, W / 4) of (N, 3, H, W) normalised images."""
        finest, *coarser = self.backbone(images)[-4:]
        size = (finest.shape[2], finest.shape[3])
        together = torch.cat([finest, *(resize(stream, size) for stream in coarser)], dim=1)
        return Features(self.classifier(self.mix(together)), ())
