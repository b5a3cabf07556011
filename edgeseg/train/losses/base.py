"""What every loss of edgeseg is: a module from logits and labels to a number, with a weight beside the others."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from edgeseg.spec.palette import IGNORE


class Loss(nn.Module):
    """One term of what a training makes small.

    Subclasses implement :meth:`forward`, and take ``class_weights`` first where they are made: (C,) float, how much
    each class counts. The host never waits for a number of the device in them. Sums over the batch go through
    :func:`edgeseg.train.world.summed`, as other processes may have a share of it.

    Args:
        weight: of this term in the sum.
    """

    def __init__(self, weight: float = 1.0) -> None:
        super().__init__()
        self.weight = weight

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """The loss without its weight.

        Args:
            logits: (N, C, H, W) float32.
            labels: (N, H, W) int64, 255 = no label.

        Returns:
            A scalar; zero, with gradients, where no pixel is labelled.
        """
        raise NotImplementedError


class SoftTargets(NamedTuple):
    """What a teacher says of a batch, at the points where the losses are taken.

    Attributes:
        log_probabilities: (N, C, H, W) float32.
        inside: (N, H, W) bool, False beyond a picture's border, where there is nothing to learn.
    """

    log_probabilities: Tensor
    inside: Tensor


class SoftLoss(Loss):
    """A term that looks at what a teacher says, and not at the labels."""

    def forward(self, logits: Tensor, targets: SoftTargets) -> Tensor:  # type: ignore[override]
        """The loss without its weight; logits as for any loss. Zero, with gradients, where no pixel is inside."""
        raise NotImplementedError


def one_hot(labels: Tensor, num_classes: int) -> tuple[Tensor, Tensor]:
    """The truth of each class as (N, C, H, W) float32, and which pixels have a label as (N, 1, H, W) bool.

    Args:
        labels: (N, H, W) int64, 255 = no label; such a pixel is of no class.
        num_classes: C.
    """
    labelled = (labels != IGNORE).unsqueeze(1)
    size = (labels.shape[0], num_classes, *labels.shape[1:])
    truth = torch.zeros(size, device=labels.device)
    truth.scatter_(1, torch.where(labelled, labels.unsqueeze(1), 0), labelled.float())
    return truth, labelled
