"""MiT-B0, the trunk of SegFormer (Xie et al., "SegFormer: Simple and Efficient Design for Semantic Segmentation with
Transformers", NeurIPS 2021, arXiv:2105.15203, section 3.1 and Table 6), as in the authors' repository.

A transformer in four stages without position embeddings: what a pixel's place is, its feed-forward layers learn from
the borders of a 3x3 convolution. Parameters are declared in the order of the authors' ``mit_b0.pth``: the embeddings
first, then the stages.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from edgeseg.errors import InputError
from edgeseg.models.backbones.base import Backbone

_CHANNELS = (32, 64, 160, 256)
_HEADS = (1, 2, 5, 8)
_REDUCTIONS = (8, 4, 2, 1)
_DEPTH = 2
_EXPANSION = 4
_DROP_PATH = 0.1
"""Table 6 and the authors' settings of B0."""

LEAST_SIDE_PX = 32
"""Of images: at stride 4 the first stage joins 8x8 tokens."""


class DropPath(nn.Module):
    """Leaves out a residual branch of some images in training (stochastic depth, Huang 2016, arXiv:1603.09382)."""

    def __init__(self, p: float) -> None:
        super().__init__()
        self.kept = nn.Dropout(p)

    def forward(self, branch: Tensor) -> Tensor:
        """(N, H, W, C) to the same."""
        if not self.training:
            return branch
        weights: Tensor = self.kept(branch.new_ones(len(branch), 1, 1, 1))
        return branch * weights


class PatchEmbedding(nn.Module):
    """Overlapping patches: a strided convolution whose windows reach into each other, and layer normalisation."""

    def __init__(self, in_channels: int, channels: int, patch: int, stride: int) -> None:
        super().__init__()
        self.project = nn.Conv2d(in_channels, channels, patch, stride, patch // 2)
        self.norm = nn.LayerNorm(channels)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in, H, W) to (N, H / stride, W / stride, channels)."""
        y: Tensor = self.norm(self.project(x).permute(0, 2, 3, 1))
        return y


class EfficientAttention(nn.Module):
    """Self-attention whose keys and values are of fewer tokens (Eq. 1 and 2): a strided convolution joins R x R."""

    def __init__(self, channels: int, heads: int, reduction: int) -> None:
        super().__init__()
        self.heads = heads
        self.scale = (channels // heads) ** -0.5
        self.query = nn.Linear(channels, channels)
        self.key_value = nn.Linear(channels, 2 * channels)
        self.project = nn.Linear(channels, channels)
        self.reduce: nn.Conv2d | None = None
        if reduction > 1:
            self.reduce = nn.Conv2d(channels, channels, reduction, reduction)
            self.norm = nn.LayerNorm(channels)

    def forward(self, x: Tensor) -> Tensor:
        """(N, H, W, C) to the same."""
        shape = x.shape
        query = self._by_head(self.query(x))
        if self.reduce is not None:
            x = self.norm(self.reduce(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1))
        key, value = (self._by_head(one) for one in self.key_value(x).chunk(2, dim=-1))
        weights = torch.softmax(query @ key.transpose(2, 3) * self.scale, dim=-1)
        y: Tensor = self.project((weights @ value).transpose(1, 2).reshape(shape))
        return y

    def _by_head(self, x: Tensor) -> Tensor:
        """(N, H, W, C) to (N, heads, H * W, C / heads)."""
        return x.reshape(x.shape[0], -1, self.heads, x.shape[3] // self.heads).transpose(1, 2)


class MixFeedForward(nn.Module):
    """The feed-forward layer with a depthwise 3x3 convolution inside (Eq. 3), which stands for position embeddings."""

    def __init__(self, channels: int, expansion: int) -> None:
        super().__init__()
        hidden = channels * expansion
        self.expand = nn.Linear(channels, hidden)
        self.depthwise = nn.Conv2d(hidden, hidden, 3, padding=1, groups=hidden)
        self.activation = nn.GELU()
        self.project = nn.Linear(hidden, channels)

    def forward(self, x: Tensor) -> Tensor:
        """(N, H, W, C) to the same."""
        hidden = self.depthwise(self.expand(x).permute(0, 3, 1, 2))
        y: Tensor = self.project(self.activation(hidden).permute(0, 2, 3, 1))
        return y


class Block(nn.Module):
    """Attention, then the feed-forward layer, each behind a normalisation and beside what came in."""

    def __init__(self, channels: int, heads: int, reduction: int, drop_path: float) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(channels, eps=1e-6)
        self.attention = EfficientAttention(channels, heads, reduction)
        self.norm2 = nn.LayerNorm(channels, eps=1e-6)
        self.feed_forward = MixFeedForward(channels, _EXPANSION)
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        """(N, H, W, C) to the same."""
        x = x + self.drop_path(self.attention(self.norm1(x)))
        y: Tensor = x + self.drop_path(self.feed_forward(self.norm2(x)))
        return y


class MixTransformer(Backbone):
    """MiT, whose first features are at stride 4; of images of at least 32 pixels a side.

    Args:
        stride: of the last features.
    """

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.channels = _CHANNELS[: stride.bit_length() - 2]
        shapes = [(3, 7, 4), *((channels, 3, 2) for channels in self.channels)]
        self.embeddings = nn.ModuleList(
            PatchEmbedding(before, channels, patch, step)
            for channels, (before, patch, step) in zip(self.channels, shapes, strict=False)
        )
        last = _DEPTH * len(_CHANNELS) - 1
        drops = [_DROP_PATH * index / last for index in range(last + 1)]
        self.stages = nn.ModuleList()
        for index, channels in enumerate(self.channels):
            own = drops[index * _DEPTH : (index + 1) * _DEPTH]
            blocks = (Block(channels, _HEADS[index], _REDUCTIONS[index], drop) for drop in own)
            self.stages.append(nn.Sequential(*blocks, nn.LayerNorm(channels, eps=1e-6)))
        self.apply(_begin)

    def forward(self, images: Tensor) -> list[Tensor]:
        """See :meth:`Backbone.forward`."""
        features = []
        x = images
        for embedding, stage in zip(self.embeddings, self.stages, strict=True):
            x = stage(embedding(x)).permute(0, 3, 1, 2)
            features.append(x)
        return features


def _begin(module: nn.Module) -> None:
    """Small normal numbers for linear layers, and by what goes out for convolutions, as the authors begin."""
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        nn.init.zeros_(module.bias)
    elif isinstance(module, nn.Conv2d):
        fan_out = module.weight[0, 0].numel() * module.out_channels // module.groups
        nn.init.normal_(module.weight, std=math.sqrt(2 / fan_out))
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def mit_b0(stride: int, output_stride: int) -> MixTransformer:
    """MiT-B0 that ends at stride 16 or 32: 1.38 or 3.32 million parameters. No other output stride."""
    if output_stride < stride:
        raise InputError(f"MiT has no output stride {output_stride}: tokens have no dilation", "Leave it out")
    return MixTransformer(stride)
