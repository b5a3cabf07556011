"""FCN-32s, FCN-16s and FCN-8s (Long, Shelhamer, Darrell, "Fully Convolutional Networks for Semantic Segmentation", CVPR
2015, arXiv:1411.4038).

VGG-16 whose fully connected layers became convolutions (Sec. 4.1), a score of each class from them, and scores of finer
features added on the way up (Fig. 3). 134,801,227 / 134,437,094 / 134,348,929 parameters at 11 classes, as in
wkentaro's port of the authors' files, where every upsampling is a transposed convolution that learns and begins as
bilinear. The paper fixes the last one, from stride 32, 16 or 8 to the image's size.

The authors' files pad the image by 100 pixels, so that a small one does not vanish in the 7x7 convolution, and cut that
off again behind. Here that convolution is padded by 3 itself: the same weights, and the same sizes without an offset.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from edgeseg.errors import InputError
from edgeseg.models.backbones.registry import build_backbone
from edgeseg.models.blocks import cropped, he_normal
from edgeseg.models.network import Features, Network
from edgeseg.models.registry import register_network


class Upsampling(nn.ConvTranspose2d):
    """A transposed convolution from all channels to all, which begins as bilinear upsampling of each (Sec. 3.3)."""

    def __init__(self, channels: int, factor: int) -> None:
        super().__init__(channels, channels, 2 * factor, stride=factor, padding=factor // 2, bias=False)
        ramp = 1 - (torch.arange(2 * factor) - (factor - 0.5)).abs() / factor
        each = torch.arange(channels)
        with torch.no_grad():
            self.weight.zero_()
            self.weight[each, each] = torch.outer(ramp, ramp)


@register_network("fcn_32s", paper="arXiv:1411.4038", year=2015, finest=32)
@register_network("fcn_16s", finest=16)
@register_network("fcn_8s", finest=8)
class FCN(Network):
    """An FCN with logits at full resolution. Its tap is the backbone's end, at stride 32.

    Args:
        num_classes: logits of each pixel.
        finest: stride of the finest features that have scores: 8, 16 or 32.
        upsampled: False leaves the last upsampling to whoever takes the logits, which are then at stride ``finest``:
            with edgeseg's bilinear one that is the paper's network.
        fc_channels: of the two convolutions that were fully connected.

    Raises:
        InputError: another ``finest``.
    """

    stride = 1

    def __init__(self, num_classes: int, *, finest: int = 8, upsampled: bool = True, fc_channels: int = 4096) -> None:
        super().__init__()
        if finest not in (8, 16, 32):
            raise InputError(f"the finest stride of fcn is {finest}", "Use 8, 16 or 32")
        self.backbone = build_backbone("vgg16")
        *_, at8, at16, at32 = self.backbone.channels
        self.tap_channels = (at32,)
        self.fully_connected = nn.Sequential(
            nn.Conv2d(at32, fc_channels, 7, padding=3),
            nn.ReLU(inplace=True),
            nn.Dropout(0.5),
            nn.Conv2d(fc_channels, fc_channels, 1),
            nn.ReLU(inplace=True),
            nn.Dropout(0.5),
        )
        he_normal(self.fully_connected)
        self.score = nn.Conv2d(fc_channels, num_classes, 1)
        finer = [channels for channels, stride in ((at16, 16), (at8, 8)) if stride >= finest]
        self.finer_scores = nn.ModuleList(nn.Conv2d(channels, num_classes, 1) for channels in finer)
        self.doubled = nn.ModuleList(Upsampling(num_classes, 2) for _ in finer)
        self.upsampling = Upsampling(num_classes, finest) if upsampled else None
        if not upsampled:
            self.stride = finest

    def features(self, images: Tensor) -> Features:
        """Logits (N, classes, H, W) and the tap at stride 32 of (N, 3, H, W) normalised images."""
        *_, at8, at16, at32 = self.backbone(images)
        scores = self.score(self.fully_connected(at32))
        for score, double, finer in zip(self.finer_scores, self.doubled, (at16, at8), strict=False):
            scores = score(finer) + cropped(double(scores), (finer.shape[2], finer.shape[3]))
        if self.upsampling is not None:
            scores = cropped(self.upsampling(scores), (images.shape[2], images.shape[3]))
        return Features(scores, (at32,))
