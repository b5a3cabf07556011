"""labelme: a JSON of shapes beside each picture.

a.jpg  a.json  b.jpg  b.json …     or the same in the folders train and val     labels.txt, as labelme's converters take

The classes are those of ``names``, or of ``labels.txt`` (a class a line; ``__ignore__`` is "no label" and
``_background_`` the background), or else all that occur, in alphabetical order. Polygons, rectangles, circles, lines,
points and masks are drawn as labelme's converters draw them, later ones over earlier ones. A picture without a JSON has
not been labelled, and is left out.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from edgeseg.data.description import Description
from edgeseg.data.formats import drawn
from edgeseg.data.formats.dataset_format import Contents, DatasetFormat, split_name
from edgeseg.data.formats.drawn import Classes, Drawing, DrawnLabels
from edgeseg.data.listing import files_below
from edgeseg.data.pictures import FILE_LIMIT, decode_image
from edgeseg.data.samples import Sample, Split
from edgeseg.data.shapes import LEAST_POINTS, Outline, Shape, Stencil, points_of
from edgeseg.errors import DatasetError
from edgeseg.files.documents import read_json, read_text
from edgeseg.spec.palette import IGNORE
from edgeseg.types import LabelsU8

_MOST_BYTES = 256 << 20
"""A JSON may hold the picture as well."""

_JSON = frozenset({".json"})
_SPLITS = ("train", "training", "val", "valid", "validation", "test")
_NO_LABEL, _BACKGROUND = "__ignore__", "_background_"


class _Labelme(DatasetFormat):
    keys = drawn.DIVIDED_KEYS

    def recognises(self, folder: Path) -> bool:
        tried = [folder, *(folder / name for name in _SPLITS if (folder / name).is_dir())]
        return any(_pairs(place, place, nested=False) for place in tried)

    def read(self, description: Description) -> Contents:
        folder = description.folder
        places = drawn.places(description, together=True)
        if not places:
            found = [folder / name for name in _SPLITS if (folder / name).is_dir()]
            places = {split_name(place.name): (place, place) for place in found if _pairs(place, place)}
        undivided = not places
        places = places or {"": (folder, folder)}
        pairs = {name: _pairs(images, labels) for name, (images, labels) in places.items()}
        for name, (images, _) in places.items():
            if not pairs[name]:
                raise description.error(f"no picture in {images} has a JSON of labelme", "Put each beside its picture")
        classes = Classes.of(description, partial(_names, folder, pairs))
        splits = {
            name: Split(images, labels, partial(_samples, pairs[name], classes))
            for name, (images, labels) in places.items()
        }
        if undivided:
            parts = drawn.divided(description, splits[""].samples())
            splits = {name: drawn.listed(folder, folder, samples) for name, samples in parts.items()}
        return classes.contents(splits)


LABELME = _Labelme()

_Pairs = list[tuple[Path, Path]]
"""Pictures and their JSON files."""


def _pairs(images: Path, labels: Path, *, nested: bool = True) -> _Pairs:
    """By the path below the folder, without the suffix."""
    files = {path.relative_to(labels).with_suffix(""): path for path in files_below(labels, _JSON, nested=nested)}
    if not files:
        return []
    pictures = files_below(images, nested=nested)
    keyed = ((picture, picture.relative_to(images).with_suffix("")) for picture in pictures)
    return [(picture, files[key]) for picture, key in keyed if key in files]


def _names(folder: Path, pairs: dict[str, _Pairs]) -> list[str]:
    if (folder / "labels.txt").is_file():
        lines = [line.strip() for line in read_text(folder / "labels.txt", DatasetError).splitlines()]
        return [line for line in lines if line and line not in (_NO_LABEL, _BACKGROUND)]
    found = set()
    for _, path in (pair for own in pairs.values() for pair in own):
        for number, shape in enumerate(_read(path)["shapes"], 1):
            label = shape.get("label")
            if not isinstance(label, str):
                raise DatasetError(f"{path}: shape {number} lacks the key 'label'", "Add it")
            found.add(label)
    return sorted(found - {_NO_LABEL, _BACKGROUND})


def _read(path: Path) -> dict[str, Any]:
    top = read_json(path, DatasetError, most_bytes=_MOST_BYTES, shrink=_shrunk)
    for key in ("shapes", "imageHeight", "imageWidth"):
        if not isinstance(top, dict) or key not in top:
            raise DatasetError(f"{path} lacks the key {key!r}", "Save it with labelme again, or take it out")
    shapes = top["shapes"]
    if not isinstance(shapes, list) or not all(isinstance(shape, dict) for shape in shapes):
        raise DatasetError(f"{path}: shapes is no list of mappings", "Save it with labelme again")
    for key in ("imageHeight", "imageWidth"):
        if top[key] is not None and (not isinstance(top[key], int) or top[key] < 1):
            raise DatasetError(f"{path}: {key} is {top[key]!r:.40}", "Write a whole number")
    return dict(top)


def _shrunk(item: dict[str, Any]) -> dict[str, Any]:
    item.pop("imageData", None)
    return item


def _samples(pairs: _Pairs, classes: Classes) -> list[Sample]:
    return [Sample(picture, _Json(path, picture, classes)) for picture, path in pairs]


@dataclass(frozen=True)
class _Json:
    """The labels of one picture in a JSON of its own, which is read when they are asked for."""

    path: Path
    image: Path
    classes: Classes

    def read(self) -> LabelsU8:
        top = _read(self.path)
        told = (top["imageHeight"], top["imageWidth"])
        size = None if None in told else told
        shapes = partial(_shapes, self.path, top["shapes"], self.classes)
        return DrawnLabels(self.path, self.image, size, self.classes.rest, shapes).read()


def _shapes(path: Path, shapes: list[dict[str, Any]], classes: Classes, _: tuple[int, int]) -> Drawing:
    for number, shape in enumerate(shapes, 1):
        where = f"{path}: shape {number}"
        for key in ("label", "points"):
            if key not in shape:
                raise DatasetError(f"{where} lacks the key {key!r}", "Add it")
        label = shape["label"]
        fixed = {_NO_LABEL: IGNORE, _BACKGROUND: classes.rest}
        known = isinstance(label, str) and label in fixed and label not in classes.names
        yield where, partial(_shape, shape, fixed[label] if known else classes.index(label, where))


def _shape(shape: dict[str, Any], value: int) -> Shape:
    kind = shape.get("shape_type") or "polygon"
    if kind == "mask":
        (left, top), (right, bottom) = points_of(shape["points"], 2)[:2].astype(int).tolist()
        mask = _mask(shape.get("mask"))
        if mask.shape != (bottom - top + 1, right - left + 1):
            raise ValueError(f"a mask of {mask.shape[1]}x{mask.shape[0]} between corners for another size")
        return Stencil(value, mask, left, top)
    if not isinstance(kind, str) or kind not in LEAST_POINTS:
        raise ValueError(f"the shape_type {kind!r:.40}, which is not known")
    points = points_of(shape["points"], LEAST_POINTS[kind])
    return Outline(value, kind, points)  # type: ignore[arg-type]  # one of LEAST_POINTS


def _mask(text: Any) -> np.ndarray[Any, np.dtype[np.bool_]]:
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, TypeError, ValueError):
        raise ValueError("a mask that is no base64") from None
    return np.asarray(decode_image(data, "a mask", limit=FILE_LIMIT)[..., 0] > 0)
