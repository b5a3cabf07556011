"""Label Studio's JSON: polygons, rectangles and ellipses in percent, and what brushes painted.

project-1-at-2026-01-01.json     images/a.jpg …     the pictures are looked for by the ends of their addresses

The classes are those of ``names``, or else all that occur, in alphabetical order behind the background. Of a task with
several annotations the first counts that was not skipped; a task with none has not been labelled, and is left out.
Later regions lie over earlier ones. Polygons are filled by pycocotools' rule; of what a brush painted every pixel
counts that is more than half opaque.
"""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import numpy as np

from edgeseg.data.description import Description
from edgeseg.data.formats import drawn
from edgeseg.data.formats.dataset_format import Contents, DatasetFormat
from edgeseg.data.formats.drawn import Classes, Drawing, DrawnLabels
from edgeseg.data.image_files import IMAGE_SUFFIXES
from edgeseg.data.listing import PictureFinder
from edgeseg.data.runs import alpha_of_brush
from edgeseg.data.samples import Sample, Split
from edgeseg.data.shapes import Points, Polygon, Shape, Stencil, ellipse_points, points_of, turned
from edgeseg.errors import DatasetError
from edgeseg.files.documents import MAX_EXPORT_BYTES, read_json, starts_with

_LABELS = ("polygonlabels", "brushlabels", "rectanglelabels", "ellipselabels", "labels")
_UPLOADED = re.compile(r"^[0-9a-f]{8}-")
_HALF = 127


class _LabelStudio(DatasetFormat):
    keys = drawn.DIVIDED_KEYS

    def recognises(self, folder: Path) -> bool:
        return len(_exports(folder)) == 1

    def read(self, description: Description) -> Contents:
        folder = description.folder
        places = drawn.places(description)
        undivided = not places
        if undivided:
            found = _exports(folder)
            if len(found) != 1:
                what = f"{folder} holds {len(found) or 'no'} JSON files of Label Studio"
                raise description.error(what, "Put one there, or name them in the splits of a dataset.yaml")
            places = {"": (folder, found[0])}
        tasks = {path: _read(path) for _, path in places.values()}
        classes = Classes.of(description, lambda: sorted(_used(tasks)))
        if undivided:
            ((images, path),) = places.values()
            parts = drawn.divided(description, _samples(images, path, tasks[path], classes))
            return classes.contents({name: drawn.listed(images, path, own) for name, own in parts.items()})
        return classes.contents(
            {
                name: Split(images, path, partial(_samples, images, path, tasks[path], classes))
                for name, (images, path) in places.items()
            }
        )


LABEL_STUDIO = _LabelStudio()

_Task = dict[str, Any]


def _exports(folder: Path) -> list[Path]:
    """JSON files that hold a list."""
    return [path for path in sorted(folder.glob("*.json")) if starts_with(path, b"[")]


def _shrunk(item: dict[str, Any]) -> dict[str, Any]:
    """Brush masks as arrays of bytes, an eighth of the memory."""
    if isinstance(item.get("rle"), list):
        try:
            packed = np.array(item["rle"])
        except (ValueError, OverflowError):
            return item
        if packed.ndim == 1 and packed.dtype.kind == "i" and packed.size and 0 <= packed.min() <= packed.max() <= 255:
            item["rle"] = packed.astype(np.uint8)
    return item


def _read(path: Path) -> list[_Task]:
    """The tasks that have been labelled."""
    tasks = read_json(path, DatasetError, most_bytes=MAX_EXPORT_BYTES, shrink=_shrunk)
    if not isinstance(tasks, list) or not all(isinstance(task, dict) for task in tasks):
        raise DatasetError(f"{path} is no list of tasks", "Export the project as JSON")
    for task in tasks:
        for key, kind in (("data", dict), ("annotations", list)):
            if not isinstance(task.get(key), kind):
                what = f"{path}: task {task.get('id')!r:.40} lacks the key {key!r}"
                raise DatasetError(what, "Export the project as JSON, not as JSON-MIN")
    found = [task for task in tasks if _results(path, task) is not None]
    if not found:
        raise DatasetError(f"{path} holds no task that is labelled", "Export the project with its annotations")
    return found


