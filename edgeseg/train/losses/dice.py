"""The Dice loss (after Milletari, Navab, Ahmadi, "V-Net", 3DV 2016, arXiv:1606.04797)."""

from __future__ import annotations

import torch
from torch import Tensor

from edgeseg.train.losses.base import Loss, one_hot
from edgeseg.train.world import summed


class Dice(Loss):
    """``dice``: one minus the soft Dice coefficient over the whole batch, mean of the classes in it.

    Cross-entropy counts pixels; this counts overlap, as IoU does, so that poles weigh as much as the road.
    """

    def __init__(self, class_weights: Tensor, weight: float = 1.0) -> None:
        super().__init__(weight)

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """A scalar of 0..1 from logits (N, C, H, W) and labels (N, H, W) int64; zero where no pixel is labelled."""
        truth, labelled = one_hot(labels, logits.shape[1])
        probabilities = logits.softmax(dim=1) * labelled
        pixels = (0, 2, 3)
        sums = torch.stack([x.sum(pixels) for x in (probabilities * truth, probabilities, truth)])
        common, found, area = summed(sums)
        dice = 2 * common / (found + area).clamp_min(1e-12)
        present = area > 0
        mean: Tensor = ((1 - dice) * present).sum() / present.sum().clamp_min(1)
        return mean
