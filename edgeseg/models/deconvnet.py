"""DeconvNet (Noh, Hong, Han, "Learning Deconvolution Network for Semantic Segmentation", ICCV 2015, arXiv:1505.04366).

VGG-16 down to one code of the whole window, its fully connected layers as convolutions, and the same in reverse:
unpooling to where the maxima were, and deconvolution (Fig. 2 and 3), with batch normalisation throughout. 251,805,003
parameters at 11 classes, by the authors' own definition of the network for Caffe.

A transposed convolution of stride 1 is a convolution with its kernel turned round, and is written as one. The authors
show the network 50 windows of an image, each 224x224 pixels, of which the 7x7 convolution of ``fc6`` makes a single
code. Here it is padded by 3 and slides over an image of any size.
"""

from __future__ import annotations

from torch import Tensor, nn

from edgeseg.models.backbones.vgg import vgg16_bn
from edgeseg.models.blocks import biased_conv_bn_relu
from edgeseg.models.network import Features, Network
from edgeseg.models.registry import register_network
from edgeseg.models.segnet import Decoder, encode


@register_network("deconvnet", paper="arXiv:1505.04366", year=2015)
class DeconvNet(Network):
    """DeconvNet with logits at full resolution. Its tap is the end of VGG-16's convolutions, at stride 32.

    Args:
        num_classes: logits of each pixel.
        fc_channels: of the code, which were those of fully connected layers.
    """

    stride = 1
    tap_channels = (512,)

    def __init__(self, num_classes: int, *, fc_channels: int = 4096) -> None:
        super().__init__()
        self.backbone = vgg16_bn(32, 32)
        self.code = nn.Sequential(
            biased_conv_bn_relu(512, fc_channels, 7),
            biased_conv_bn_relu(fc_channels, fc_channels, 1),
            biased_conv_bn_relu(fc_channels, 512, 7),
        )
        self.decoder = Decoder(last=2)
        self.classifier = nn.Conv2d(64, num_classes, 1)

    def features(self, images: Tensor) -> Features:
        """Logits (N, classes, H, W) and the tap at stride 32 of (N, 3, H, W) normalised images."""
        encoded, poolings = encode(self.backbone, images)
        return Features(self.classifier(self.decoder(self.code(encoded), poolings)), (encoded,))
