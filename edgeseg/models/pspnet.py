"""PSPNet (Zhao, Shi, Qi, Wang, Jia, "Pyramid Scene Parsing Network", CVPR 2017, arXiv:1612.01105).

A dilated ResNet to stride 8 and the pyramid pooling module (Fig. 3): averages over 1, 4, 9 and 36 regions tell each
pixel what scene it is part of. 46,711,243 parameters at 11 classes upon ResNet-50 with the deep stem that the authors'
own has: 49,073,878 in the reimplementation of Tramac, less the 2,362,635 of its auxiliary head (3x3 convolution from
1024 to 256 channels, normalisation, classifier), for which the trainer has its own. With the usual stem of 7x7 they are
46,587,467.
"""

from __future__ import annotations

from torch import Tensor, nn

from edgeseg.models.backbones.registry import build_backbone
from edgeseg.models.blocks import PyramidPooling
from edgeseg.models.network import Features, Network
from edgeseg.models.registry import register_network


@register_network("pspnet", paper="arXiv:1612.01105", year=2017)
class PSPNet(Network):
    """PSPNet with logits at the output stride. Its tap is what the backbone has before its last stage, as in the paper.

    Args:
        num_classes: logits of each pixel.
        backbone: name in :data:`edgeseg.models.backbones.registry.BACKBONES`.
        output_stride: 8, as in the paper, 16 or 32.

    Raises:
        InputError: no such backbone or output stride.
    """

    def __init__(self, num_classes: int, *, backbone: str = "resnet50s", output_stride: int = 8) -> None:
        super().__init__()
        self.stride = output_stride
        self.backbone = build_backbone(backbone, output_stride=output_stride)
        *_, before, last = self.backbone.channels
        self.tap_channels = (before,)
        self.pyramid = PyramidPooling(last, 512, kernel=3)
        self.classifier = nn.Sequential(nn.Dropout(0.1), nn.Conv2d(512, num_classes, 1))

    def features(self, images: Tensor) -> Features:
        """Logits (N, classes, H / stride, W / stride) and the tap of (N, 3, H, W) normalised images."""
        *_, before, last = self.backbone(images)
        return Features(self.classifier(self.pyramid(last)), (before,))
