"""From uint8 pixels to what the networks take: one place for training, checkpoints and exported graphs."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from edgeseg.spec import ModelSpec


class Normalise(nn.Module):
    """``(pixels / 255 - mean) / std`` with a ModelSpec's mean and std, which are no part of the weights."""

    offset: Tensor
    scale: Tensor

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self.register_buffer("offset", 255 * torch.tensor(spec.mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("scale", 1 / (255 * torch.tensor(spec.std).view(1, 3, 1, 1)), persistent=False)

    def forward(self, pixels: Tensor) -> Tensor:
        """(N, 3, H, W) uint8 RGB to float32 of the same shape and memory format."""
        return (pixels.float() - self.offset) * self.scale