def _results(path: Path, task: _Task) -> list[dict[str, Any]] | None:
    """The regions of the annotation that counts; None where there is none."""
    for annotation in task["annotations"]:
        where = f"{path}: task {task.get('id')!r:.40}"
        if not isinstance(annotation, dict) or not isinstance(annotation.get("result"), list):
            raise DatasetError(f"{where} has an annotation without the key 'result'", "Export the project as JSON")
        if not annotation.get("was_cancelled"):
            results: list[dict[str, Any]] = annotation["result"]
            if not all(isinstance(result, dict) for result in results):
                raise DatasetError(f"{where} has a result that is no mapping", "Export the project as JSON")
            return [result for result in results if _label(result) is not None]
    return None


def _label(result: dict[str, Any]) -> str | None:
    """The class of a region; None for other answers, and for a region whose class stands in a result of its own."""
    value = result.get("value")
    if not isinstance(value, dict):
        return None
    labels = next((value[key] for key in _LABELS if value.get(key)), None)
    return labels[0] if isinstance(labels, list) and isinstance(labels[0], str) else None


def _used(tasks: dict[Path, list[_Task]]) -> set[str]:
    regions = (result for path, own in tasks.items() for task in own for result in _results(path, task) or [])
    return {label for region in regions if (label := _label(region)) is not None}


def _samples(folder: Path, path: Path, tasks: list[_Task], classes: Classes) -> list[Sample]:
    finder = PictureFinder(folder)
    samples = []
    for task in tasks:
        where = f"task {task.get('id')!r:.40}"
        name, *others = _names_of(path, where, task["data"])
        picture = finder.find(name, f"{path}: {where}", *others)
        results = _results(path, task) or []
        size = _size(path, where, results)
        shapes = partial(_shapes, path, where, results, classes)
        samples.append(Sample(picture, DrawnLabels(path, picture, size, classes.rest, shapes)))
    return samples


def _names_of(path: Path, where: str, data: dict[str, Any]) -> list[str]:
    """What the picture may be called: the path that its address ends in, with and without the mark of an upload."""
    addresses = [value for value in (data.get("image"), *data.values()) if isinstance(value, str)]
    for address in addresses:
        try:
            parts = urlsplit(address)
            inside = parse_qs(parts.query).get("d", [""])[0]
        except ValueError:
            continue
        name = inside or unquote(parts.path)
        if Path(name).suffix.lower() in IMAGE_SUFFIXES:
            short = name.rpartition("/")[2]
            return [name, short, _UPLOADED.sub("", short)]
    raise DatasetError(f"{path}: the data of {where} name no image", "Export tasks that have one")


def _size(path: Path, where: str, results: list[dict[str, Any]]) -> tuple[int, int] | None:
    for result in results:
        height, width = result.get("original_height"), result.get("original_width")
        if type(height) is not int or type(width) is not int or min(height, width) < 1:
            what = f"{path}: a region of {where} lacks the key 'original_width' or 'original_height'"
            raise DatasetError(what, "Export the project again")
        return height, width
    return None


def _shapes(path: Path, where: str, results: list[dict[str, Any]], classes: Classes, size: tuple[int, int]) -> Drawing:
    for result in results:
        here = f"{path}: {where}, region {result.get('id')!r:.40}"
        value = classes.index(_label(result), here)
        yield here, partial(_shape, result, value, size)


def _shape(result: dict[str, Any], value: int, size: tuple[int, int]) -> Shape:
    if result.get("image_rotation"):
        raise ValueError("a picture that was turned in Label Studio")
    region = result["value"]
    if "rle" in region:
        return Stencil(value, alpha_of_brush(region["rle"], size) > _HALF)
    return Polygon(value, (_outline(region, size),))


def _outline(region: dict[str, Any], size: tuple[int, int]) -> Points:
    """A region's outline in pixels: of percents, widths of the width and heights of the height."""
    pixels = np.array([size[1], size[0]]) / 100
    if "points" in region:
        return points_of(region["points"]) * pixels
    x, y = (_number(region, key) for key in ("x", "y"))
    degrees = _number(region, "rotation") if "rotation" in region else 0.0
    corner = (x * pixels[0], y * pixels[1])
    if "radiusX" in region:
        radii = (_number(region, "radiusX") * pixels[0], _number(region, "radiusY") * pixels[1])
        return ellipse_points(corner, radii, degrees)
    width, height = _number(region, "width") * pixels[0], _number(region, "height") * pixels[1]
    around = np.array([[0, 0], [width, 0], [width, height], [0, height]])
    return np.asarray(turned(around, (0.0, 0.0), degrees) + corner)  # about the upper left corner


def _number(region: dict[str, Any], key: str) -> float:
    number = region.get(key)
    if isinstance(number, bool) or not isinstance(number, int | float):
        raise ValueError(f"no number {key!r}")
    return float(number)
