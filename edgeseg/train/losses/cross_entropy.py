"""Cross-entropy weighted by class, over all pixels or the hard ones."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from edgeseg.errors import InputError
from edgeseg.spec.palette import IGNORE
from edgeseg.train.losses.base import Loss
from edgeseg.train.world import gathered, summed, world

HARD_SHARE = 16
"""Hard example mining keeps at least one in so many of the labelled pixels."""


class CrossEntropy(Loss):
    """``cross_entropy``: the mean over labelled pixels of the negative logarithm of the true class's probability."""

    class_weights: Tensor

    def __init__(self, class_weights: Tensor, weight: float = 1.0) -> None:
        super().__init__(weight)
        self.threshold = 1.0
        self.register_buffer("class_weights", class_weights.float())

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """A scalar; see :func:`ohem_cross_entropy`."""
        return ohem_cross_entropy(logits, labels, self.class_weights, self.threshold)


class OnlineHardExamples(CrossEntropy):
    """``ohem``: cross-entropy over the pixels that the network is least sure of.

    Args:
        class_weights: (C,) float.
        threshold: pixels whose true class has less than this probability count; 1 keeps all.
        weight: of this term in the sum.

    Raises:
        InputError: the threshold is no probability.
    """

    def __init__(self, class_weights: Tensor, threshold: float = 0.7, weight: float = 1.0) -> None:
        super().__init__(class_weights, weight)
        if not 0 < threshold <= 1:
            raise InputError(f"the threshold of ohem is {threshold:g}", "Give more than 0 and at most 1")
        self.threshold = threshold


def log_class_weights(frequencies: Tensor, c: float = 1.10) -> Tensor:
    """1 / ln(c + frequency), the form of ENet (section 5.2): rare classes weigh up to 1 / ln(c) = 10.5.

    ENet has c = 1.02, with which they weigh up to 50.
    """
    return 1 / torch.log(c + frequencies)


def ohem_cross_entropy(logits: Tensor, labels: Tensor, class_weights: Tensor, threshold: float) -> Tensor:
    """Cross-entropy over the pixels whose true class has a probability under ``threshold``.

    If those are fewer than a sixteenth of the labelled pixels, the hardest sixteenth is taken (online hard example
    mining, Shrivastava 2016, as used per pixel by Wu 2016). The mean is weighted by class. The host never waits for a
    number of the device.

    Args:
        logits: (N, C, H, W) float.
        labels: (N, H, W) int64, 255 = no label.
        class_weights: (C,) float.
        threshold: 0..1; 1 keeps all labelled pixels.

    Returns:
        A scalar; zero, with gradients, where no pixel is labelled.
    """
    nll = F.cross_entropy(logits, labels, ignore_index=IGNORE, reduction="none")
    labelled = labels != IGNORE
    weights = torch.where(labelled, class_weights[torch.where(labelled, labels, 0)], 0.0)
    if threshold < 1:
        count = max(1, world().size * nll.numel() // HARD_SHARE)
        own = nll.detach().flatten().topk(min(count, nll.numel())).values
        hardest = gathered(own).topk(count).values if world().is_shared else own
        last = (summed(labelled.sum()) // HARD_SHARE - 1).clamp_min(0)
        limit = hardest.gather(0, last.view(1)).clamp_max(-math.log(threshold))
        weights = torch.where(nll.detach() >= limit, weights, 0.0)
    sums = summed(torch.stack([(nll * weights).sum(), weights.sum()]))
    return sums[0] / sums[1].clamp_min(1e-12)
