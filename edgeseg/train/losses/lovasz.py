"""The Lovász-Softmax loss (Berman, Triki, Blaschko, "The Lovász-Softmax loss", CVPR 2018, arXiv:1705.08790)."""

from __future__ import annotations

import torch
from torch import Tensor

from edgeseg.train.losses.base import Loss, one_hot
from edgeseg.train.world import gathered


class LovaszSoftmax(Loss):
    """``lovasz``: the Lovász extension of one minus IoU over the whole batch, mean of the classes in it.

    It sorts the errors of every class, so that a step takes longer than with ``dice``.
    """

    def __init__(self, class_weights: Tensor, weight: float = 1.0) -> None:
        super().__init__(weight)

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """A scalar of 0..1 from logits (N, C, H, W) and labels (N, H, W) int64; zero where no pixel is labelled."""
        truth, labelled = one_hot(labels, logits.shape[1])
        errors = _by_class(((truth - logits.softmax(1)) * labelled).abs())
        errors, order = errors.sort(dim=1, descending=True)
        truth = _by_class(truth).gather(1, order)
        counted = _by_class(labelled.expand(-1, logits.shape[1], -1, -1).float()).gather(1, order)
        area = truth.sum(1, keepdim=True)
        left = area - truth.cumsum(1)
        jaccard = 1 - left / (area + (counted - truth).cumsum(1)).clamp_min(1e-12)
        steps = torch.cat([jaccard[:, :1], jaccard[:, 1:] - jaccard[:, :-1]], dim=1)
        present = area[:, 0] > 0
        return ((errors * steps).sum(1) * present).sum() / present.sum().clamp_min(1)


def _by_class(x: Tensor) -> Tensor:
    """(N, C, H, W) as (C, pixels of the whole batch): what is sorted cannot be summed by parts."""
    return gathered(x.transpose(0, 1).flatten(1), dim=1)
