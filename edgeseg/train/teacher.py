"""Teachers: a model that is asked about every augmented picture, or what one has said of the pictures before."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from edgeseg.data.soft_labels import STEPS_PER_NAT, SoftLabels
from edgeseg.errors import InputError, ModelError
from edgeseg.evaluation.predict import check_returns_logits
from edgeseg.models.blocks import resize
from edgeseg.segmenter import Segmenter
from edgeseg.train.losses.base import Loss, SoftLoss, SoftTargets
from edgeseg.train.soft_pictures import SoftPictures, channels_of


class Teacher(Protocol):
    """What says, of a batch, how likely each class is.

    Attributes:
        soft: what it has said before, to be prepared with the pictures; None where it is asked anew.
    """

    soft: SoftPictures | None

    def __call__(self, images: Tensor, inside: Tensor, soft: Tensor | None = None) -> SoftTargets:
        """Targets of a batch, on its device.

        Args:
            images: (N, 3, H, W) uint8 RGB, augmented.
            inside: (N, h, w) uint8, 1 where the losses' grid shows the picture.
            soft: (N, C, h, w) uint8 of what it has said before, where it has.

        Raises:
            ModelError: a model that failed.
        """
        ...

    def close(self) -> None:
        """Free what it holds."""
        ...


def open_teacher(
    teacher: str, names: tuple[str, ...], images: Sequence[Path], *, threads: int | None = None
) -> Teacher:
    """The teacher that a configuration names.

    Args:
        teacher: a shipped model's name, a model's file, or a folder that ``edgeseg data predict`` wrote.
        names: of the classes that are trained; the teacher may know more, and have them in another order.
        images: the pictures of the training split.
        threads: CPU threads of a model; None for all cores.

    Raises:
        ModelError: no such model, one that returns labels, or one that does not know a class.
        DatasetError: a folder without soft labels of these pictures.
    """
    if os.path.isdir(teacher):
        return RecordedTeacher(SoftPictures(SoftLabels.open(teacher), names, images))
    with torch.random.fork_rng([]):  # to make a network draws numbers
        segmenter = Segmenter.open(teacher, threads=threads, fit="stretch")
    try:
        check_returns_logits(segmenter.spec, "soft labels")
        return LiveTeacher(segmenter, channels_of(segmenter.spec.class_names, names, teacher))
    except BaseException:
        segmenter.close()
        raise


class RecordedTeacher:
    """What a model has said of the whole pictures, warped as they are; their colours were not changed then."""

    def __init__(self, soft: SoftPictures) -> None:
        self.soft: SoftPictures | None = soft

    def __call__(self, images: Tensor, inside: Tensor, soft: Tensor | None = None) -> SoftTargets:
        """See :class:`Teacher`."""
        assert soft is not None
        return SoftTargets(F.log_softmax(soft.float() / -STEPS_PER_NAT, dim=1), inside.bool())

    def close(self) -> None:
        """Do nothing: it holds nothing."""


class LiveTeacher:
    """A model that is shown each augmented picture, at its own input size.

    Args:
        segmenter: the model.
        channels: where it has the classes that are trained.
    """

    def __init__(self, segmenter: Segmenter, channels: Sequence[int]) -> None:
        self.soft: SoftPictures | None = None
        self._segmenter = segmenter
        self._channels = list(channels)

    def __call__(self, images: Tensor, inside: Tensor, soft: Tensor | None = None) -> SoftTargets:
        """See :class:`Teacher`."""
        pictures = images.permute(0, 2, 3, 1).contiguous().cpu().numpy()
        said = self._segmenter.infer([*pictures])
        logits = np.concatenate([one.output for one in said])[:, self._channels].astype(np.float32, copy=False)
        if not np.isfinite(logits).all():
            raise ModelError("the teacher says what is no finite number", "Teach with another model")
        size = (inside.shape[1], inside.shape[2])
        targets = resize(torch.from_numpy(logits).to(images.device, non_blocking=True), size)
        return SoftTargets(F.log_softmax(targets, dim=1), inside.bool())

    def close(self) -> None:
        """Free the model."""
        self._segmenter.close()


def check_targets(losses: dict[str, Loss], *, taught: bool) -> None:
    """Raise InputError where the losses have nothing to look at: no labels, or a teacher that is not there."""
    of_teacher = [name for name, loss in losses.items() if isinstance(loss, SoftLoss)]
    if of_teacher and not taught:
        raise InputError(f"the loss {of_teacher[0]} looks at a teacher, and there is none", "Name a teacher")
    if len(of_teacher) == len(losses):
        raise InputError("no term of loss looks at the labels", "Add one, such as cross_entropy")
