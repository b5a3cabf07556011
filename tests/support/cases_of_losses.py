"""Logits and labels that losses are tried on."""

from __future__ import annotations

import torch
from torch import Tensor

WEIGHTS = torch.tensor([1.0, 3.0, 0.5])


def random_case(seed: int = 0, size: tuple[int, int] = (8, 8)) -> tuple[Tensor, Tensor]:
    """(2, 3, H, W) logits that take gradients and (2, H, W) labels, whose first two rows have none."""
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(2, 3, *size, generator=generator, requires_grad=True)
    labels = torch.randint(0, 3, (2, *size), generator=generator)
    labels[:, :2] = 255
    return logits, labels


def certain(labels: Tensor, num_classes: int, margin: float = 50) -> Tensor:
    """Logits (N, C, H, W) that say those labels."""
    return margin * torch.nn.functional.one_hot(labels, num_classes).movedim(-1, 1).float()
