"""LETNet (Xu, Li, Gao, Lu, Yang, Yue, "Lightweight Real-Time Semantic Segmentation Network With Efficient Transformer
and CNN", IEEE T-ITS 2023, arXiv:2302.10484).

A U of lightweight dilated bottlenecks (LDB) with one layer of a transformer at its bottom, at stride 16. 950,544
parameters at 11 classes. The authors' implementation has 950,304, yet cannot be run: there the deepest of its long
connections gives 16 channels where 32 are wanted, which are 784 parameters more, and two of its three attention layers
are never called, which are 544 less. It upsamples to full size before the last 1x1 convolution; as both are linear and
the convolution has no bias, it comes first here, at stride 2. Sizes that are odd at some stride are taken too: pooling
and upsampling keep to those of the convolutions.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edgeseg.models.blocks import bn_prelu, channel_shuffle, conv_bn_prelu, grid_pool, set_bn_epsilon
from edgeseg.models.network import Features, Network
from edgeseg.models.registry import register_network

_DILATIONS = (1, 1, 2, 2, 4, 4, 8, 8, 16, 16, 32, 32)
"""Of the bottlenecks at stride 8, and of those at 16."""


def _factorised(channels: int, dilation: int = 1, groups: int = 1) -> nn.Sequential:
    """3x1, then 1x3, each with BN and PReLU."""
    down = nn.Conv2d(channels, channels, (3, 1), 1, (dilation, 0), (dilation, 1), groups, bias=False)
    across = nn.Conv2d(channels, channels, (1, 3), 1, (0, dilation), (1, dilation), groups, bias=False)
    return nn.Sequential(down, bn_prelu(channels), across, bn_prelu(channels))


class ChannelAttention(nn.Module):
    """Efficient channel attention (Wang 2020, arXiv:1910.03151): a channel is weighed by itself and its neighbours."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 1, (3, 1), padding=(1, 0), bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to the same."""
        means = grid_pool(x, 1).transpose(1, 2)  # channels lie where the convolution sees a height
        return x * torch.sigmoid(self.conv(means)).transpose(1, 2)


