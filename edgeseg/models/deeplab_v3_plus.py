"""DeepLab v3+ (Chen, Zhu, Papandreou, Schroff, Adam, "Encoder-Decoder with Atrous Separable Convolution for Semantic
Image Segmentation", ECCV 2018, arXiv:1802.02611).

DeepLab v3 with depthwise separable convolutions in its pyramid, and a small decoder (Fig. 2) that sharpens borders with
the backbone's features at stride 4. 4,381,083 parameters at 11 classes upon MobileNetV2 and 26,680,155 upon ResNet-50,
as in segmentation_models_pytorch.

That has one more separable convolution behind the pyramid than the paper, and one where the decoder of the paper has
two; as there, nothing stands between the depthwise and the pointwise convolutions, where the authors' code has
normalisation and ReLU. MobileNetV2 ends with 1280 channels there; ``widened=false`` leaves the 320 that its own paper
takes. The rates are the paper's: 6, 12 and 18 at stride 16, twice as much at 8, which segmentation_models_pytorch has
at either.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from edgeseg.models.backbones.registry import build_backbone
from edgeseg.models.blocks import ASPP, atrous_rates, atrous_separable_conv, conv_bn_relu, resize
from edgeseg.models.network import Features, Network
from edgeseg.models.registry import register_network


@register_network("deeplab_v3_plus", paper="arXiv:1802.02611", year=2018)
@register_network("deeplab_v3_plus_resnet50", backbone="resnet50")
class DeepLabV3Plus(Network):
    """DeepLab v3+ with logits at stride 4. Its tap is what the backbone has before its last stage.

    Args:
        num_classes: logits of each pixel.
        backbone: name in :data:`edgeseg.models.backbones.registry.BACKBONES`.
        output_stride: of the backbone: 8, 16 or 32.
        widened: see :func:`edgeseg.models.backbones.registry.build_backbone`.

    Raises:
        InputError: no such backbone or output stride.
    """

    stride = 4

    def __init__(
        self, num_classes: int, *, backbone: str = "mobilenet_v2", output_stride: int = 16, widened: bool = True
    ) -> None:
        super().__init__()
        self.backbone = build_backbone(backbone, output_stride=output_stride, widened=widened)
        _, at4, *_, before, last = self.backbone.channels
        self.tap_channels = (before,)
        self.context = nn.Sequential(
            ASPP(last, 256, atrous_rates(output_stride), separable=True), atrous_separable_conv(256, 256)
        )
        self.reduce_detail = conv_bn_relu(at4, 48, 1)
        self.refine = atrous_separable_conv(256 + 48, 256)
        self.classifier = nn.Conv2d(256, num_classes, 1)

    def features(self, images: Tensor) -> Features:
        """Logits (N, classes, H / 4, W / 4) and the tap of (N, 3, H, W) normalised images."""
        _, at4, *_, before, last = self.backbone(images)
        detail = self.reduce_detail(at4)
        context = resize(self.context(last), (detail.shape[2], detail.shape[3]))
        return Features(self.classifier(self.refine(torch.cat([context, detail], dim=1))), (before,))
