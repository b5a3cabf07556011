"""ERFNet (Romera, Álvarez, Bergasa, Arroyo, "ERFNet: Efficient Residual Factorized ConvNet for Real-Time Semantic
Segmentation", IEEE Transactions on Intelligent Transportation Systems 19(1), 2018, doi:10.1109/TITS.2017.2750080).

An encoder and a decoder as ENet has them (Table I), of residual blocks whose 3x3 convolutions are pairs of 3x1 and 1x3:
as many channels as a full block at two thirds of the weights. What the encoder lost comes back by transposed
convolutions.

2,063,671 parameters at 11 classes. Eromera/erfnet_pytorch has 2,065,090, with a 1x1 convolution to classes at the
encoder's end, by which the encoder is trained alone and which no image passes later. Here the trainer hangs the same
convolution at the tap.
"""

from __future__ import annotations

from torch import Tensor, nn

from edgeseg.models.blocks import Downsampler, factorised_conv, set_bn_epsilon
from edgeseg.models.network import Features, Network
from edgeseg.models.registry import register_network


class NonBottleneck1D(nn.Module):
    """The factorised residual block (Fig. 2c), of which the second half may be dilated."""

    def __init__(self, channels: int, dropout: float = 0.0, dilation: int = 1) -> None:
        super().__init__()
        self.block = nn.Sequential(
            factorised_conv(channels),
            nn.ReLU(inplace=True),
            factorised_conv(channels, dilation),
            nn.Dropout2d(dropout),
        )
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to the same shape."""
        y: Tensor = self.relu(x + self.block(x))
        return y


class Upsampler(nn.Sequential):
    """A transposed 3x3 convolution of stride 2, batch normalisation, ReLU: (N, in, H, W) to (N, out, 2H, 2W)."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(
            nn.ConvTranspose2d(in_channels, out_channels, 3, stride=2, padding=1, output_padding=1),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(inplace=True),
        )


@register_network("erfnet", paper="doi:10.1109/TITS.2017.2750080", year=2018)
class ERFNet(Network):
    """ERFNet with logits at full resolution. Its tap is the encoder's end, at stride 8."""

    stride = 1
    size_multiple = 8
    tap_channels = (128,)

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            Downsampler(3, 16),
            Downsampler(16, 64),
            *(NonBottleneck1D(64, dropout=0.03) for _ in range(5)),
            Downsampler(64, 128),
            *(NonBottleneck1D(128, dropout=0.3, dilation=dilation) for dilation in (2, 4, 8, 16, 2, 4, 8, 16)),
        )
        self.decoder = nn.Sequential(
            Upsampler(128, 64),
            NonBottleneck1D(64),
            NonBottleneck1D(64),
            Upsampler(64, 16),
            NonBottleneck1D(16),
            NonBottleneck1D(16),
        )
        self.classifier = nn.ConvTranspose2d(16, num_classes, 2, stride=2)
        set_bn_epsilon(self, 1e-3)

    def features(self, images: Tensor) -> Features:
        """Logits (N, classes, H, W) and the tap at stride 8 of (N, 3, H, W) normalised images."""
        encoded = self.encoder(images)
        return Features(self.classifier(self.decoder(encoded)), (encoded,))
