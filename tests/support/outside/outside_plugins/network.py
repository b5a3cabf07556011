"""A network of two convolutions."""

from __future__ import annotations

from torch import Tensor, nn

from edgeseg.models.blocks import conv_bn_relu
from edgeseg.models.network import Features, Network
from edgeseg.models.registry import register_network


@register_network("tiny_net")
@register_network("tiny_net_wide", channels=32)
class TinyNet(Network):
    """Logits at stride 4."""

    stride = 4

    def __init__(self, num_classes: int, *, channels: int = 8) -> None:
        super().__init__()
        self.tap_channels = (channels,)
        self.stem = nn.Sequential(conv_bn_relu(3, channels, stride=2), conv_bn_relu(channels, channels, stride=2))
        self.classifier = nn.Conv2d(channels, num_classes, 1)

    def features(self, images: Tensor) -> Features:
        """Logits (N, classes, H / 4, W / 4) and the tap before them."""
        tap = self.stem(images)
        return Features(self.classifier(tap), (tap,))
