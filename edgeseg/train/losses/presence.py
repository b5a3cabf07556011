"""The loss of which classes there are in a picture at all: the semantic encoding loss of EncNet (Zhang 2018,
arXiv:1803.08904, section 2), which counts a small object as much as a large one.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from edgeseg.train.losses.base import one_hot
from edgeseg.train.world import summed


def presence_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Binary cross-entropy of which classes are in each picture, mean of all classes and pictures.

    Args:
        logits: (N, C) float32.
        labels: (N, H, W) int64, 255 = no label.

    Returns:
        A scalar; pictures without any label do not count.
    """
    truth, labelled = one_hot(labels, logits.shape[1])
    known = labelled.flatten(1).any(dim=1).float()
    lost = F.binary_cross_entropy_with_logits(logits, truth.amax(dim=(2, 3)), reduction="none").mean(dim=1)
    total, pictures = summed(torch.stack([(lost * known).sum(), known.sum()]))
    mean: Tensor = total / pictures.clamp_min(1)
    return mean
