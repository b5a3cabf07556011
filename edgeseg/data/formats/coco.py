"""COCO: one JSON a split, with polygons and run lengths of things, stuff or both.

annotations/instances_train2017.json     train2017/000000000009.jpg     and the like: the pictures are looked for
train/_annotations.coco.json             train/a.jpg                    as Roboflow lays it out
result.json                              images/a.jpg                   as Label Studio does

Where they lie otherwise, or where stuff and things come together, ``splits`` in a dataset.yaml says so, later ones over
earlier ones: ``train: {images: train2017, labels: [stuff_train2017.json, instances_train2017.json]}``.

The classes are the categories in the order of their ids, behind the background. An annotation covers what those before
it have drawn; a crowd is of its class. Polygons are filled by pycocotools' rule.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from edgeseg.data.description import Description
from edgeseg.data.formats import drawn
from edgeseg.data.formats.dataset_format import Contents, DatasetFormat, split_name
from edgeseg.data.formats.drawn import Classes, Drawing, DrawnLabels
from edgeseg.data.listing import PictureFinder
from edgeseg.data.runs import counts_of_text, mask_of_runs
from edgeseg.data.samples import Sample, Split
from edgeseg.data.shapes import Polygon, Shape, Stencil, points_of
from edgeseg.errors import DatasetError
from edgeseg.files.documents import MAX_EXPORT_BYTES, read_json, starts_with

_ROBOFLOW = "_annotations.coco.json"
_KINDS = ("instances", "stuff", "panoptic", "person_keypoints", "captions")
_KEPT = {
    "segmentation": ("id", "image_id", "category_id", "segmentation", "iscrowd"),
    "file_name": ("id", "file_name", "width", "height"),
}
"""What is kept of an annotation and of an image, by the key that tells one."""


class _Coco(DatasetFormat):
    keys = drawn.DIVIDED_KEYS

    def recognises(self, folder: Path) -> bool:
        return bool(_found(folder))

    def read(self, description: Description) -> Contents:
        places = _places(description) or _found(description.folder)
        if not places:
            what = f"there is no annotations/instances_NAME.json in {description.folder}"
            raise description.error(what, "Name the pictures and the JSON of each split in a dataset.yaml")
        exports = {path: _Export.read(path) for _, paths in places.values() for path in paths}
        classes = Classes.of(description, lambda: _categories(exports.values()))
        splits = {
            name: Split(
                images,
                paths[0],
                partial(_samples, images, [exports[path] for path in paths], classes),
                sources=tuple(paths[1:]),
            )
            for name, (images, paths) in places.items()
        }
        if "splits" not in description and len(splits) == 1:
            ((name, split),) = splits.items()
            if name not in ("train", "val", "test"):  # an export of all there is
                parts = drawn.divided(description, split.samples())
                splits = {part: drawn.listed(split.images, split.labels, own) for part, own in parts.items()}
        return classes.contents(splits)


COCO = _Coco()

_Places = dict[str, tuple[Path, list[Path]]]
"""The folder of the pictures and the JSON files of each split."""


def _places(description: Description) -> _Places:
    places: _Places = {}
    for name, value in description.splits({"images", "labels"}).items():
        key = f"splits.{name}"
        labels = value["labels"] if isinstance(value["labels"], list) else [value["labels"]]
        if not labels:
            raise description.error(f"{key}.labels is empty", "Name a JSON file")
        files = [description.place(label, f"{key}.labels") for label in labels]
        places[name] = (description.place(value["images"], f"{key}.images"), files)
    return places


def _found(folder: Path) -> _Places:
    roboflow = sorted(folder.glob(f"*/{_ROBOFLOW}"))
    places: _Places = {split_name(path.parent.name): (path.parent, [path]) for path in roboflow}
    by_split: dict[str, dict[str, Path]] = {}
    for path in sorted((folder / "annotations").glob("*.json")):
        kind, _, rest = path.stem.partition("_")
        known = kind in _KINDS
        by_split.setdefault(rest if known and rest else path.stem, {})[kind if known else ""] = path
    for name in ("result.json", "instances.json", "annotations.json", _ROBOFLOW):
        if not by_split and (folder / name).is_file() and starts_with(folder / name, b"{"):
            by_split.setdefault("all", {})[""] = folder / name
    for word, kinds in by_split.items():
        labels = next((kinds[kind] for kind in ("instances", "stuff", "") if kind in kinds), None)
        if labels is not None:
            tried = [Path("images", word), Path(word, "images"), Path(word), Path("images"), Path()]
            images = next(folder / way for way in tried if (folder / way).is_dir())
            places[split_name(word.rstrip("0123456789"))] = (images, [labels])
    return places


@dataclass(frozen=True)
class _Export:
    """One JSON, looked through."""

    path: Path
    images: dict[Any, dict[str, Any]]
    categories: dict[int, str]
    annotations: dict[Any, list[dict[str, Any]]] = field(repr=False)

    @classmethod
    def read(cls, path: Path) -> _Export:
        top = read_json(path, DatasetError, most_bytes=MAX_EXPORT_BYTES, shrink=_shrunk)
        if not isinstance(top, dict):
            raise DatasetError(f"{path} is no COCO export: not a mapping", "Pass the JSON of instances or stuff")
        images = {_identity(path, "images", item): item for item in _items(path, top, "images")}
        categories = {}
        for item in _items(path, top, "categories"):
            number, name = _identity(path, "categories", item), _value(path, "categories", item, "name")
            if not isinstance(number, int) or not isinstance(name, str | int):
                raise DatasetError(f"{path}: category {number!r:.40} is called {name!r:.80}", "Use a number and a word")
            categories[number] = str(name)
        annotations: dict[Any, list[dict[str, Any]]] = {}
        for item in _items(path, top, "annotations"):
            image = _identity(path, "annotations", item, "image_id")
            if image not in images:
                what = f"{path}: annotation {item.get('id')!r:.40} is of image {image!r:.40}, which is not in images"
                raise DatasetError(what, "Add the image, or remove the annotation")
            annotations.setdefault(image, []).append(item)
        return cls(path, images, categories, annotations)


def _shrunk(item: dict[str, Any]) -> dict[str, Any]:
    """What is needed of a mapping, points and run lengths as arrays: a tenth of the memory."""
    for key, kept in _KEPT.items():
        if key in item:
            item = {name: item[name] for name in kept if name in item}
    for key in ("segmentation", "counts"):
        if isinstance(item.get(key), list):
            item[key] = _array(item[key]) if key == "counts" else [_array(ring) for ring in item[key]]
    return item


def _array(values: Any) -> Any:
    if isinstance(values, list) and not any(isinstance(value, list | str | bool) for value in values[:1]):
        try:
            found = np.array(values)
        except (ValueError, OverflowError):
            return values
        return found if found.ndim == 1 and found.dtype.kind in "iuf" else values
    return values


def _items(path: Path, top: dict[str, Any], key: str) -> list[dict[str, Any]]:
    if not isinstance(top.get(key), list) or not all(isinstance(item, dict) for item in top[key]):
        what = "is missing" if key not in top else "is no list of mappings"
        raise DatasetError(f"{path}: the key {key!r} {what}", "Export the annotations as COCO again")
    items: list[dict[str, Any]] = top[key]
    return items


def _value(path: Path, where: str, item: Mapping[str, Any], key: str) -> Any:
    if key not in item:
        name = f"{where}, id {item['id']!r:.40}" if "id" in item else where
        raise DatasetError(f"{path}: an entry of {name} lacks the key {key!r}", "Add it")
    return item[key]


def _identity(path: Path, where: str, item: Mapping[str, Any], key: str = "id") -> int | str:
    number = _value(path, where, item, key)
    if isinstance(number, bool) or not isinstance(number, int | str):
        raise DatasetError(f"{path}: {key} of an entry of {where} is {number!r:.80}", "Use a whole number")
    return number


def _categories(exports: Iterable[_Export]) -> list[str]:
    """The names by id, over all exports, which must not differ."""
    names: dict[int, tuple[str, Path]] = {}
    for export in exports:
        for number, name in export.categories.items():
            known, where = names.setdefault(number, (name, export.path))
            if known != name:
                what = f"{export.path} calls category {number} {name!r:.80}, but {where} calls it {known!r:.80}"
                raise DatasetError(what, "Give the categories of all splits the same ids")
    return [names[number][0] for number in sorted(names)]


def _samples(folder: Path, exports: Sequence[_Export], classes: Classes) -> list[Sample]:
    finder = PictureFinder(folder)
    first = exports[0]
    if not first.images:
        raise DatasetError(f"{first.path} lists no image", "Export the annotations again")
    samples = []
    for identity, item in first.images.items():
        where = f"image {identity!r:.40}"
        name = _value(first.path, "images", item, "file_name")
        size = tuple(_value(first.path, "images", item, key) for key in ("height", "width"))
        if not isinstance(name, str) or not all(isinstance(side, int) and side > 0 for side in size):
            what = f"{first.path}: {where} has the file_name {name!a:.80} and is {size[1]!r:.20}x{size[0]!r:.20}"
            raise DatasetError(what, "Write a text and two whole numbers")
        picture = finder.find(name, f"{first.path}: {where}")
        own = [(export, export.annotations[identity]) for export in exports if identity in export.annotations]
        shapes = partial(_shapes, own, classes)
        labels = DrawnLabels(first.path, picture, (size[0], size[1]), classes.rest, shapes)
        samples.append(Sample(picture, labels))
    return samples


def _shapes(own: Sequence[tuple[_Export, list[dict[str, Any]]]], classes: Classes, size: tuple[int, int]) -> Drawing:
    for export, items in own:
        for item in items:
            where = f"{export.path}: annotation {item.get('id')!r:.40}"
            category = _value(export.path, "annotations", item, "category_id")
            if isinstance(category, list | dict) or category not in export.categories:
                remedy = "Add it to categories, or correct the annotation"
                raise DatasetError(f"{where} has category_id {category!r:.40}, which is not in categories", remedy)
            value = classes.index(export.categories[category], where)
            yield where, partial(_shape, _value(export.path, "annotations", item, "segmentation"), value, size)


def _shape(segmentation: Any, value: int, size: tuple[int, int]) -> Shape:
    if isinstance(segmentation, list):
        if not segmentation:
            raise ValueError("no polygon, perhaps but a box")
        return Polygon(value, tuple(points_of(ring) for ring in segmentation))
    if not isinstance(segmentation, dict):
        raise ValueError("a segmentation that is neither polygons nor run lengths")
    if segmentation.get("size") != [*size]:
        raise ValueError(f"run lengths of size {segmentation.get('size')!r:.40} for a picture of {[*size]}")
    counts = segmentation.get("counts")
    if isinstance(counts, str):
        counts = counts_of_text(counts)
    if not isinstance(counts, np.ndarray) or counts.dtype.kind not in "iu":
        raise ValueError("counts that are no run lengths")
    return Stencil(value, mask_of_runs(counts.astype(np.int64), size, by_columns=True))
