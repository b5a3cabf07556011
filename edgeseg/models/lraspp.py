"""LR-ASPP, the segmentation head of MobileNetV3 (Howard et al., "Searching for MobileNetV3", ICCV 2019,
arXiv:1905.02244, section 6.4 and Fig. 10).

A 1x1 convolution of the last features, weighed by channel by what their average says, is all of the context; details
come from stride 8 by a classifier of their own, and the logits of both are added. 3,219,838 parameters at 11 classes
upon MobileNetV3-Large, as in torchvision; 1,895,670 upon MobileNetV2 with the 320 channels that the paper's own runs of
that have, which are the backbone's 1,811,712 and the head's.

The paper averages over windows of 49x49 pixels, torchvision over the whole picture, and so does this. Torchvision takes
details behind the first block at stride 8, this behind the last, which is what backbones show.
"""

from __future__ import annotations

from torch import Tensor, nn

from edgeseg.models.backbones.registry import build_backbone
from edgeseg.models.blocks import GlobalAverage, conv_bn_relu, resize
from edgeseg.models.network import Features, Network
from edgeseg.models.registry import register_network


@register_network("lraspp", paper="arXiv:1905.02244", year=2019)
@register_network("lraspp_mobilenet_v2", backbone="mobilenet_v2", widened=False)
class LRASPP(Network):
    """LR-ASPP with logits at stride 8. Its tap is what the backbone has before its last stage.

    Args:
        num_classes: logits of each pixel.
        backbone: name in :data:`edgeseg.models.backbones.registry.BACKBONES`.
        output_stride: of the backbone: 16, as in the paper, 8 or 32.
        widened: see :func:`edgeseg.models.backbones.registry.build_backbone`.

    Raises:
        InputError: no such backbone or output stride.
    """

    stride = 8

    def __init__(
        self, num_classes: int, *, backbone: str = "mobilenet_v3_large", output_stride: int = 16, widened: bool = True
    ) -> None:
        super().__init__()
        self.backbone = build_backbone(backbone, output_stride=output_stride, widened=widened)
        _, _, at8, before, last = self.backbone.channels
        self.tap_channels = (before,)
        self.reduce = conv_bn_relu(last, 128, 1)
        self.weigh = nn.Sequential(GlobalAverage(), nn.Conv2d(last, 128, 1, bias=False), nn.Sigmoid())
        self.detail_classifier = nn.Conv2d(at8, num_classes, 1)
        self.classifier = nn.Conv2d(128, num_classes, 1)

    def features(self, images: Tensor) -> Features:
        """Logits (N, classes, H / 8, W / 8) and the tap of (N, 3, H, W) normalised images."""
        _, _, detail, before, last = self.backbone(images)
        context = resize(self.reduce(last) * self.weigh(last), (detail.shape[2], detail.shape[3]))
        return Features(self.classifier(context) + self.detail_classifier(detail), (before,))
