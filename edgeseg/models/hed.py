"""HED (Xie, Tu, "Holistically-Nested Edge Detection", ICCV 2015, arXiv:1504.06375), a network of edges.

VGG-16 without its last pooling scores the image at five resolutions, behind the convolutions of each stage (Fig. 2 and
3), and the five side outputs, upsampled, are fused with weights that are learned (Sec. 2.2). 14,716,171 parameters with
one class, which tells an edge from none, as in the reimplementation of xwjabc. With several, each class is fused from
its own five scores, as in CASENet (Yu, Feng, Liu, Ramalingam, CVPR 2017, arXiv:1705.09759).

The reference pads the image by 35 pixels and cuts them off the side outputs again, as the authors did for Caffe. Here
each convolution pads itself. The side outputs are upsampled bilinearly, by a kernel that the paper too lets be fixed.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from edgeseg.models.backbones.vgg import vgg16
from edgeseg.models.blocks import cropped, resize
from edgeseg.models.network import Features, Network
from edgeseg.models.registry import register_network


@register_network("hed", paper="arXiv:1504.06375", year=2015)
class HED(Network):
    """HED with fused logits at full resolution. Its taps are the side outputs, of which the paper asks the same edges.

    A trainer's auxiliary heads stand upon them: that is deep supervision, with a linear map of the scores between.
    """

    stride = 1

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.backbone = vgg16(32, 32)
        count = len(self.backbone.channels)
        self.tap_channels = (num_classes,) * count
        self.sides = nn.ModuleList(nn.Conv2d(channels, num_classes, 1) for channels in self.backbone.channels)
        self.fusion = nn.Conv2d(count * num_classes, num_classes, 1, groups=num_classes)
        nn.init.constant_(self.fusion.weight, 1 / count)  # it begins as the mean of the side outputs
        nn.init.zeros_(self.fusion.get_parameter("bias"))

    def features(self, images: Tensor) -> Features:
        """Logits (N, classes, H, W) and five taps of the same shape of (N, 3, H, W) normalised images."""
        size = (images.shape[2], images.shape[3])
        x, sides = images, []
        for level, (stage, side) in enumerate(zip(self.backbone.stages, self.sides, strict=True)):
            x = stage.convs(x)
            sides.append(_enlarged(side(x), 2**level, size))
            x = stage.pool(x)
        by_class = torch.stack(sides, dim=2).flatten(1, 2)
        return Features(self.fusion(by_class), tuple(sides))


def _enlarged(scores: Tensor, factor: int, size: tuple[int, int]) -> Tensor:
    """(N, C, h, w) upsampled by the factor, without what rounding up in the pooling had added."""
    if factor > 1:
        scores = resize(scores, (scores.shape[2] * factor, scores.shape[3] * factor))
    return cropped(scores, size)
