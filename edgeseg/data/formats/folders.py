"""Folders of images and of label files, as a dataset.yaml names them; the format where none is named.

splits:
  train: {images: train/images, labels: train/labels}                    # label files of the images' stems
  val:   {images: val/images, labels: "val/masks/{stem}_mask.png"}       # or called otherwise
  deep:  {images: left, labels: "fine/{folder}/{stem}_ids.png", nested: true}     # and with folders in the folder
  last:  {list: test.txt}                                                # or an image and its label on each line
  seen:  {images: more/images, tags: more/tags.csv}                      # without labels, but with what is in them
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from edgeseg.data.description import Description
from edgeseg.data.formats.base import LABEL_FORMATS, FileLabels, LabelCoding
from edgeseg.data.formats.binary import MASKS, are_masks, told_as_masks
from edgeseg.data.formats.dataset_format import Contents, DatasetFormat
from edgeseg.data.image_files import MOVE_OUT, check_images, index_by_stem, list_images, natural_order
from edgeseg.data.listing import files_below
from edgeseg.data.samples import Matches, Sample, Split
from edgeseg.data.tags import TaggedSplit
from edgeseg.errors import DatasetError
from edgeseg.files.documents import read_text
from edgeseg.spec.palette import Rgb, distinct_colors

_STEM, _FOLDER = "{stem}", "{folder}"

_LOSSY = frozenset({".jpg", ".jpeg"})


class _Folders(DatasetFormat):
    keys = frozenset({"names", "splits", "colors", "ignore_colors", "ignore_index", "label_format"})
    required = frozenset({"names", "splits"})

    def read(self, description: Description) -> Contents:
        names = description.names() or ()
        colors = description.colors(len(names)) or distinct_colors(len(names))
        ignore = description.whole_number("ignore_index", 0, 255)
        label_format = description.one_of("label_format", [*LABEL_FORMATS], "index")
        try:
            LABEL_FORMATS[label_format].check(names, has_colors="colors" in description)
        except DatasetError as error:
            raise description.error(error.what, error.remedy) from None
        ignore_colors = _ignore_colors(description, label_format, colors)
        coding = LabelCoding(len(names), ignore, colors, label_format, ignore_colors=ignore_colors)
        said = description.splits(set(), {"images", "labels", "include", "nested", "list", "tags"})
        tagged = {
            name: _tagged(description, said.pop(name), f"splits.{name}", names)
            for name in sorted(name for name, value in said.items() if "tags" in value)
        }
        if not said:
            raise description.error("splits has none with labels", "Name at least one split with labels")
        pairings = {name: _pairing(description, value, f"splits.{name}") for name, value in said.items()}
        undecided = len(names) == 2 and ignore is None and "label_format" not in description
        if undecided and are_masks([file for pairing in pairings.values() for file in pairing.label_files()]):
            told_as_masks(f"the labels of {description.path}")
            coding = MASKS
        splits = {
            name: Split(
                pairing.images,
                pairing.labels,
                partial(pairing.samples, coding),
                partial(pairing.match, coding) if pairing.by_name else None,
            )
            for name, pairing in pairings.items()
        }
        return Contents(names, colors, coding, splits, tagged)


FOLDERS = _Folders()


def _ignore_colors(description: Description, label_format: str, colors: Sequence[Rgb]) -> tuple[Rgb, ...]:
    rows = description.rgb(description.sequence(description.values.get("ignore_colors", []), "ignore_colors"))
    if rows and label_format != "rgb":
        what = f"ignore_colors is for label_format rgb, not {label_format}"
        raise description.error(what, "Set ignore_index instead, or label_format: rgb")
    if both := [row for row in rows if row in colors]:
        what = f"{list(both[0])} is in ignore_colors, and the colour of a class"
        raise description.error(what, "Leave one of the two out")
    return rows


class _Pairing:
    """How a split finds the label of each image."""

    images: Path
    labels: Path
    by_name: ClassVar[bool] = True

    def pairs(self, suffixes: frozenset[str]) -> list[tuple[Path, Path]]:
        raise NotImplementedError

    def match(self, coding: LabelCoding) -> Matches:
        """What lies there, paired as far as it goes; JPEG labels too, so that they are told as what they are."""
        raise NotImplementedError

    def label_files(self) -> list[Path]:
        """As far as they are there; what is missing is told when the split is used."""
        try:
            return [label for _, label in self.pairs(LABEL_FORMATS["index"].suffixes)]
        except DatasetError:
            return []

    def samples(self, coding: LabelCoding) -> list[Sample]:
        return [Sample(image, FileLabels(label, coding)) for image, label in self.pairs(coding.suffixes)]


@dataclass(frozen=True)
class _ByStem(_Pairing):
    """Each image and the label file of its stem."""

    images: Path
    labels: Path
    include: tuple[str, ...] = ("*",)
    nested: bool = False

    def label_files(self) -> list[Path]:
        try:
            return self._list(self.labels, LABEL_FORMATS["index"].suffixes)
        except DatasetError:
            return []

    def pairs(self, suffixes: frozenset[str]) -> list[tuple[Path, Path]]:
        if self.nested:
            images = _included(files_below(self.images), self.include, self.images)
            check_images(images, f"{self.images} holds ", MOVE_OUT)
        else:
            images = list_images(
                self.images, include=self.include, remedy=f"{MOVE_OUT}, or choose files with 'include'"
            )
        labels = self._by_stem(self._list(self.labels, suffixes), self.labels)
        self._by_stem(images, self.images)
        missing = [path.name for path in images if self._key(path, self.images) not in labels]
        if missing:
            raise _unlabelled(missing, len(images), self.images, f"in {self.labels}", "of the same stem")
        return [(image, labels[self._key(image, self.images)]) for image in images]

    def match(self, coding: LabelCoding) -> Matches:
        images = files_below(self.images, nested=self.nested)
        labels = files_below(self.labels, coding.suffixes | _LOSSY, nested=self.nested)
        labels.sort(key=lambda label: label.suffix.lower() in _LOSSY)
        found, same_labels = _first_of_each(labels, partial(self._key, folder=self.labels))
        pictures, same_images = _first_of_each(images, partial(self._key, folder=self.images))
        meant = {key: image for key, image in pictures.items() if _is_meant(image, self.include)}
        return Matches(
            [Sample(image, FileLabels(found[key], coding)) for key, image in meant.items() if key in found],
            [image for key, image in meant.items() if key not in found],
            [label for key, label in found.items() if key not in pictures],
            [*same_images, *same_labels],
        )

    def _list(self, folder: Path, suffixes: frozenset[str]) -> list[Path]:
        return files_below(folder, suffixes) if self.nested else list_images(folder, suffixes)

    def _key(self, path: Path, folder: Path) -> str:
        return str(path.relative_to(folder).with_suffix("")) if self.nested else path.stem

    def _by_stem(self, paths: Sequence[Path], folder: Path) -> dict[str, Path]:
        return index_by_stem(paths, partial(self._key, folder=folder))


@dataclass(frozen=True)
class _ByPattern(_Pairing):
    """Each image and the label file that a pattern names."""

    images: Path
    labels: Path
    pattern: str
    include: tuple[str, ...] = ("*",)
    nested: bool = False

    def pairs(self, suffixes: frozenset[str]) -> list[tuple[Path, Path]]:
        images = _included(files_below(self.images, nested=self.nested), self.include, self.images)
        named = {os.fspath(image): os.path.normpath(self._label_of(image)) for image in images}
        # Labels may lie among the images.
        labels = set(named.values())
        images = [image for image in images if os.path.normpath(image) not in labels]
        files = set(map(os.path.normpath, files_below(self.labels, suffixes)))
        missing = [image.name for image in images if named[os.fspath(image)] not in files]
        if missing or not images:
            raise _unlabelled(missing, len(images), self.images, f"called {self.pattern}", "of that name")
        return [(image, Path(named[os.fspath(image)])) for image in images]

    def match(self, coding: LabelCoding) -> Matches:
        files = set(map(os.path.normpath, files_below(self.labels, coding.suffixes)))
        called = re.compile(_regular_expression(os.path.normpath(self.pattern)))
        labels = {file for file in files if called.fullmatch(file)}
        images = files_below(self.images, nested=self.nested)
        named = {image: os.path.normpath(self._label_of(image)) for image in images}
        meant = {
            image: label
            for image, label in named.items()
            if os.path.normpath(image) not in labels and _is_meant(image, self.include)
        }
        return Matches(
            [Sample(image, FileLabels(Path(label), coding)) for image, label in meant.items() if label in files],
            [image for image, label in meant.items() if label not in files],
            natural_order(Path(label) for label in labels.difference(named.values())),
            [],
        )

    def _label_of(self, image: Path) -> str:
        folder = str(image.parent.relative_to(self.images))
        return self.pattern.replace(_FOLDER, folder).replace(_STEM, image.stem)


@dataclass(frozen=True)
class _ByList(_Pairing):
    """The pairs on the lines of a file."""

    by_name = False

    images: Path
    labels: Path

    def pairs(self, suffixes: frozenset[str]) -> list[tuple[Path, Path]]:
        pairs: list[tuple[Path, Path]] = []
        for number, line in enumerate(read_text(self.labels, DatasetError).splitlines(), 1):
            if not line.strip():
                continue
            words = line.split("\t") if "\t" in line else line.split()
            words = [word.strip() for word in words]
            if len(words) != 2 or not all(words) or "\0" in line:
                raise DatasetError(
                    f"{self.labels}: line {number} is not an image and a label ({line.strip()!r:.80})",
                    "Write both paths on each line, with a tab between them if they hold spaces",
                )
            image, label = (self.images / word.replace("\\", "/") for word in words)
            for file in (image, label):
                if not file.is_file():
                    what = f"{self.labels}: line {number} names {file}, which is not there"
                    raise DatasetError(what, f"Put it there, or correct the line; paths begin at {self.images}")
            pairs.append((image, label))
        if not pairs:
            raise DatasetError(f"{self.labels} lists no image", "Write an image and its label on each line")
        check_images([image for image, _ in pairs], f"{self.labels} names ", "Take it out")
        check_images([label for _, label in pairs], f"{self.labels} names ", "Take it out", suffixes)
        return pairs


def _pairing(description: Description, value: dict[str, Any], key: str) -> _Pairing:
    if "list" in value:
        description.mapping(value, key, {"list"})
        return _ByList(description.folder, description.place(value["list"], f"{key}.list"))
    description.mapping(value, key, {"images", "labels"}, {"include", "nested"})
    include = description.patterns(value.get("include", ["*"]), f"{key}.include")
    nested = value.get("nested", False)
    if not isinstance(nested, bool):
        raise description.error(f"{key}.nested is {nested!r:.80}", "Use true or false")
    images, labels = (description.place(value[kind], f"{key}.{kind}") for kind in ("images", "labels"))
    if _STEM not in str(labels):
        return _ByStem(images, labels, include, nested)
    # The folder of a pattern is what comes before the first part that differs from image to image.
    fixed = Path(os.path.dirname(str(labels).partition("{")[0] + "x"))
    return _ByPattern(images, fixed, str(labels), include, nested)


def _tagged(description: Description, value: dict[str, Any], key: str, names: tuple[str, ...]) -> TaggedSplit:
    description.mapping(value, key, {"images", "tags"}, {"include"})
    images, tags = (description.place(value[kind], f"{key}.{kind}") for kind in ("images", "tags"))
    return TaggedSplit(images, tags, names, description.patterns(value.get("include", ["*"]), f"{key}.include"))


def _included(images: list[Path], include: Sequence[str], folder: Path) -> list[Path]:
    chosen = [path for path in images if _is_meant(path, include)]
    if not chosen:
        what = f"no images in {folder} match {list(include)}" if images else f"there is no image in {folder}"
        raise DatasetError(what, "Correct 'include'" if images else "Correct the path, or put images into it")
    return chosen


def _is_meant(path: Path, include: Sequence[str]) -> bool:
    return any(fnmatch(path.name, pattern) for pattern in include)


def _first_of_each(
    paths: Sequence[Path], key_of: Callable[[Path], str]
) -> tuple[dict[str, Path], list[tuple[Path, Path]]]:
    """The paths by their keys, and those whose keys are taken, each with the one that has it."""
    found: dict[str, Path] = {}
    same = []
    for path in paths:
        first = found.setdefault(key_of(path), path)
        if first != path:
            same.append((first, path))
    return found, same


def _regular_expression(pattern: str) -> str:
    """Matches what a pattern may name."""
    parts = re.split(f"({re.escape(_STEM)}|{re.escape(_FOLDER)})", pattern)
    return "".join({_STEM: "[^/]+", _FOLDER: ".+"}.get(part, re.escape(part)) for part in parts)


def _unlabelled(missing: Sequence[str], count: int, images: Path, where: str, called: str) -> DatasetError:
    return DatasetError(
        f"{len(missing)} of {count} images in {images} have no label {where}: "
        f"{', '.join(missing[:3])}{' …' if len(missing) > 3 else ''}",
        f"Give each image a label file {called}",
    )
