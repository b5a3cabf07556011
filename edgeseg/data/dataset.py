"""A data set: its classes and its splits of samples. Nothing here knows torch; training wraps it.

A folder says what it holds in a dataset.yaml, or is laid out as one of the formats knows it:

format: folders                         # optional: how the files lie, one of DATASET_FORMATS; folders is the default
names: [background, crack]              # the classes; position is the index
colors: [[0, 0, 0], [255, 0, 0]]        # optional
ignore_index: 11                        # optional: the label value that means "no label" (255 always does)
ignore_colors: [[224, 224, 192]]        # optional: with label_format rgb, the colours that mean "no label"
label_format: index                     # optional: index (default), rgb when the files hold the colors, binary (masks)
bit_depth: 12                           # optional: of images with more than 8 bits; found in them if left out
splits:
  train: {images: train/images, labels: train/labels}
  val:   {images: val/images, labels: val/labels, include: ["drive2_*"]}     # include: optional file-name patterns
  seen:  {images: seen/images, tags: seen/tags.csv}                          # without labels: see edgeseg.data.tags

Masks (``label_format: binary``) have two classes: 0 is the first; 1, 255 and, with 16 bits, 65535 are the second, so
that 255 is a class here. Where two classes are named, neither label_format nor ignore_index is given, and the label
files, up to 200 spread over all splits, hold 0 and 255 and nothing else, they are taken for masks, and a line tells so:
255 would mean "no label" otherwise, and the second class would have no pixel. Another value is an error then.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeseg.data.formats.base import LabelCoding
from edgeseg.data.formats.reading import find
from edgeseg.data.image_files import IMAGE_SUFFIXES, LABEL_SUFFIXES, index_by_stem, list_images
from edgeseg.data.pictures import read_image
from edgeseg.data.samples import Sample, Split
from edgeseg.data.tags import TaggedSplit
from edgeseg.errors import DatasetError
from edgeseg.spec.palette import IGNORE, Rgb
from edgeseg.types import ImageU8, LabelsU8

__all__ = [
    "IMAGE_SUFFIXES",
    "LABEL_SUFFIXES",
    "Dataset",
    "LabelCoding",
    "Sample",
    "Split",
    "index_by_stem",
    "list_images",
    "read_image",
]

_AT_A_TIME = 1 << 22
"""Pixels counted at a time: eight times as many bytes are needed for it."""


@dataclass(frozen=True)
class Dataset:
    """What a folder holds. ``Dataset.load`` reads one.

    Attributes:
        path: the dataset.yaml, or the folder where there is none.
        names: of the classes; the position is the index.
        colors: one per class.
        coding: how its label files are read, where there is one for each picture.
        splits: by name.
        bit_depth: of images with more than 8 bits, where it is said.
        format: how the files lie, one of ``DATASET_FORMATS``.
        tagged: splits of pictures that have tags in place of labels, by name.
        unions: of a joined data set, what its parts do not tell apart: sets of classes; see :meth:`read`.
    """

    path: Path
    names: tuple[str, ...]
    colors: tuple[Rgb, ...]
    coding: LabelCoding
    splits: Mapping[str, Split]
    bit_depth: int | None = None
    format: str = "folders"
    tagged: Mapping[str, TaggedSplit] = field(default_factory=dict)
    unions: tuple[tuple[int, ...], ...] = ()

    @classmethod
    def load(cls, path: str | Path, format: str | None = None) -> Dataset:
        """Read a dataset.yaml, or a folder: the one in it, or else the folder as its format lays it out.

        Args:
            path: of either; with a format also the file that it describes a data set in, such as YOLO's data.yaml.
            format: one of ``DATASET_FORMATS``; wins over the dataset.yaml. None for what that says, or for what a
                folder without one looks like; that is told in a line.

        Raises:
            DatasetError: missing, not YAML, a wrong or missing key, or a value of the wrong kind; or nothing says what
                the format is.
        """
        found = find(Path(path), format)
        what = found.contents
        return cls(
            found.path,
            what.names,
            what.colors,
            what.coding,
            what.splits,
            found.bit_depth,
            found.format,
            what.tagged,
            what.unions,
        )

    @classmethod
    def find_above(cls, folder: Path) -> Dataset | None:
        """The dataset that has ``folder`` as the labels of one of its splits, looked for upwards; None without one."""
        folder = Path(os.path.realpath(folder))
        for parent in folder.parents[:3]:
            if os.path.isfile(parent / "dataset.yaml"):
                dataset = cls.load(parent)
                if any(os.path.realpath(split.labels) == str(folder) for split in dataset.splits.values()):
                    return dataset
        return None

    @property
    def num_classes(self) -> int:
        return len(self.names)

    def split(self, name: str) -> Split:
        """The split of that name, or a DatasetError that lists those there are."""
        if name not in self.splits:
            raise DatasetError(f"{self.path} has no split {name!r}", f"Use one of {', '.join(sorted(self.splits))}")
        return self.splits[name]

    @property
    def places(self) -> list[Path]:
        """The files and folders that it is read from, which nothing may be written over."""
        splits, tagged = self.splits.values(), self.tagged.values()
        return [
            self.path,
            *(place for split in splits for place in (split.images, split.labels, *split.sources)),
            *(place for split in tagged for place in (split.images, split.tags)),
        ]

    def files(self, *splits: str) -> list[Path]:
        """The files that splits are read from one by one, which nothing may be written over: images and labels.

        Raises:
            DatasetError: no such split, or its files cannot be used.
        """
        chosen = [self.split(name) for name in splits]
        pairs = [(sample.image, sample.label) for split in chosen for sample in split.samples()]
        sources = [path for split in chosen for path in split.sources]
        return [self.path, *sources, *(file for pair in pairs for file in pair)]

    def pictures(self, split: str) -> list[Path]:
        """The image files of a split, with labels or with tags, in natural order.

        Raises:
            DatasetError: no such split, or its files cannot be used.
        """
        if split in self.tagged:
            return self.tagged[split].files()
        return [sample.image for sample in self.split(split).samples()]

    def class_pixels(
        self, split: str, progress: Callable[[Sequence[Sample]], Iterable[Sample]] = iter
    ) -> NDArray[np.int64]:
        """(C,) pixels of each class in the labels of a split. Its labels are read, but no image.

        Args:
            split: its name.
            progress: wraps the samples, to show how far it has come.

        Raises:
            DatasetError: no such split, or its files cannot be used.
        """
        counts = np.zeros(IGNORE + 1, dtype=np.int64)
        for sample in progress(self.split(split).samples()):
            counts += count_values(sample.read_labels())
        return counts[: self.num_classes]

    def absent_classes(self, split: str) -> tuple[str, ...]:
        """The names of the classes that no pixel of a split has; arguments and errors as :meth:`class_pixels`."""
        return tuple(name for name, count in zip(self.names, self.class_pixels(split), strict=True) if not count)

    def read(self, sample: Sample, *, unions: bool = False) -> tuple[ImageU8, LabelsU8]:
        """Image (H, W, 3) uint8 RGB and labels (H, W) uint8, 255 = no label.

        Args:
            sample: of one of the splits.
            unions: whether a pixel that is of one of ``self.unions[k]``, and nobody knows of which, is labelled
                ``num_classes + k``; it has no label otherwise.

        Raises:
            DatasetError: unreadable, of different sizes, or with an index outside the classes.
        """
        image = read_image(sample.image, bit_depth=self.bit_depth)
        labels = sample.read_unions() if unions else sample.read_labels()
        if image.shape[:2] != labels.shape:
            raise DatasetError(
                f"{sample.image} is {_size(image)} but its label {sample.label} is {_size(labels)}",
                "Make both the same size",
            )
        return image, labels


def count_values(labels: LabelsU8) -> NDArray[np.int64]:
    """(256,) pixels of each value in labels (H, W) uint8."""
    counts = np.zeros(IGNORE + 1, dtype=np.int64)
    for rows in np.array_split(labels, 1 + labels.size // _AT_A_TIME):
        counts += np.bincount(rows.ravel(), minlength=IGNORE + 1)
    return counts


def _size(array: np.ndarray[Any, np.dtype[Any]]) -> str:
    return f"{array.shape[1]}x{array.shape[0]}"
