"""A dataset folder: dataset.yaml, images and label files. Nothing here knows torch; training wraps it.

names: [background, crack]              # the classes; position is the index
colors: [[0, 0, 0], [255, 0, 0]]        # optional
ignore_index: 11                        # optional: the label value that means "no label" (255 always does)
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
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeseg.data.formats.base import LABEL_FORMATS, LabelCoding
from edgeseg.data.formats.binary import MASKS, are_masks, told_as_masks
from edgeseg.data.image_files import IMAGE_SUFFIXES, LABEL_SUFFIXES, MOVE_OUT, index_by_stem, list_images
from edgeseg.data.pictures import BIT_DEPTHS, read_image
from edgeseg.data.tags import TaggedSplit
from edgeseg.errors import DatasetError
from edgeseg.files.documents import is_printable, read_yaml
from edgeseg.spec.palette import IGNORE, MAX_CLASSES, Rgb, distinct_colors
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
class Sample:
    """One image file and its label file, with how that is read."""

    image: Path
    label: Path
    coding: LabelCoding

    def read_labels(self) -> LabelsU8:
        """(H, W) uint8 class indices, 255 = no label.

        Raises:
            DatasetError: unreadable, or with what is no class.
        """
        return self.coding.read(self.label)


@dataclass(frozen=True)
class Split:
    """Where the files of a split lie."""

    images: Path
    labels: Path
    coding: LabelCoding
    include: tuple[str, ...] = ("*",)

    def samples(self) -> list[Sample]:
        """Images paired with labels by file stem, in natural order.

        Raises:
            DatasetError: folder missing or empty, an image without a label, or two files of one stem.
        """
        images = list_images(self.images, include=self.include, remedy=f"{MOVE_OUT}, or choose files with 'include'")
        labels = index_by_stem(list_images(self.labels, self.coding.suffixes))
        index_by_stem(images)
        missing = [p.name for p in images if p.stem not in labels]
        if missing:
            raise DatasetError(
                f"{len(missing)} of {len(images)} images in {self.images} have no label in {self.labels}: "
                f"{', '.join(missing[:3])}{' …' if len(missing) > 3 else ''}",
                "Give each image a label file of the same stem",
            )
        return [Sample(image, labels[image.stem], self.coding) for image in images]


@dataclass(frozen=True)
class Dataset:
    """What a dataset.yaml says. ``Dataset.load`` reads one."""

    path: Path
    names: tuple[str, ...]
    colors: tuple[Rgb, ...]
    coding: LabelCoding
    splits: dict[str, Split]
    bit_depth: int | None = None
    tagged: dict[str, TaggedSplit] = field(default_factory=dict)

    @classmethod
    def load(cls, path: str | Path) -> Dataset:
        """Read a dataset.yaml, or the one in a folder.

        Raises:
            DatasetError: missing, not YAML, a wrong or missing key, or a value of the wrong kind.
        """
        path = Path(path)
        if os.path.isdir(path):
            path = path / "dataset.yaml"
        if not os.path.exists(path):
            raise DatasetError(f"no dataset at {path}", "Pass a dataset.yaml or the folder that holds one")
        reader = _Reader(path)
        optional = {"colors", "ignore_index", "label_format", "bit_depth"}
        top = reader.mapping(read_yaml(path, DatasetError), "", required={"names", "splits"}, optional=optional)
        names = reader.names(top["names"])
        colors = reader.colors(top["colors"], len(names)) if "colors" in top else distinct_colors(len(names))
        ignore = top.get("ignore_index")
        if ignore is not None and (isinstance(ignore, bool) or not isinstance(ignore, int) or not 0 <= ignore <= 255):
            raise DatasetError(f"{path}: ignore_index is {ignore!r:.80}", "Use a whole number 0..255")
        label_format = top.get("label_format", "index")
        if not isinstance(label_format, str) or label_format not in LABEL_FORMATS:
            *others, last = LABEL_FORMATS
            raise DatasetError(f"{path}: label_format is {label_format!r:.80}", f"Use {', '.join(others)} or {last}")
        try:
            LABEL_FORMATS[label_format].check(names, has_colors="colors" in top)
        except DatasetError as error:
            raise DatasetError(f"{path}: {error.what}", error.remedy) from None
        coding = LabelCoding(len(names), ignore, colors, label_format)
        bit_depth = top.get("bit_depth")
        if bit_depth is not None and (isinstance(bit_depth, bool) or bit_depth not in BIT_DEPTHS):
            raise DatasetError(
                f"{path}: bit_depth is {bit_depth!r:.80}", f"Use one of {', '.join(map(str, BIT_DEPTHS))}"
            )
        named = {reader.name(name, "splits"): value for name, value in reader.mapping(top["splits"], "splits").items()}
        with_tags = {name for name, value in named.items() if isinstance(value, dict) and "tags" in value}
        tagged = {name: reader.tagged(named.pop(name), f"splits.{name}", names) for name in sorted(with_tags)}
        splits = {name: reader.split(value, f"splits.{name}", coding) for name, value in named.items()}
        if not splits:
            raise DatasetError(f"{path}: splits is empty", "Name at least one split")
        if len(names) == 2 and ignore is None and "label_format" not in top and _hold_masks(splits.values()):
            told_as_masks(f"the labels of {path}")
            coding = MASKS
            splits = {name: replace(split, coding=MASKS) for name, split in splits.items()}
        return cls(path, names, colors, coding, splits, bit_depth, tagged)

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
            labels = sample.read_labels()
            for rows in np.array_split(labels, 1 + labels.size // _AT_A_TIME):
                counts += np.bincount(rows.ravel(), minlength=IGNORE + 1)
        return counts[: self.num_classes]

    def absent_classes(self, split: str) -> tuple[str, ...]:
        """The names of the classes that no pixel of a split has; arguments and errors as :meth:`class_pixels`."""
        return tuple(name for name, count in zip(self.names, self.class_pixels(split), strict=True) if not count)

    def read(self, sample: Sample) -> tuple[ImageU8, LabelsU8]:
        """Image (H, W, 3) uint8 RGB and labels (H, W) uint8, 255 = no label.

        Raises:
            DatasetError: unreadable, of different sizes, or with an index outside the classes.
        """
        image = read_image(sample.image, bit_depth=self.bit_depth)
        labels = sample.read_labels()
        if image.shape[:2] != labels.shape:
            raise DatasetError(
                f"{sample.image} is {_size(image)} but its label {sample.label} is {_size(labels)}",
                "Make both the same size",
            )
        return image, labels


def _hold_masks(splits: Iterable[Split]) -> bool:
    files: list[Path] = []
    for split in splits:
        with suppress(DatasetError):  # it is told when the split is used
            files += list_images(split.labels, LABEL_SUFFIXES)
    return are_masks(files)


def _size(array: np.ndarray[Any, np.dtype[Any]]) -> str:
    return f"{array.shape[1]}x{array.shape[0]}"


class _Reader:
    """Checks what YAML gave against what a dataset.yaml may hold, naming the key in each message."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def mapping(
        self, value: Any, key: str, required: set[str] | None = None, optional: set[str] | None = None
    ) -> dict[str, Any]:
        where = key or "the file"
        if not isinstance(value, dict):
            raise DatasetError(f"{self.path}: {where} is not a mapping", "Write it as lines of 'key: value'")
        if required is None:
            return value
        allowed = required | (optional or set())
        if unknown := [str(k) for k in value if k not in allowed]:
            raise DatasetError(
                f"{self.path}: unknown key {unknown[0]!r:.80} in {where}", f"Allowed are {', '.join(sorted(allowed))}"
            )
        if missing := sorted(required - set(value)):
            raise DatasetError(f"{self.path}: {where} lacks {missing[0]!r}", "Add it")
        return value

    def sequence(self, value: Any, key: str) -> list[Any]:
        if not isinstance(value, list):
            raise DatasetError(f"{self.path}: {key} is not a list", "Write it as [a, b, c]")
        return value

    def colors(self, value: Any, count: int) -> tuple[Rgb, ...]:
        rows = self.sequence(value, "colors")
        if len(rows) != count:
            raise DatasetError(f"{self.path}: {count} names but {len(rows)} colors", "Give one colour per class")
        for row in rows:
            if (
                not isinstance(row, list)
                or len(row) != 3
                or not all(isinstance(v, int) and not isinstance(v, bool) and 0 <= v <= 255 for v in row)
            ):
                raise DatasetError(f"{self.path}: colour {row!r:.80}", "Write it as [R, G, B] with values 0..255")
        return tuple((r, g, b) for r, g, b in rows)

    def name(self, value: Any, key: str) -> str:
        """A word or whole number as the name of a class or split; ``1`` becomes ``"1"``."""
        if isinstance(value, bool) or not isinstance(value, str | int):
            kind = "a date" if isinstance(value, date) else f"{value!r:.80}"
            raise DatasetError(f"{self.path}: {key} holds {kind} where a name must be", 'Write it in quotes: "name"')
        if not is_printable(str(value)):
            raise DatasetError(
                f"{self.path}: {key} holds {ascii(value)[:80]}", "Use names of 1 to 200 printable letters"
            )
        return str(value)

    def names(self, value: Any) -> tuple[str, ...]:
        names = tuple(self.name(name, "names") for name in self.sequence(value, "names"))
        twice = next((f", {name!r} more than once" for name in names if names.count(name) > 1), "")
        if not 1 <= len(names) <= MAX_CLASSES or twice:
            what = f"{self.path}: names has {len(names)} entries{twice}"
            raise DatasetError(what, f"Give 1 to {MAX_CLASSES} different names")
        return names

    def split(self, value: Any, key: str, coding: LabelCoding) -> Split:
        raw = self.mapping(value, key, required={"images", "labels"}, optional={"include"})
        images, labels = (self.folder(raw[kind], f"{key}.{kind}") for kind in ("images", "labels"))
        return Split(images, labels, coding, self.include(raw, key))

    def tagged(self, value: Any, key: str, names: tuple[str, ...]) -> TaggedSplit:
        raw = self.mapping(value, key, required={"images", "tags"}, optional={"include"})
        images, tags = (self.folder(raw[kind], f"{key}.{kind}") for kind in ("images", "tags"))
        return TaggedSplit(images, tags, names, self.include(raw, key))

    def include(self, raw: dict[str, Any], key: str) -> tuple[str, ...]:
        include = raw.get("include", ["*"])
        include = [include] if isinstance(include, str) else self.sequence(include, f"{key}.include")
        wrong = [pattern for pattern in include if not isinstance(pattern, str) or not is_printable(pattern)]
        if wrong:
            raise DatasetError(
                f"{self.path}: {key}.include holds {wrong[0]!a:.80}", 'Write patterns in quotes: ["a_*"]'
            )
        return (*include,)

    def folder(self, value: Any, key: str) -> Path:
        is_name = isinstance(value, str | int) and not isinstance(value, bool)
        if not is_name or not is_printable(str(value), longest=4096):
            remedy = "Write the folder's path, in quotes if it is no word"
            raise DatasetError(f"{self.path}: {key} is {value!a:.80}", remedy)
        return self.path.parent / str(value)
