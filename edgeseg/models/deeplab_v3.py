"""DeepLab v3 (Chen, Papandreou, Schroff, Adam, "Rethinking Atrous Convolution for Semantic Image Segmentation", 2017,
arXiv:1706.05587).

The backbone keeps its size from the output stride on by dilation (Fig. 3b), and atrous spatial pyramid pooling with the
average of the picture (Fig. 5) looks at what comes out of it at several scales. 39,636,299 parameters at 11 classes
upon ResNet-50 and 11,022,907 upon MobileNetV3-Large, as in torchvision without its auxiliary head.

As torchvision does, a 3x3 convolution stands between the pyramid and the logits, which the paper does not have; and
MobileNets end with the 1x1 convolution to many channels that their classifiers have (``widened``), which the paper of
MobileNetV2 advises against. The rates are the paper's: 6, 12 and 18 at stride 16, twice as much at 8; torchvision has
the latter at either. No multi-grid, as there.
"""

from __future__ import annotations

from torch import Tensor, nn

from edgeseg.models.backbones.registry import build_backbone
from edgeseg.models.blocks import ASPP, atrous_rates, conv_bn_relu
from edgeseg.models.network import Features, Network
from edgeseg.models.registry import register_network


@register_network("deeplab_v3", paper="arXiv:1706.05587", year=2017)
@register_network("deeplab_v3_mobilenet", backbone="mobilenet_v3_large")
class DeepLabV3(Network):
    """DeepLab v3 with logits at the output stride. Its tap is what the backbone has before its last stage.

    Args:
        num_classes: logits of each pixel.
        backbone: name in :data:`edgeseg.models.backbones.registry.BACKBONES`.
        output_stride: 16, as the paper trains, or 8, as it also measures, or 32.
        widened: see :func:`edgeseg.models.backbones.registry.build_backbone`.

    Raises:
        InputError: no such backbone or output stride.
    """

    def __init__(
        self, num_classes: int, *, backbone: str = "resnet50", output_stride: int = 16, widened: bool = True
    ) -> None:
        super().__init__()
        self.stride = output_stride
        self.backbone = build_backbone(backbone, output_stride=output_stride, widened=widened)
        *_, before, last = self.backbone.channels
        self.tap_channels = (before,)
        self.context = ASPP(last, 256, atrous_rates(output_stride))
        self.classifier = nn.Sequential(conv_bn_relu(256, 256), nn.Conv2d(256, num_classes, 1))

    def features(self, images: Tensor) -> Features:
        """Logits (N, classes, H / stride, W / stride) and the tap of (N, 3, H, W) normalised images."""
        *_, before, last = self.backbone(images)
        return Features(self.classifier(self.context(last)), (before,))
