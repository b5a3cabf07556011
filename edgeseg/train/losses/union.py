"""What is lost where labels say of a pixel only that it is of one of several classes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edgeseg.spec.palette import IGNORE
from edgeseg.train.world import summed


class UnionLoss(nn.Module):
    """The negative logarithm of the probability that a pixel is of any class of its union.

    Which of them the network says is its own affair, so that it is not punished for telling apart what a data set does
    not. The mean is over all pixels with a label or a union, so that beside cross-entropy each pixel counts alike.

    Args:
        num_classes: C.
        unions: indices of classes; a pixel labelled C + k is of one of the k-th.
    """

    members: Tensor

    def __init__(self, num_classes: int, unions: Sequence[Sequence[int]]) -> None:
        super().__init__()
        members = torch.zeros(len(unions), num_classes, dtype=torch.bool)
        for index, union in enumerate(unions):
            members[index, list(union)] = True
        self.num_classes = num_classes
        self.register_buffer("members", members, persistent=False)

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """A scalar from logits (N, C, H, W) float32 and labels (N, H, W) int64, 255 = no label; zero without unions."""
        is_union = (labels >= self.num_classes) & (labels != IGNORE)
        members = self.members[torch.where(is_union, labels - self.num_classes, 0)].movedim(-1, 1)
        log_probabilities = F.log_softmax(logits, dim=1).masked_fill(~members, float("-inf"))
        lost = -torch.where(is_union, log_probabilities.logsumexp(dim=1), 0.0)
        total, pixels = summed(torch.stack([lost.sum(), (labels != IGNORE).sum().float()]))
        mean: Tensor = total / pixels.clamp_min(1)
        return mean

    def classes_alone(self, labels: Tensor) -> Tensor:
        """The labels without the unions: 255 there."""
        return torch.where(labels < self.num_classes, labels, IGNORE)
