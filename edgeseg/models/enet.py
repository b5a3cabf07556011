"""ENet (Paszke, Chaurasia, Kim, Culurciello, "ENet: A Deep Neural Network Architecture for Real-Time Semantic
Segmentation", 2016, arXiv:1606.02147).

An early downsampling encoder of bottlenecks (Table 1) with dilated and asymmetric convolutions, and a small decoder
that unpools to where the encoder's maxima were. 350,508 parameters at 11 classes, as in the reimplementation of
davidtvs: PReLU in the encoder, ReLU in the decoder, no biases.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edgeseg.models.blocks import unpool, window_argmax
from edgeseg.models.network import Features, Network
from edgeseg.models.registry import register_network


def _activation(channels_relu: bool) -> nn.Module:
    return nn.ReLU(inplace=True) if channels_relu else nn.PReLU()


def _conv(
    in_channels: int,
    out_channels: int,
    kernel: int | tuple[int, int],
    relu: bool,
    stride: int = 1,
    padding: int | tuple[int, int] = 0,
    dilation: int = 1,
) -> list[nn.Module]:
    return [
        nn.Conv2d(in_channels, out_channels, kernel, stride, padding, dilation, bias=False),
        nn.BatchNorm2d(out_channels),
        _activation(relu),
    ]


class InitialBlock(nn.Module):
    """Fig. 2a: a strided 3x3 convolution beside max pooling, concatenated."""

    def __init__(self, out_channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, out_channels - 3, 3, stride=2, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(out_channels)
        self.activation = _activation(False)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) to (N, out, H/2, W/2)."""
        y: Tensor = self.activation(self.norm(torch.cat([self.conv(x), F.max_pool2d(x, 3, 2, 1)], dim=1)))
        return y


class Bottleneck(nn.Module):
    """Fig. 2b without resampling: project 1x1, a convolution (plain, dilated or asymmetric), expand 1x1, add."""

    def __init__(
        self, channels: int, dropout: float, dilation: int = 1, asymmetric: bool = False, relu: bool = False
    ) -> None:
        super().__init__()
        hidden = channels // 4
        if asymmetric:
            spatial = [
                *_conv(hidden, hidden, (5, 1), relu, padding=(2, 0)),
                *_conv(hidden, hidden, (1, 5), relu, padding=(0, 2)),
            ]
        else:
            spatial = _conv(hidden, hidden, 3, relu, padding=dilation, dilation=dilation)
        self.extension = nn.Sequential(
            *_conv(channels, hidden, 1, relu), *spatial, *_conv(hidden, channels, 1, relu), nn.Dropout2d(dropout)
        )
        self.activation = _activation(relu)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to the same shape."""
        y: Tensor = self.activation(x + self.extension(x))
        return y


class DownsamplingBottleneck(nn.Module):
    """Fig. 2b with downsampling: max pooling, zero-padded in channels, beside a strided projection."""

    def __init__(self, in_channels: int, out_channels: int, dropout: float) -> None:
        super().__init__()
        hidden = in_channels // 4
        self.new_channels = out_channels - in_channels
        self.extension = nn.Sequential(
            *_conv(in_channels, hidden, 2, False, stride=2),
            *_conv(hidden, hidden, 3, False, padding=1),
            *_conv(hidden, out_channels, 1, False),
            nn.Dropout2d(dropout),
        )
        self.activation = _activation(False)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(N, in, H, W) to (N, out, H/2, W/2), and the mask for :func:`unpool`."""
        maxima, mask = window_argmax(x)
        main = F.pad(maxima, (0, 0, 0, 0, 0, self.new_channels))
        return self.activation(main + self.extension(x)), mask


class UpsamplingBottleneck(nn.Module):
    """Fig. 2b with upsampling: a 1x1 convolution unpooled to the encoder's maxima, beside a transposed convolution."""

    def __init__(self, in_channels: int, out_channels: int, dropout: float) -> None:
        super().__init__()
        hidden = in_channels // 4
        self.main = nn.Sequential(nn.Conv2d(in_channels, out_channels, 1, bias=False), nn.BatchNorm2d(out_channels))
        self.extension = nn.Sequential(
            *_conv(in_channels, hidden, 1, True),
            nn.ConvTranspose2d(hidden, hidden, 2, stride=2, bias=False),
            nn.BatchNorm2d(hidden),
            _activation(True),
            nn.Conv2d(hidden, out_channels, 1, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.Dropout2d(dropout),
        )
        self.activation = _activation(True)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """(N, in, h, w) and the mask of (N, out, h, w) windows to (N, out, 2h, 2w)."""
        y: Tensor = self.activation(unpool(self.main(x), mask) + self.extension(x))
        return y


@register_network("enet", paper="arXiv:1606.02147", year=2016)
class ENet(Network):
    """ENet with logits at full resolution. Its tap is the encoder's end, at stride 8."""

    stride = 1
    size_multiple = 8
    tap_channels = (128,)

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.initial = InitialBlock(16)
        self.down1 = DownsamplingBottleneck(16, 64, dropout=0.01)
        self.stage1 = nn.Sequential(*(Bottleneck(64, dropout=0.01) for _ in range(4)))
        self.down2 = DownsamplingBottleneck(64, 128, dropout=0.1)
        self.stage2 = _context_stage()
        self.stage3 = _context_stage()
        self.up4 = UpsamplingBottleneck(128, 64, dropout=0.1)
        self.stage4 = nn.Sequential(*(Bottleneck(64, dropout=0.1, relu=True) for _ in range(2)))
        self.up5 = UpsamplingBottleneck(64, 16, dropout=0.1)
        self.stage5 = Bottleneck(16, dropout=0.1, relu=True)
        self.classifier = nn.ConvTranspose2d(16, num_classes, 3, stride=2, padding=1, output_padding=1, bias=False)

    def features(self, images: Tensor) -> Features:
        """Logits (N, classes, H, W) and the tap at stride 8 of (N, 3, H, W) normalised images."""
        x, mask1 = self.down1(self.initial(images))
        x, mask2 = self.down2(self.stage1(x))
        encoded = self.stage3(self.stage2(x))
        x = self.stage4(self.up4(encoded, mask2))
        x = self.stage5(self.up5(x, mask1))
        return Features(self.classifier(x), (encoded,))


def _context_stage() -> nn.Sequential:
    """The eight bottlenecks of stages 2 and 3: plain, dilated 2, asymmetric, dilated 4, plain, 8, asymmetric, 16."""
    return nn.Sequential(
        Bottleneck(128, 0.1),
        Bottleneck(128, 0.1, dilation=2),
        Bottleneck(128, 0.1, asymmetric=True),
        Bottleneck(128, 0.1, dilation=4),
        Bottleneck(128, 0.1),
        Bottleneck(128, 0.1, dilation=8),
        Bottleneck(128, 0.1, asymmetric=True),
        Bottleneck(128, 0.1, dilation=16),
    )
