"""Distillation (Hinton, Vinyals, Dean, "Distilling the Knowledge in a Neural Network", 2015, arXiv:1503.02531)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from edgeseg.errors import InputError
from edgeseg.train.losses.base import SoftLoss, SoftTargets
from edgeseg.train.world import summed


class Distil(SoftLoss):
    """``distil``: what the network's probabilities lack of the teacher's, both softened by a temperature.

    The mean over pixels of T^2 KL(teacher || network), with softmax(logits / T) on both sides; T^2 keeps the gradients
    as large as they are at T = 1 (section 2.1). Pixels without a label count as others do, as long as they are of the
    picture.

    Args:
        class_weights: (C,) float; not looked at.
        weight: of this term in the sum.
        temperature: T; the higher, the more the unlikely classes count.

    Raises:
        InputError: the temperature is 0.
    """

    def __init__(self, class_weights: Tensor, weight: float = 1.0, temperature: float = 2.0) -> None:
        super().__init__(weight)
        if not temperature > 0:
            raise InputError(f"the temperature of distil is {temperature:g}", "Give more than 0, such as 2")
        self.temperature = temperature

    def forward(self, logits: Tensor, targets: SoftTargets) -> Tensor:  # type: ignore[override]
        """A scalar from logits (N, C, H, W) and targets of the same size."""
        taught = F.log_softmax(targets.log_probabilities / self.temperature, dim=1)
        said = F.log_softmax(logits / self.temperature, dim=1)
        divergence = F.kl_div(said, taught, reduction="none", log_target=True).sum(dim=1)
        inside = targets.inside.float()
        lost, pixels = summed(torch.stack([(divergence * inside).sum(), inside.sum()]))
        loss: Tensor = self.temperature**2 * lost / pixels.clamp_min(1)
        return loss