class DilatedBottleneck(nn.Module):
    """The LDB: half of the channels inside, two depthwise branches of which one is dilated, and a channel shuffle."""

    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        hidden = channels // 2
        self.reduce = nn.Sequential(bn_prelu(channels), nn.Conv2d(channels, hidden, 1, bias=False), _factorised(hidden))
        self.near = nn.Sequential(_factorised(hidden, groups=hidden), ChannelAttention())
        self.far = nn.Sequential(_factorised(hidden, dilation, groups=hidden), ChannelAttention())
        self.expand = nn.Sequential(bn_prelu(hidden), nn.Conv2d(hidden, channels, 1, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to the same shape."""
        y = self.reduce(x)
        y = self.expand(self.near(y) + self.far(y) + y) + x
        return channel_shuffle(y, y.shape[1] // 2)


class Downsampling(nn.Module):
    """A strided convolution; where channels grow it makes only the new ones, beside max pooling."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.grows = in_channels < out_channels
        new = out_channels - in_channels if self.grows else out_channels
        self.conv = nn.Conv2d(in_channels, new, 3, 2, 1, bias=False)
        self.norm = bn_prelu(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in, H, W) to (N, out, H / 2, W / 2)."""
        y = self.conv(x)
        if self.grows:
            y = torch.cat([y, F.max_pool2d(x, 2, ceil_mode=True)], dim=1)
        z: Tensor = self.norm(y)
        return z


class WindowAttention(nn.Module):
    """Multi-head attention with half of the channels, each quarter of the tokens for itself.

    A rest, where their number does not divide by four, is a fifth part.
    """

    def __init__(self, channels: int, heads: int = 8) -> None:
        super().__init__()
        self.heads = heads
        self.scale = (channels // heads) ** -0.5
        self.reduce = nn.Linear(channels, channels // 2, bias=False)
        self.qkv = nn.Linear(channels // 2, channels // 2 * 3, bias=False)
        self.project = nn.Linear(channels // 2, channels)

    def forward(self, x: Tensor) -> Tensor:
        """(N, tokens, C) to the same shape."""
        x = self.reduce(x)
        n, tokens, channels = x.shape
        heads = self.qkv(x).reshape(n, tokens, 3, self.heads, channels // self.heads).permute(2, 0, 3, 1, 4)
        parts = heads.split(max(tokens // 4, 1), dim=3)
        seen = [((q @ k.transpose(-2, -1)) * self.scale).softmax(dim=-1) @ v for q, k, v in parts]
        y: Tensor = self.project(torch.cat(seen, dim=2).transpose(1, 2).reshape(n, tokens, channels))
        return y


class EfficientTransformer(nn.Module):
    """The ET: one layer of a transformer whose tokens are the 3x3 neighbourhoods of all pixels.

    They are taken apart and added up again where they overlap by shifts, which every engine knows.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        tokens = 9 * channels
        self.norm1, self.norm2 = nn.LayerNorm(tokens), nn.LayerNorm(tokens)
        self.attention = WindowAttention(tokens)
        self.mlp = nn.Sequential(nn.Linear(tokens, tokens // 4), nn.ReLU(inplace=True), nn.Linear(tokens // 4, tokens))

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to the same shape."""
        n, c, h, w = x.shape
        x = F.pad(x, (1, 1, 1, 1))
        shifts = [(top, left) for top in range(3) for left in range(3)]
        patches = torch.stack([x[:, :, top : top + h, left : left + w] for top, left in shifts], dim=2)
        y = patches.reshape(n, 9 * c, h * w).transpose(1, 2)
        y = y + self.attention(self.norm1(y))
        y = y + self.mlp(self.norm2(y))
        patches = y.transpose(1, 2).reshape(n, c, 9, h, w)
        placed = [
            F.pad(patches[:, :, index], (left, 2 - left, top, 2 - top)) for index, (top, left) in enumerate(shifts)
        ]
        return sum(placed[1:], placed[0])[:, :, 1:-1, 1:-1]


class Upsampling(nn.Module):
    """One step of the decoder: bottlenecks, the encoder's features added, and a transposed convolution of stride 2."""

    def __init__(self, channels: int, skip_channels: int, out_channels: int) -> None:
        super().__init__()
        self.bottlenecks = _bottlenecks(channels, (2, 2, 2))
        self.connection = nn.Sequential(
            nn.Conv2d(skip_channels, skip_channels // 2, (3, 1), padding=(1, 0)),
            nn.Conv2d(skip_channels // 2, channels, (1, 3), padding=(0, 1)),
        )
        self.up = nn.ConvTranspose2d(channels, out_channels, 3, 2, 1)
        self.norm = nn.Sequential(nn.BatchNorm2d(out_channels), nn.ReLU6(inplace=True))

    def forward(self, x: Tensor, skip: Tensor, size: tuple[int, int]) -> Tensor:
        """(N, C, h, w) and (N, skip, h, w) to (N, out, H, W) of ``size``, which is twice theirs, or one less."""
        y: Tensor = self.norm(self.up(self.bottlenecks(x) + self.connection(skip), output_size=list(size)))
        return y


class PixelAttention(nn.Module):
    """Each value weighed by what all channels of its pixel say."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to the same."""
        return x * torch.sigmoid(self.conv(x))


@register_network("letnet", paper="arXiv:2302.10484", year=2023)
class LETNet(Network):
    """LETNet with logits at stride 2. Its tap is what the transformer gives, at stride 16."""

    stride = 2
    tap_channels = (32,)

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            conv_bn_prelu(3, 32), conv_bn_prelu(32, 32), conv_bn_prelu(32, 32, stride=2), bn_prelu(32)
        )
        self.stage4 = nn.Sequential(Downsampling(32, 64), _bottlenecks(64, (2, 2, 2)), bn_prelu(64))
        self.stage8 = nn.Sequential(Downsampling(64, 128), _bottlenecks(128, _DILATIONS), bn_prelu(128))
        self.stage16 = nn.Sequential(Downsampling(128, 32), _bottlenecks(32, _DILATIONS), bn_prelu(32))
        self.transformer = EfficientTransformer(32)
        self.to8 = Upsampling(32, 32, 16)
        self.norm8 = bn_prelu(16)
        self.to4 = Upsampling(16, 128, 16)
        self.norm4 = bn_prelu(16)
        self.to2 = Upsampling(16, 64, 16)
        self.norm2 = nn.Sequential(PixelAttention(16), bn_prelu(16))
        self.classifier = nn.Conv2d(16, num_classes, 1, bias=False)
        set_bn_epsilon(self, 1e-3)

    def features(self, images: Tensor) -> Features:
        """Logits (N, classes, H / 2, W / 2) and the tap of (N, 3, H, W) normalised images."""
        at2 = self.stem(images)
        at4 = self.stage4(at2)
        at8 = self.stage8(at4)
        at16 = self.stage16(at8)
        context = self.transformer(at16)
        x = self.norm8(self.to8(context, at16, _size(at8)))
        x = self.norm4(self.to4(x, at8, _size(at4)))
        x = self.norm2(self.to2(x, at4, _size(at2)))
        return Features(self.classifier(x), (context,))


def _bottlenecks(channels: int, dilations: tuple[int, ...]) -> nn.Sequential:
    return nn.Sequential(*(DilatedBottleneck(channels, dilation) for dilation in dilations))


def _size(x: Tensor) -> tuple[int, int]:
    return x.shape[2], x.shape[3]
