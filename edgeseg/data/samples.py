"""What a data set is made of, whatever its format: samples, each a picture and its labels, in splits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from edgeseg.types import LabelsU8


class Labels(Protocol):
    """The labels of one picture, wherever they stand."""

    @property
    def path(self) -> Path:
        """The file they stand in, which may hold those of other pictures too."""
        ...

    def read(self) -> LabelsU8:
        """(H, W) uint8 class indices, 255 = no label.

        Raises:
            DatasetError: unreadable, or with what is no class.
        """
        ...


@dataclass(frozen=True)
class Sample:
    """One image file and its labels."""

    image: Path
    labels: Labels

    @property
    def label(self) -> Path:
        """The file that the labels stand in."""
        return self.labels.path

    def read_labels(self) -> LabelsU8:
        """(H, W) uint8 class indices, 255 = no label.

        Raises:
            DatasetError: unreadable, or with what is no class.
        """
        return self.labels.read()


@dataclass(frozen=True)
class Split:
    """Where the files of a split lie, and what lists them.

    Attributes:
        images: the folder of its pictures.
        labels: the folder, or the file, of its labels.
        list_samples: lists the samples, each time anew or from what is known already.
    """

    images: Path
    labels: Path
    list_samples: Callable[[], list[Sample]]

    def samples(self) -> list[Sample]:
        """The samples, in an order that stays.

        Raises:
            DatasetError: a folder or list is missing or empty, or an image or label of it is not there.
        """
        return self.list_samples()
