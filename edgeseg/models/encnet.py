"""EncNet (Zhang, Dana, Shi, Zhang, Wang, Tyagi, Agrawal, "Context Encoding for Semantic Segmentation", CVPR 2018,
arXiv:1803.08904).

A dilated ResNet to stride 8 and the context encoding module (Fig. 2): the features of all pixels are described by how
they lie around learned codewords, and that says which channels matter in this scene. 33,494,187 parameters at 11
classes upon ResNet-50: the 33,499,830 of the authors' PyTorch-Encoding without lateral connections and auxiliary head,
less the 5,643 of the linear layer that their semantic encoding loss looks at, which is an auxiliary head here.

The paper multiplies the features by the weights of their channels; the authors' code adds them once more and takes the
ReLU, and so does this.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from edgeseg.models.backbones.registry import build_backbone
from edgeseg.models.blocks import conv_bn_relu
from edgeseg.models.network import Features, Network
from edgeseg.models.registry import register_network


class Encoding(nn.Module):
    """The encoding layer (section 2, equation 1): residuals to learned codewords, softly assigned, summed up.

    Args:
        channels: D, of the features.
        codewords: K.
    """

    def __init__(self, channels: int, codewords: int) -> None:
        super().__init__()
        limit = (channels * codewords) ** -0.5
        self.codewords = nn.Parameter(torch.empty(codewords, channels).uniform_(-limit, limit))
        self.smoothing = nn.Parameter(torch.empty(codewords).uniform_(-1, 0))

    def forward(self, x: Tensor) -> Tensor:
        """(N, D, H, W) to (N, K, D)."""
        pixels = x.flatten(2).to(self.codewords.dtype)
        # |x - d|^2 = |x|^2 - 2 x d + |d|^2, so that no tensor of pixels by codewords by channels is made.
        distances = pixels.square().sum(1, keepdim=True) + self.codewords.square().sum(1).view(-1, 1)
        distances = distances - 2 * (self.codewords @ pixels)
        assigned = (self.smoothing.view(-1, 1) * distances).softmax(dim=1)
        return assigned @ pixels.transpose(1, 2) - assigned.sum(2, keepdim=True) * self.codewords


class ContextEncoding(nn.Module):
    """The context encoding module (section 2, Fig. 2): weighs channels by an encoding of the whole picture."""

    def __init__(self, channels: int, codewords: int = 32) -> None:
        super().__init__()
        self.reduce = conv_bn_relu(channels, channels, 1)
        self.encoding = Encoding(channels, codewords)
        self.norm = nn.Sequential(nn.BatchNorm2d(codewords), nn.ReLU(inplace=True))
        self.weigh = nn.Sequential(nn.Conv2d(channels, channels, 1), nn.Sigmoid())

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(N, C, H, W) to the same, and the encoding of the whole picture (N, C, 1, 1)."""
        codes = self.norm(self.encoding(self.reduce(x)).unsqueeze(3))
        code = codes.mean(1, keepdim=True).transpose(1, 2)
        return torch.relu(x + x * self.weigh(code)), code


@register_network("encnet", paper="arXiv:1803.08904", year=2018)
class EncNet(Network):
    """EncNet with logits at the output stride. Its taps are those of the paper: what the backbone has before its last
    stage, and the encoding of the whole picture.

    Args:
        num_classes: logits of each pixel.
        backbone: name in :data:`edgeseg.models.backbones.registry.BACKBONES`.
        output_stride: 8, as in the paper, 16 or 32.

    Raises:
        InputError: no such backbone or output stride.
    """

    def __init__(self, num_classes: int, *, backbone: str = "resnet50", output_stride: int = 8) -> None:
        super().__init__()
        self.stride = output_stride
        self.backbone = build_backbone(backbone, output_stride=output_stride)
        *_, before, last = self.backbone.channels
        self.tap_channels = (before, 512)
        self.reduce = conv_bn_relu(last, 512)
        self.context = ContextEncoding(512)
        self.classifier = nn.Sequential(nn.Dropout2d(0.1), nn.Conv2d(512, num_classes, 1))

    def features(self, images: Tensor) -> Features:
        """Logits (N, classes, H / stride, W / stride) and taps of (N, 3, H, W) normalised images."""
        *_, before, last = self.backbone(images)
        features, code = self.context(self.reduce(last))
        return Features(self.classifier(features), (before, code))
