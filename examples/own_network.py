"""A network of one's own, trained on a dataset folder: python own_network.py DATA OUTPUT [EPOCHS].

Import this file, or name it in an entry point ``edgeseg.networks``, wherever its checkpoints are loaded.
"""

from __future__ import annotations

import sys

from torch import Tensor, nn

from edgeseg.models.blocks import conv_bn_relu, separable_conv
from edgeseg.models.network import Features, Network
from edgeseg.models.registry import register_network
from edgeseg.train.config import TrainConfig
from edgeseg.train.loop import Trainer


@register_network("plain_net")
@register_network("plain_net_wide", width=64)
class PlainNet(Network):
    """Depthwise-separable convolutions down to stride 8, and a classifier."""

    stride = 8

    def __init__(self, num_classes: int, *, width: int = 32) -> None:
        super().__init__()
        self.tap_channels = (width,)
        self.body = nn.Sequential(
            conv_bn_relu(3, width, stride=2),
            separable_conv(width, width, stride=2),
            separable_conv(width, width, stride=2),
        )
        self.classifier = nn.Conv2d(width, num_classes, 1)

    def features(self, images: Tensor) -> Features:
        """Logits (N, classes, H / 8, W / 8), and what auxiliary losses attach to."""
        tap = self.body(images)
        return Features(self.classifier(tap), (tap,))


if __name__ == "__main__":
    data, output, *epochs = sys.argv[1:]
    config = TrainConfig(data=data, output=output, network="plain_net", epochs=int(*epochs or [50]))
    trained = Trainer(config).run()
    print(f"{trained.model}: mIoU {trained.miou:.3f}")
