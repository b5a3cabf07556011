"""Learning from pictures without labels: what the averaged network is sure of must hold in other colours as well.

As in FixMatch (Sohn and others, NeurIPS 2020, arXiv:2001.07685), with the mean teacher (Tarvainen, Valpola, NeurIPS
2017, arXiv:1703.01780) for the labels; CutMix and the dropping of features as in UniMatch (arXiv:2208.09910). Tags
limit what a picture can be labelled as, and are learned by a loss of the whole picture: which classes there are and
where they lie are two questions (Hong, Noh, Han, NeurIPS 2015, arXiv:1506.04924).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edgeseg.models.blocks import resize
from edgeseg.models.network import Network
from edgeseg.spec.palette import IGNORE
from edgeseg.train.unlabelled import UNKNOWN, Views

CONSISTENCY, TAGS = "consistency", "tags"
"""The names of what is lost on pictures without labels."""

_SHARPNESS = 4.0
"""Of the pooling over a picture: 1 is the mean, much more the maximum."""

_MIXED = 0.5
"""The share of pictures that get a piece of another."""


class Unlabelled(NamedTuple):
    """What is learned from pictures without labels, in one step.

    Attributes:
        images: (M, 3, H, W) uint8 RGB, the strong views.
        labels: (M, h, w) int64 on the losses' grid, 255 where the averaged network is not sure.
        tags: (M, C) uint8: 1 in the picture, 0 not in it, 255 unknown; None where no picture has any.
        weight: scalar, of the losses.
    """

    images: Tensor
    labels: Tensor
    tags: Tensor | None
    weight: Tensor


class PseudoLabels:
    """What the averaged network makes of pictures without labels.

    Args:
        network: returns the averaged network.
        inputs: (N, 3, H, W) uint8 RGB to what that takes, on its device.
        confidence: a pixel is labelled where the probability of its class is at least this.
        tagged: whether pictures have tags.
    """

    def __init__(
        self, network: Callable[[], Network], inputs: Callable[[Tensor], Tensor], *, confidence: float, tagged: bool
    ) -> None:
        self._network = network
        self._inputs = inputs
        self._confidence = confidence
        self._tagged = tagged

    @torch.no_grad()
    def __call__(self, views: Views, device: torch.device, weight: float) -> Unlabelled:
        """Targets of a batch of views, which lie on the host."""
        inside, tags = (x.to(device, non_blocking=True) for x in (views.inside, views.tags))
        logits = self._network().eval()(self._inputs(views.weak)).float()
        if self._tagged:
            logits = logits.masked_fill((tags == 0)[:, :, None, None], -math.inf)
        size = (inside.shape[1], inside.shape[2])
        # Interpolated as probabilities: between two infinite numbers there is none.
        probability, labels = resize(logits.softmax(dim=1), size).max(dim=1)
        labels = torch.where((probability >= self._confidence) & inside.bool(), labels, IGNORE)
        images = views.strong.to(device, non_blocking=True)
        images, labels = cut_mix(images, labels, (views.tags.numpy() != UNKNOWN).any(axis=1).tolist())
        return Unlabelled(images, labels, tags if self._tagged else None, torch.tensor(weight, device=device))


def cut_mix(images: Tensor, labels: Tensor, left: list[bool]) -> tuple[Tensor, Tensor]:
    """Paste a piece of the next picture, at its place, into some (Yun and others, ICCV 2019, arXiv:1905.04899).

    Args:
        images: (M, 3, H, W).
        labels: (M, h, w), of a grid over the images.
        left: pictures that stay as they are.

    Returns:
        both, mixed alike.
    """
    mixed, mixed_labels = images.clone(), labels.clone()
    (height, width), (rows, columns) = images.shape[2:], labels.shape[1:]
    draws = torch.rand(len(images), 5).numpy().tolist()
    for index, (whether, share, aspect, down, across) in enumerate(draws):
        other = (index + 1) % len(images)
        if whether >= _MIXED or left[index] or other == index:
            continue
        area, ratio = 0.02 + 0.38 * share, math.exp(math.log(0.3) * (2 * aspect - 1))
        high = min(rows, max(1, round(rows * math.sqrt(area * ratio))))
        wide = min(columns, max(1, round(columns * math.sqrt(area / ratio))))
        top, at = round(down * (rows - high)), round(across * (columns - wide))
        y0, y1 = (round(y * height / rows) for y in (top, top + high))
        x0, x1 = (round(x * width / columns) for x in (at, at + wide))
        mixed[index, :, y0:y1, x0:x1] = images[other, :, y0:y1, x0:x1]
        mixed_labels[index, top : top + high, at : at + wide] = labels[other, top : top + high, at : at + wide]
    return mixed, mixed_labels


def consistency_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy over the pixels that have a label, as a share of all pixels: few sure ones weigh little.

    Args:
        logits: (M, C, h, w) float32.
        labels: (M, h, w) int64, 255 = not sure.
    """
    return F.cross_entropy(logits, labels, ignore_index=IGNORE, reduction="sum") / labels.numel()


def tag_loss(logits: Tensor, tags: Tensor) -> Tensor:
    """Binary cross-entropy of which classes are in each picture, mean of those that are known.

    The probability that a class is in a picture is the power mean of its pixels' (the log-sum-exp pooling of Pinheiro,
    Collobert, CVPR 2015, arXiv:1411.6228).

    Args:
        logits: (M, C, h, w) float32.
        tags: (M, C) uint8: 1 in the picture, 0 not in it, 255 unknown.
    """
    pixels = F.log_softmax(logits, dim=1).flatten(2)
    pooled = (torch.logsumexp(_SHARPNESS * pixels, dim=2) - math.log(pixels.shape[2])) / _SHARPNESS
    pooled = pooled.clamp(-20, -1e-6)
    absent = torch.log(-torch.expm1(pooled))
    known = (tags != UNKNOWN).float()
    return -(torch.where(tags == 1, pooled, absent) * known).sum() / known.sum().clamp_min(1)


class FeatureDropout:
    """Drops half of the channels that the last layer of a network sees, for every second picture without a label.

    Args:
        network: whose last convolution to as many channels as there are classes is its last layer. A graph that was
            captured has none, and is left as it is.
        num_classes: their number.
    """

    def __init__(self, network: Network, num_classes: int) -> None:
        self._labelled: int | None = None
        convolutions = [
            module
            for module in network.modules()
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d) and module.out_channels == num_classes
        ]
        for last in convolutions[-1:]:
            last.register_forward_pre_hook(lambda _, inputs: (self._drop(inputs[0]),))

    @contextmanager
    def after(self, labelled: int) -> Iterator[None]:
        """A block in which pictures after so many of a batch have none of their labels from people."""
        self._labelled = labelled
        try:
            yield
        finally:
            self._labelled = None

    def _drop(self, features: Tensor) -> Tensor:
        if self._labelled is None:
            return features
        keep = torch.ones(features.shape[0], features.shape[1], 1, 1, device=features.device, dtype=features.dtype)
        keep[self._labelled :: 2] = F.dropout(keep[self._labelled :: 2], 0.5)
        return features * keep
