"""``brier``: the mean squared error of the probabilities (Brier 1950)."""

from __future__ import annotations

from torch import Tensor

from edgeseg.train.losses.base import Loss, one_hot


class Brier(Loss):
    """Of labelled pixels."""

    def __init__(self, class_weights: Tensor, weight: float = 1.0) -> None:
        super().__init__(weight)

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """A scalar of 0..2."""
        truth, labelled = one_hot(labels, logits.shape[1])
        return ((logits.softmax(1) - truth) * labelled).square().sum() / labelled.sum().clamp_min(1)
