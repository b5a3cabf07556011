"""What is learned from pictures: one module from images and what is known of them to losses by name."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edgeseg.models.blocks import resize
from edgeseg.models.mean_field import MeanField
from edgeseg.models.network import Network
from edgeseg.models.normalise import Normalise
from edgeseg.train.consistency import CONSISTENCY, TAGS, FeatureDropout, Unlabelled, consistency_loss, tag_loss
from edgeseg.train.losses.base import Loss, SoftLoss, SoftTargets
from edgeseg.train.losses.presence import presence_loss
from edgeseg.train.losses.union import UnionLoss

AUX = "aux"
"""The name of what the auxiliary heads lose."""

UNION = "union"
"""The name of what is lost where labels name several classes."""


class Batch(NamedTuple):
    """What a task learns from, on its device; see :meth:`SegmentationTask.forward`."""

    images: Tensor
    labels: Tensor
    soft: SoftTargets | None = None
    unlabelled: Unlabelled | None = None


class SegmentationTask(nn.Module):
    """A network, its auxiliary heads and its losses.

    Auxiliary heads are trained by the first of the losses that look at labels alone, each at its own resolution.
    One upon features of the whole picture, which are a single pixel, is to say which classes there are.

    Args:
        network: to be trained.
        normalise: what it wants done to pixels first.
        losses: the terms by their names.
        num_classes: logits of each pixel.
        aux_weight: of the heads' losses; 0 for no heads.
        stride: the losses are taken at every so many-th pixel of each row and column.
        amp_dtype: the format of 16 bits that the network computes in where it can; None for float32.
        drop_features: whether pictures without labels lose some of their features on the way.
        union: what is lost where labels name several classes; None where they never do.
        mean_field: refines the logits at the images' own size before the losses see them; None for none.
    """

    def __init__(
        self,
        network: Network,
        normalise: Normalise,
        losses: Mapping[str, Loss],
        *,
        num_classes: int,
        aux_weight: float,
        stride: int,
        amp_dtype: torch.dtype | None = None,
        drop_features: bool = False,
        union: UnionLoss | None = None,
        mean_field: MeanField | None = None,
    ) -> None:
        super().__init__()
        self.network = network
        self.normalise = normalise
        self.losses = nn.ModuleDict(losses)
        self.heads = AuxiliaryHeads(network, num_classes) if aux_weight else None
        self.aux_weight = aux_weight
        self.stride = stride
        self.amp_dtype = amp_dtype
        self.union = union
        self.mean_field = mean_field
        self._dropout = FeatureDropout(network, num_classes) if drop_features else None

    def inputs(self, images: Tensor) -> Tensor:
        """(N, 3, H, W) uint8 RGB as what the network takes."""
        pixels: Tensor = self.normalise(images)
        return pixels.contiguous(memory_format=torch.channels_last)

    def forward(
        self, images: Tensor, labels: Tensor, soft: SoftTargets | None = None, unlabelled: Unlabelled | None = None
    ) -> dict[str, Tensor]:
        """Scalars by name, weighted, whose sum is to become small.

        Args:
            images: (N, 3, H, W) uint8 RGB.
            labels: (N, H, W) integers, 255 = no label; C and more for a union of classes, where the task has those.
            soft: what a teacher says of them, for the losses that look at it, which are left out without.
            unlabelled: what is to be learned beside, from other pictures of the same size.
        """
        labels = labels.long()
        if self.union is not None:
            labels, labels_with_unions = self.union.classes_alone(labels), labels
        count = images.shape[0]
        if unlabelled is not None:
            images = torch.cat([images, unlabelled.images])
        dropped = self._dropout.after(count) if self._dropout and unlabelled is not None else nullcontext()
        with torch.autocast(images.device.type, self.amp_dtype, enabled=self.amp_dtype is not None), dropped:
            logits, taps = self.network.features(self.inputs(images))
            aux_logits = self.heads(tuple(tap[:count] for tap in taps)) if self.heads is not None else []
        strided = self._strided(labels)
        logits = self._placed(logits.float(), images, (strided.shape[1], strided.shape[2]))
        terms: list[tuple[str, Loss]] = [*self.losses.items()]  # type: ignore[list-item]  # it holds nothing else
        of_labels = [(name, loss) for name, loss in terms if not isinstance(loss, SoftLoss)]
        losses = {name: loss.weight * loss(logits[:count], strided) for name, loss in of_labels}
        if self.union is not None:
            losses[UNION] = self.union(logits[:count], self._strided(labels_with_unions))
        if soft is not None:
            for name, loss in terms:
                if isinstance(loss, SoftLoss):
                    losses[name] = loss.weight * loss(logits[:count], soft)
        for aux in aux_logits:
            losses[AUX] = losses.get(AUX, 0) + self.aux_weight * self._of_head(aux.float(), labels, of_labels[0][1])
        if unlabelled is not None:
            losses[CONSISTENCY] = unlabelled.weight * consistency_loss(logits[count:], unlabelled.labels)
            if unlabelled.tags is not None:
                losses[TAGS] = unlabelled.weight * tag_loss(logits[count:], unlabelled.tags)
        return losses

    def _placed(self, logits: Tensor, images: Tensor, size: tuple[int, int]) -> Tensor:
        """Logits where the losses are taken, refined if they are to be."""
        if self.mean_field is None:
            return logits if logits.shape[-2:] == size else resize(logits, size)
        return self._strided(self.mean_field(resize(logits, (images.shape[2], images.shape[3])), images))

    def _strided(self, values: Tensor) -> Tensor:
        """Every so many-th pixel of (…, H, W)."""
        return values[..., self.stride // 2 :: self.stride, self.stride // 2 :: self.stride]

    @staticmethod
    def _of_head(logits: Tensor, labels: Tensor, loss: Loss) -> Tensor:
        if logits.shape[2:] == (1, 1):
            return presence_loss(logits.flatten(1), labels)
        reduced = F.interpolate(labels.unsqueeze(1).float(), logits.shape[2:], mode="nearest-exact").squeeze(1).long()
        lost: Tensor = loss(logits, reduced)
        return lost


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
