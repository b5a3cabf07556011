"""What formats have in common whose labels are shapes drawn over pictures: COCO, labelme, CVAT, Label Studio, YOLO.

In a dataset.yaml they take ``names`` (the order of the classes, or some of them anew), ``colors``, ``background`` (the
class of what no shape covers: ``background`` if left out, null for "no label"), ``splits`` where they can lie
elsewhere, and ``val_every``: a data set without splits is divided, and every fifth picture is for validation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import numpy as np

from edgeseg.data.description import Description
from edgeseg.data.formats.base import LabelCoding
from edgeseg.data.formats.dataset_format import Contents
from edgeseg.data.pictures import FILE_LIMIT, read_image_size
from edgeseg.data.samples import Sample, Split
from edgeseg.data.shapes import Shape
from edgeseg.errors import DatasetError
from edgeseg.spec.palette import IGNORE, Rgb, distinct_colors
from edgeseg.types import LabelsU8

KEYS = frozenset({"names", "colors", "background", "splits"})
"""What these formats take in a dataset.yaml."""

DIVIDED_KEYS = KEYS | {"val_every"}
"""Those of formats that may come without splits."""

_EVERY = 5

_BACKGROUND = "_background_"
"""What labelme's converters call it."""


@dataclass(frozen=True)
class Classes:
    """The classes of a data set of shapes.

    Attributes:
        names: the position is the index.
        colors: one per class.
        rest: the index of what no shape covers; 255 for "no label".
    """

    names: tuple[str, ...]
    colors: tuple[Rgb, ...]
    rest: int

    @classmethod
    def of(
        cls, description: Description, found: Callable[[], Iterable[str]], colors: Mapping[str, Rgb] | None = None
    ) -> Classes:
        """The classes that a dataset.yaml names, or else those of the format, behind the background.

        Args:
            description: of the data set.
            found: finds the format's own, in their order; called where none are named.
            colors: the format's own.

        Raises:
            DatasetError: too many, two of one name, or the background is not among those that are named.
        """
        background = description.values.get("background", "background")
        if background is not None:
            background = description.name(background, "background")
        names = description.names()
        if names is None:
            own = list(dict.fromkeys(found()))
            if "background" not in description and background not in own and _BACKGROUND in own:
                background = _BACKGROUND
            listed = own if background is None or background in own else [background, *own]
            names = description.checked_names(listed, "the list of its classes")
        elif background is not None and background not in names:
            raise description.error(
                f"names has no {background!r}, which is the class of what no shape covers",
                "Add it, name another in background, or write background: null if such pixels have no label",
            )
        made_up = distinct_colors(len(names))
        own_colors = tuple((colors or {}).get(name, other) for name, other in zip(names, made_up, strict=True))
        rest = IGNORE if background is None else names.index(background)
        return cls(names, description.colors(len(names)) or own_colors, rest)

    @cached_property
    def _indices(self) -> dict[str, int]:
        return {name: index for index, name in enumerate(self.names)}

    def index(self, name: object, where: str) -> int:
        """The index of a class.

        Args:
            name: of it.
            where: what has it, for messages.

        Raises:
            DatasetError: no class is called so.
        """
        if not isinstance(name, str) or name not in self._indices:
            listed = ", ".join(self.names[:8]) + (" …" if len(self.names) > 8 else "")
            what = f"{where} has the class {name!a:.80}, but the classes are {listed}"
            raise DatasetError(what, "Add it to names in dataset.yaml, or correct the label")
        return self._indices[name]

    def contents(self, splits: Mapping[str, Split]) -> Contents:
        """What the format has found."""
        return Contents(self.names, self.colors, LabelCoding(len(self.names)), splits)


Drawing = Iterable[tuple[str, Callable[[], Shape]]]
"""Shapes in their order: where each stands, for messages, and what makes it or raises ValueError."""


@dataclass(frozen=True)
class DrawnLabels:
    """The labels of one picture as shapes, later ones over earlier ones.

    Attributes:
        path: the file that holds them.
        image: the picture.
        size: (height, width) of the picture; None to read it from the picture's file.
        rest: the label where there is no shape.
        draw: lists the shapes for a picture of a size.
    """

    path: Path
    image: Path
    size: tuple[int, int] | None
    rest: int
    draw: Callable[[tuple[int, int]], Drawing]

    def read(self) -> LabelsU8:
        """(H, W) uint8 class indices, 255 = no label.

        Raises:
            DatasetError: a shape that is none, or of no class.
        """
        height, width = self.size or read_image_size(self.image)
        if not (0 < height <= FILE_LIMIT.side_px and 0 < width <= FILE_LIMIT.side_px) or (
            height * width > FILE_LIMIT.area_px
        ):
            what = f"{self.path}: {self.image.name} is {width}x{height}"
            raise DatasetError(what, "Correct its width and height")
        labels = np.full((height, width), self.rest, dtype=np.uint8)
        for where, make in self.draw((height, width)):
            try:
                make().paint(labels)
            except ValueError as error:
                raise DatasetError(f"{where} has {error}", "Correct or remove it") from None
        return labels


def places(description: Description, *, together: bool = False) -> dict[str, tuple[Path, Path]]:
    """Where the pictures and the labels of each split are, as a dataset.yaml says; nothing where it does not.

    Args:
        description: of the data set.
        together: the labels lie among the pictures where nothing else is said.
    """
    found = {}
    for name, value in description.splits({"images"}, {"labels"}).items():
        if "labels" not in value and not together:
            raise description.error(f"splits.{name} lacks 'labels'", "Add it")
        images = description.place(value["images"], f"splits.{name}.images")
        labels = description.place(value["labels"], f"splits.{name}.labels") if "labels" in value else images
        found[name] = (images, labels)
    return found


def divided(description: Description, samples: Sequence[Sample]) -> dict[str, list[Sample]]:
    """The samples of a data set that knows no splits: every fifth, or ``val_every``-th, for validation."""
    every = description.whole_number("val_every", 0, 1_000_000)
    every = _EVERY if every is None else every
    if every == 1:
        raise description.error("val_every is 1, which leaves no picture to train on", "Use 2 or more, or 0 for none")
    if not every or len(samples) < 2:
        return {"train": list(samples)}
    # From the middle, so that a set smaller than that has a picture for validation too.
    first = min(every // 2, len(samples) - 1)
    held = {index for index in range(len(samples)) if index % every == first}
    return {
        "train": [sample for index, sample in enumerate(samples) if index not in held],
        "val": [samples[index] for index in sorted(held)],
    }


def listed(images: Path, labels: Path, samples: list[Sample]) -> Split:
    """A split whose samples are known already."""
    return Split(images, labels, partial(list, samples))
