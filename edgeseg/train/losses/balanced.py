"""Cross-entropy in which the classes of a picture weigh alike, however few pixels some of them have."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from edgeseg.spec.palette import IGNORE
from edgeseg.train.losses.base import Loss, one_hot
from edgeseg.train.world import summed


class Balanced(Loss):
    """``balanced``: pixels weigh by how many of their picture are of another class; of HED's edges a tenth or less are.

    Equation 2 of Xie, Tu, "Holistically-Nested Edge Detection" (ICCV 2015, arXiv:1504.06375), which is of two classes;
    the mean is taken over the weights. What weights the classes have in the configuration plays no part.

    Args:
        class_weights: (C,) float.
        weight: of this term in the sum.
    """

    def __init__(self, class_weights: Tensor, weight: float = 1.0) -> None:
        super().__init__(weight)

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """A scalar; zero, with gradients, where no pixel is labelled, or pictures are of one class alone."""
        nll = F.cross_entropy(logits, labels, ignore_index=IGNORE, reduction="none")
        truth, labelled = one_hot(labels, logits.shape[1])
        pixels = truth.sum((2, 3), keepdim=True)
        others = 1 - pixels / labelled.sum((2, 3), keepdim=True).clamp_min(1)
        weights = (truth * others).sum(1)
        sums = summed(torch.stack([(nll * weights).sum(), weights.sum()]))
        return sums[0] / sums[1].clamp_min(1e-12)
