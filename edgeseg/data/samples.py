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

    def read_unions(self) -> LabelsU8:
        """As :meth:`read_labels`, but with what is only known to be one of several classes; see ``Dataset.unions``."""
        read: Callable[[], LabelsU8] = getattr(self.labels, "read_unions", self.labels.read)
        return read()


@dataclass(frozen=True)
class Matches:
    """The files of a split, matched as far as they match.

    Attributes:
        samples: images that have a label.
        unlabelled: images without one.
        pictureless: labels without an image.
        same_stem: files of one kind that are called the same but for their suffixes; the samples have the first.
    """

    samples: list[Sample]
    unlabelled: list[Path]
    pictureless: list[Path]
    same_stem: list[tuple[Path, Path]]


@dataclass(frozen=True)
class Split:
    """Where the files of a split lie, and what lists them.

    Attributes:
        images: the folder of its pictures.
        labels: the folder, or the file, of its labels.
        list_samples: lists the samples, each time anew or from what is known already.
        match: matches the files, whatever is missing, where each picture has a label file of its own; raises
            DatasetError where there is no folder. None where the format does not find labels by their names.
        sources: other files and folders that its labels are made from, beside those that its samples name.
        meaning: what else decides what the values in its labels are; it differs where that does.
    """

    images: Path
    labels: Path
    list_samples: Callable[[], list[Sample]]
    match: Callable[[], Matches] | None = None
    sources: tuple[Path, ...] = ()
    meaning: str = ""

    def samples(self) -> list[Sample]:
        """The samples, in an order that stays.

        Raises:
            DatasetError: a folder or list is missing or empty, or an image or label of it is not there.
        """
        return self.list_samples()
