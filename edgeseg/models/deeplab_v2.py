"""DeepLab v2 (Chen, Papandreou, Kokkinos, Murphy, Yuille, "DeepLab: Semantic Image Segmentation with Deep Convolutional
Nets, Atrous Convolution, and Fully Connected CRFs", TPAMI 2018, arXiv:1606.00915), with ResNet-101.

A backbone that ends at stride 8 by convolutions with holes (Sec. 3.1), and atrous spatial pyramid pooling: 3x3
convolutions of rates 6, 12, 18 and 24 that each score the classes from the same features, added up (Sec. 3.2, Fig. 4
and 7). 43,311,212 parameters at 11 classes, as in kazuto1011's port of the authors' files.

The authors' ResNet-101 has its strides in 1x1 convolutions, and a new dilation already in the first block of a stage.
Here it is torchvision's, with whose weights a training begins. The authors also take the maximum over three scales of
the image, and refine by a dense CRF: neither is part of the network (``edgeseg run --refine crf`` is the latter).
"""

from __future__ import annotations

from torch import Tensor, nn

from edgeseg.models.backbones.registry import build_backbone
from edgeseg.models.network import Features, Network
from edgeseg.models.registry import register_network


class AtrousScores(nn.Module):
    """Atrous spatial pyramid pooling as it was at first: the sum of scores by 3x3 convolutions of several rates."""

    def __init__(self, in_channels: int, num_classes: int, rates: tuple[int, ...] = (6, 12, 18, 24)) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            nn.Conv2d(in_channels, num_classes, 3, padding=rate, dilation=rate) for rate in rates
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, in, H, W) to (N, classes, H, W)."""
        first, *others = (branch(x) for branch in self.branches)
        y: Tensor = sum(others, first)
        return y


@register_network("deeplab_v2", paper="arXiv:1606.00915", year=2018)
class DeepLabV2(Network):
    """DeepLab v2 with logits at stride 8. Its tap is the backbone's last stage but one, at stride 8.

    Args:
        num_classes: logits of each pixel.
        backbone: name in :data:`edgeseg.models.backbones.registry.BACKBONES`.

    Raises:
        InputError: no such backbone.
    """

    stride = 8

    def __init__(self, num_classes: int, *, backbone: str = "resnet101") -> None:
        super().__init__()
        self.backbone = build_backbone(backbone, output_stride=8)
        *_, before_last, last = self.backbone.channels
        self.tap_channels = (before_last,)
        self.classifier = AtrousScores(last, num_classes)

    def features(self, images: Tensor) -> Features:
        """Logits (N, classes, H / 8, W / 8) and the tap at stride 8 of (N, 3, H, W) normalised images."""
        *_, before_last, last = self.backbone(images)
        return Features(self.classifier(last), (before_last,))
