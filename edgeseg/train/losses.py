"""The training loss: weighted cross-entropy over hard pixels and the Dice loss, and that of the auxiliary heads."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edgeseg.models.blocks import resize
from edgeseg.models.network import Network
from edgeseg.spec.palette import IGNORE

HARD_SHARE = 16
"""Hard example mining keeps at least one in so many of the labelled pixels."""


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
        hardest = nll.detach().flatten().topk(max(1, nll.numel() // HARD_SHARE)).values
        last = (labelled.sum() // HARD_SHARE - 1).clamp_min(0)
        limit = hardest.gather(0, last.view(1)).clamp_max(-math.log(threshold))
        weights = torch.where(nll.detach() >= limit, weights, 0.0)
    return (nll * weights).sum() / weights.sum().clamp_min(1e-12)


def dice_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """One minus the soft Dice coefficient over the whole batch, mean of the classes in it (after Milletari 2016).

    Cross-entropy counts pixels; this counts overlap, as IoU does, so that poles weigh as much as the road.

    Args:
        logits: (N, C, H, W) float.
        labels: (N, H, W) int64, 255 = no label.

    Returns:
        A scalar of 0..1; zero, with gradients, where no pixel is labelled.
    """
    labelled = (labels != IGNORE).unsqueeze(1)
    probabilities = logits.softmax(dim=1) * labelled
    index = torch.where(labelled, labels.unsqueeze(1), 0)
    truth = torch.zeros_like(probabilities).scatter_(1, index, labelled.to(probabilities.dtype))
    pixels = (0, 2, 3)
    area = truth.sum(pixels)
    dice = 2 * (probabilities * truth).sum(pixels) / (probabilities.sum(pixels) + area).clamp_min(1e-12)
    present = area > 0
    return ((1 - dice) * present).sum() / present.sum().clamp_min(1)


class SegmentationLoss(nn.Module):
    """Cross-entropy and Dice loss at a stride of the labels; auxiliary cross-entropy at each head's own resolution."""

    class_weights: Tensor

    def __init__(
        self, class_weights: Tensor, *, ohem_threshold: float, dice_weight: float, aux_weight: float, stride: int
    ) -> None:
        super().__init__()
        self.register_buffer("class_weights", class_weights.float())
        self.ohem_threshold = ohem_threshold
        self.dice_weight = dice_weight
        self.aux_weight = aux_weight
        self.stride = stride

    def forward(self, logits: Tensor, aux_logits: Sequence[Tensor], labels: Tensor) -> Tensor:
        """A scalar from logits (N, C, h, w), auxiliary logits of any size, and labels (N, H, W) int64."""
        strided = labels[:, self.stride // 2 :: self.stride, self.stride // 2 :: self.stride]
        size = (strided.shape[1], strided.shape[2])
        main = logits.float() if logits.shape[-2:] == size else resize(logits.float(), size)
        loss = self._cross_entropy(main, strided)
        if self.dice_weight:
            loss = loss + self.dice_weight * dice_loss(main, strided)
        for aux in aux_logits:
            size = (aux.shape[2], aux.shape[3])
            reduced = F.interpolate(labels.unsqueeze(1).float(), size, mode="nearest-exact").squeeze(1).long()
            loss = loss + self.aux_weight * self._cross_entropy(aux.float(), reduced)
        return loss

    def _cross_entropy(self, logits: Tensor, labels: Tensor) -> Tensor:
        return ohem_cross_entropy(logits, labels, self.class_weights, self.ohem_threshold)


class AuxiliaryHeads(nn.Module):
    """One linear head per tap of a network, for training alone: the features themselves must tell classes apart."""

    def __init__(self, network: Network, num_classes: int) -> None:
        super().__init__()
        self.heads = nn.ModuleList(
            nn.Sequential(nn.Dropout(0.1), nn.Conv2d(channels, num_classes, 1)) for channels in network.tap_channels
        )

    def forward(self, taps: tuple[Tensor, ...]) -> list[Tensor]:
        """Logits (N, classes, h, w) of each tap."""
        return [head(tap) for head, tap in zip(self.heads, taps, strict=True)]
