"""A loss of the borders between classes (Bokhovkin, Burnaev, "Boundary Loss for Remote Sensing Imagery", ISNN 2019,
arXiv:1905.07852): one minus the F1 score of boundaries that are found within a few pixels of the true ones.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from edgeseg.train.losses.base import Loss, one_hot
from edgeseg.train.world import summed

THICKNESS = 3
"""Pixels across a boundary."""

TOLERANCE = 5
"""Pixels across the band in which a boundary counts as found."""


class Boundary(Loss):
    """``boundary``: one minus the boundary F1 score over the whole batch, mean of the classes that have a boundary.

    Pixels without a label and their neighbours are left out.
    """

    def __init__(self, class_weights: Tensor, weight: float = 1.0) -> None:
        super().__init__(weight)

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """A scalar of 0..1 from logits (N, C, H, W) and labels (N, H, W) int64; zero where there is no boundary."""
        truth, labelled = one_hot(labels, logits.shape[1])
        known = _erode(labelled.float(), THICKNESS)
        wanted, found = (_edges(x) * known for x in (truth, logits.softmax(1)))
        pixels = (0, 2, 3)
        maps = (found * _dilate(wanted, TOLERANCE), found, _dilate(found, TOLERANCE) * wanted, wanted)
        right, said, met, length = summed(torch.stack([one.sum(pixels) for one in maps]))
        precision, recall = right / said.clamp_min(1e-6), met / length.clamp_min(1e-6)
        f1 = 2 * precision * recall / (precision + recall).clamp_min(1e-6)
        present = length > 0
        mean: Tensor = ((1 - f1) * present).sum() / present.sum().clamp_min(1)
        return mean


def _dilate(x: Tensor, pixels: int) -> Tensor:
    return F.max_pool2d(x, pixels, stride=1, padding=pixels // 2)


def _erode(x: Tensor, pixels: int) -> Tensor:
    return 1 - _dilate(1 - x, pixels)


def _edges(x: Tensor) -> Tensor:
    """Where a class ends, on its own side."""
    return _dilate(1 - x, THICKNESS) - (1 - x)
