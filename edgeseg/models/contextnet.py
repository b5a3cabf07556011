"""ContextNet (Poudel, Bonde, Liwicki, Zach, "ContextNet: Exploring Context and Detail for Semantic Segmentation in
Real-time", BMVC 2018, arXiv:1805.04554), from which the same authors made Fast-SCNN a year later.

A deep branch sees the image at a quarter of its size (Table 1), a shallow one in full, and the fusion unit adds them
(Table 2). Fast-SCNN has the same bottlenecks, fusion and classifier, but one beginning for both branches.

875,531 parameters at 11 classes, as in osmr/imgclsmob and xiaoyufenfei/Efficient-Segmentation-Networks. Both leave out
what others read in the paper: a 3x3 convolution at the deep branch's end, with which the network were larger than the
0.85 million that the paper states, and the dilation of 4 in the fusion unit. Their first convolutions have no padding,
which makes odd sizes of even ones; here they have.
"""

from __future__ import annotations

from torch import Tensor, nn

from edgeseg.errors import InputError
from edgeseg.models.blocks import conv_bn_relu, resize, separable_conv
from edgeseg.models.fast_scnn import FeatureFusion, InvertedResidual
from edgeseg.models.network import Features, Network
from edgeseg.models.registry import register_network

_BOTTLENECKS = ((1, 32, 1, 1), (6, 32, 1, 1), (6, 48, 3, 2), (6, 64, 3, 2), (6, 96, 2, 1), (6, 128, 2, 1))
"""Table 1: expansion, channels, blocks, stride of the first."""


@register_network("contextnet", paper="arXiv:1805.04554", year=2018)
class ContextNet(Network):
    """ContextNet with logits at stride 8. Its taps are the shallow branch (stride 8) and the deep one (stride 32).

    Args:
        num_classes: logits of each pixel.
        context: by how much the image is made smaller for the deep branch: 2, 4 or 8, the paper's cn12, cn14 and cn18.

    Raises:
        InputError: another context.
    """

    stride = 8
    tap_channels = (128, 128)

    def __init__(self, num_classes: int, *, context: int = 4) -> None:
        super().__init__()
        if context not in (2, 4, 8):
            raise InputError(f"the context of contextnet is {context}", "Use 2, 4 or 8")
        self.context = context
        self.shallow = nn.Sequential(
            conv_bn_relu(3, 32, 3, stride=2),
            separable_conv(32, 64, stride=2),
            separable_conv(64, 128, stride=2),
            separable_conv(128, 128),
        )
        deep: list[nn.Module] = [conv_bn_relu(3, 32, 3, stride=2)]
        before = 32
        for expansion, channels, blocks, stride in _BOTTLENECKS:
            for index in range(blocks):
                deep.append(InvertedResidual(before, channels, stride if index == 0 else 1, expansion))
                before = channels
        self.deep = nn.Sequential(*deep)
        self.fusion = FeatureFusion(128, 128, 128)
        self.classifier = nn.Sequential(
            separable_conv(128, 128), separable_conv(128, 128), nn.Dropout(0.1), nn.Conv2d(128, num_classes, 1)
        )

    def features(self, images: Tensor) -> Features:
        """Logits (N, classes, H / 8, W / 8) and taps of (N, 3, H, W) normalised images."""
        height, width = (-(-pixels // self.context) for pixels in images.shape[2:])
        detail = self.shallow(images)
        context = self.deep(resize(images, (height, width)))
        return Features(self.classifier(self.fusion(detail, context)), (detail, context))
