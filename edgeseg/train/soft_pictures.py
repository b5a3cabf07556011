"""What a teacher has said before of the pictures of a split, for the classes that are trained."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgeseg.data.soft_labels import SoftLabels
from edgeseg.errors import DatasetError, ModelError


class SoftPictures:
    """Soft labels by the index of a picture.

    Args:
        labels: the folder.
        names: of the classes that are trained.
        images: the pictures.

    Raises:
        ModelError: the teacher does not know a class.
        DatasetError: a picture has no file there.
    """

    def __init__(self, labels: SoftLabels, names: tuple[str, ...], images: Sequence[Path]) -> None:
        self._labels = labels
        self._channels = channels_of(labels.class_names, names, str(labels.folder))
        self._stems = [path.stem for path in images]
        self.num_classes = len(names)
        missing = [stem for stem in self._stems if not os.path.exists(labels.path(stem))]
        if missing:
            raise DatasetError(
                f"{labels.folder} has no soft labels of {len(missing)} of {len(images)} pictures: "
                f"{', '.join(missing[:3])}{' …' if len(missing) > 3 else ''}",
                "Write them for this split: edgeseg data predict",
            )

    def read(self, index: int) -> NDArray[np.uint8] | None:
        """(C, a, b) uint8 as :mod:`edgeseg.data.soft_labels` keeps them, C the classes that are trained.

        None beyond the pictures: the samples that follow them were never shown to the teacher.

        Raises:
            DatasetError: the file cannot be used.
        """
        return self._labels.read(self._stems[index])[self._channels] if index < len(self._stems) else None


def channels_of(taught: tuple[str, ...], wanted: tuple[str, ...], teacher: str) -> list[int]:
    """Where a teacher has the classes that are trained, by their names.

    Raises:
        ModelError: it does not know one.
    """
    missing = [name for name in wanted if name not in taught]
    if missing:
        listed = ", ".join(missing[:5]) + (" …" if len(missing) > 5 else "")
        raise ModelError(
            f"the teacher {teacher} does not know the class{'es' if len(missing) > 1 else ''} {listed}",
            "Teach with a model of the same classes, or of more, by the same names",
        )
    return [taught.index(name) for name in wanted]
