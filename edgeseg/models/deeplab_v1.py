"""DeepLab-LargeFOV (Chen, Papandreou, Kokkinos, Murphy, Yuille, "Semantic Image Segmentation with Deep Convolutional
Nets and Fully Connected CRFs", ICLR 2015, arXiv:1412.7062), the first DeepLab.

VGG-16 whose last two poolings keep the resolution while holes in the convolutions behind make up for it (Sec. 3.1, Fig.
1), and whose fully connected layers became two narrow convolutions. The first of them has a 3x3 kernel with a rate of
12, and so a field of view as large as that of VGG-16's own 7x7 (Sec. 3.2, Table 2). 20,495,179 parameters at 11
classes; the paper says 20.5 M.

As in the definition that the authors published for Caffe, all windows of the pooling have 3x3 pixels, and an average of
3x3 follows the last; neither is in the paper. The dense CRF behind it is edgeseg's own (``edgeseg run --refine crf``).
"""

from __future__ import annotations

from torch import Tensor, nn

from edgeseg.models.backbones.vgg import VGG
from edgeseg.models.blocks import he_normal
from edgeseg.models.network import Features, Network
from edgeseg.models.registry import register_network


@register_network("deeplab_v1", paper="arXiv:1412.7062", year=2015)
class DeepLabV1(Network):
    """DeepLab-LargeFOV with logits at stride 8. Its tap is the backbone's end, at stride 8."""

    stride = 8
    tap_channels = (512,)

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.backbone = VGG(32, 8, window=3)
        self.large_fov = nn.Sequential(
            nn.AvgPool2d(3, stride=1, padding=1),
            nn.Conv2d(512, 1024, 3, padding=12, dilation=12),
            nn.ReLU(inplace=True),
            nn.Dropout(0.5),
            nn.Conv2d(1024, 1024, 1),
            nn.ReLU(inplace=True),
            nn.Dropout(0.5),
        )
        he_normal(self.large_fov)
        self.classifier = nn.Conv2d(1024, num_classes, 1)

    def features(self, images: Tensor) -> Features:
        """Logits (N, classes, H / 8, W / 8) and the tap at stride 8 of (N, 3, H, W) normalised images."""
        last = self.backbone(images)[-1]
        return Features(self.classifier(self.large_fov(last)), (last,))
