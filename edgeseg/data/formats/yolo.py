"""YOLO segmentation, as Ultralytics and Roboflow lay it out: a data.yaml, and a text of polygons for each picture.

data.yaml: {path: ., train: images/train, val: images/val, names: {0: person, 1: bicycle}}
images/train/a.jpg     labels/train/a.txt: "1 0.1 0.1 0.9 0.1 0.5 0.9", a class and its corners as fractions a line

A picture without a text shows nothing but background. Polygons are filled with OpenCV's fillPoly at whole pixels, as
Ultralytics does, later lines over earlier ones.
"""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

import numpy as np

from edgeseg.data.description import Description
from edgeseg.data.formats.dataset_format import Contents, DatasetFormat, split_name
from edgeseg.data.formats.drawn import Classes, Drawing, DrawnLabels
from edgeseg.data.image_files import IMAGE_SUFFIXES
from edgeseg.data.listing import files_below
from edgeseg.data.samples import Sample, Split
from edgeseg.data.shapes import Corners
from edgeseg.errors import DatasetError
from edgeseg.files.documents import read_text, read_yaml

_FILES = ("data.yaml", "data.yml")
_SPLITS = ("train", "val", "valid", "test")
_MOST_BYTES = 64 << 20
_MOST = 1e9


class _Yolo(DatasetFormat):
    keys = frozenset({"colors", "background"})
    files = frozenset(_FILES)

    def recognises(self, folder: Path) -> bool:
        return any((folder / name).is_file() for name in _FILES)

    def read(self, description: Description) -> Contents:
        path = next((path for name in _FILES if (path := description.folder / name).is_file()), None)
        if path is None:
            what = f"there is no {_FILES[0]} in {description.folder}"
            raise description.error(what, "Put it there; it names the classes and the splits")
        values = read_yaml(path, DatasetError)
        said = Description(path, path.parent, values if isinstance(values, dict) else {})
        own = _names(said)
        taken = description.values if description.path.is_file() else {}
        classes = Classes.of(
            Description(path, path.parent, {key: taken[key] for key in ("colors", "background") if key in taken}),
            lambda: own,
        )
        root = _root(said)
        splits: dict[str, Split] = {}
        for key in _SPLITS:
            if said.values.get(key):
                entries = said.values[key] if isinstance(said.values[key], list) else [said.values[key]]
                places = [_place(root, said, said.place(entry, key)) for entry in entries]
                samples = partial(_samples, path, places, own, classes)
                splits[split_name(key)] = Split(places[0], _labels_of(places[0]), samples)
        if not splits:
            raise said.error("it names no split", "Write train: and val: with the folders of their images")
        return classes.contents(splits)


YOLO = _Yolo()


def _names(said: Description) -> list[str]:
    names = said.values.get("names")
    if isinstance(names, dict):
        if sorted(names, key=str) != sorted(range(len(names)), key=str):
            raise said.error(f"names has the numbers {[*names]!r:.80}", f"Number the classes 0..{len(names) - 1}")
        names = [names[number] for number in range(len(names))]
    if not names:
        raise said.error("the key 'names' is missing", "List the classes")
    return [said.name(name, "names") for name in said.sequence(names, "names")]


def _root(said: Description) -> Path:
    """What the splits are relative to: ``path`` where that is there, or else the folder of the file."""
    told = said.values.get("path")
    root = said.place(told, "path") if told else said.folder
    return root if root.is_dir() else said.folder


def _place(root: Path, said: Description, given: Path) -> Path:
    """A split's folder or list. ``../train/images`` of Roboflow's means the folder beside the file, not above it."""
    relative = os.path.relpath(given, said.folder)
    tried = [root / relative, root / relative.removeprefix(f"..{os.sep}")]
    found = next((place for place in tried if place.exists()), None)
    if found is None:
        raise said.error(f"there is no {tried[0]}", "Correct the path of the split")
    return found


def _labels_of(images: Path) -> Path:
    """The folder of the labels: ``labels`` in the place of the last ``images`` in the path."""
    parts = [*images.parts]
    for index in range(len(parts) - 1, -1, -1):
        if parts[index] == "images":
            return Path(*parts[:index], "labels", *parts[index + 1 :])
    return images


def _samples(where: Path, places: list[Path], names: list[str], classes: Classes) -> list[Sample]:
    pictures: list[Path] = []
    for place in places:
        pictures += _listed(place) if place.is_file() else files_below(place)
    if not pictures:
        raise DatasetError(f"{where}: there is no picture in {places[0]}", "Correct the path of the split")
    texts: dict[Path, frozenset[Path]] = {}
    samples = []
    for picture in pictures:
        folder = _labels_of(picture.parent)
        if folder not in texts:
            found = files_below(folder, frozenset({".txt"}), nested=False) if folder.is_dir() else []
            texts[folder] = frozenset(found)
        path = folder / f"{picture.stem}.txt"
        shapes = partial(_shapes, path, names, classes) if path in texts[folder] else _nothing
        samples.append(Sample(picture, DrawnLabels(path, picture, None, classes.rest, shapes)))
    if not any(texts.values()):
        raise DatasetError(f"{where}: there is no text of labels in {next(iter(texts))}", "Put labels beside images")
    return samples


def _listed(path: Path) -> list[Path]:
    pictures = []
    for number, line in enumerate(read_text(path, DatasetError, _MOST_BYTES).splitlines(), 1):
        if name := line.strip():
            picture = path.parent / name.replace("\\", "/")
            if picture.suffix.lower() not in IMAGE_SUFFIXES or "\0" in name or not picture.is_file():
                what = f"{path}: line {number} names {picture}, which is not there or no image"
                raise DatasetError(what, "Put it there, or take out the line")
            pictures.append(picture)
    return pictures


def _nothing(_: tuple[int, int]) -> Drawing:
    return []


def _shapes(path: Path, names: list[str], classes: Classes, size: tuple[int, int]) -> Drawing:
    for number, line in enumerate(read_text(path, DatasetError, _MOST_BYTES).splitlines(), 1):
        words = line.split()
        if not words:
            continue
        where = f"{path}: line {number}"
        values = _numbers(words)
        if values is None or len(values) % 2 == 0:
            raise DatasetError(f"{where} is no class and pairs of numbers ({line!r:.60})", "Correct or remove it")
        if not 0 <= values[0] < len(names) or values[0] != int(values[0]):
            what = f"{where} has the class {words[0]:.40}, but the classes are 0..{len(names) - 1}"
            raise DatasetError(what, "Add it to names in data.yaml, or correct the line")
        if len(values) < 7:
            what = f"{where} has {len(values) // 2} points, or a box; a polygon has 3 or more"
            raise DatasetError(what, "Export polygons, or remove the line")
        # In 32 bits, as Ultralytics has them: 0.29 of 100 is 29 then, and not a little less.
        points = np.array(values[1:], dtype=np.float32).reshape(-1, 2) * np.array(size[::-1], dtype=np.float32)
        yield where, partial(Corners, classes.index(names[int(values[0])], where), points.astype(np.float64))


def _numbers(words: list[str]) -> list[float] | None:
    try:
        values = [float(word) for word in words]
    except ValueError:
        return None
    return values if all(abs(value) < _MOST for value in values) else None
