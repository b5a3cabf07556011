"""CVAT for images 1.1: one XML of shapes, and the pictures beside it.

annotations.xml     images/a.jpg  images/b.jpg …     the pictures are looked for by their names in the XML

The classes are the XML's labels in their order, with their colours, behind the background; a picture's ``subset`` is
its split. Polygons, boxes and ellipses are filled by pycocotools' rule, as CVAT's own exports of masks are; masks are
taken as they are; lower ``z_order`` comes first. Polylines, points and skeletons have no inside, and are left out.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgeseg.data.description import Description
from edgeseg.data.formats import drawn
from edgeseg.data.formats.dataset_format import Contents, DatasetFormat, split_name
from edgeseg.data.formats.drawn import Classes, Drawing, DrawnLabels
from edgeseg.data.listing import PictureFinder
from edgeseg.data.runs import mask_of_runs
from edgeseg.data.samples import Sample, Split
from edgeseg.data.shapes import Polygon, Shape, Stencil, ellipse_points, points_of, turned
from edgeseg.errors import DatasetError
from edgeseg.files.xml_reader import read_xml
from edgeseg.spec.palette import Rgb

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

_FILE = "annotations.xml"
_FILLED = ("polygon", "box", "ellipse", "mask")
_NO_INSIDE = ("polyline", "points", "skeleton", "cuboid")

_log = logging.getLogger("edgeseg")


class _Cvat(DatasetFormat):
    keys = drawn.DIVIDED_KEYS
    files = frozenset({_FILE})

    def recognises(self, folder: Path) -> bool:
        return (folder / _FILE).is_file()

    def read(self, description: Description) -> Contents:
        folder = description.folder
        places = drawn.places(description)
        images = folder / "images" if (folder / "images").is_dir() else folder
        undivided = not places
        places = places or {"": (images, folder / _FILE)}
        roots = {path: _read(path) for _, path in places.values()}
        own = dict(pair for path, root in roots.items() for pair in _labels(path, root))
        colors = {name: color for name, color in own.items() if color}
        classes = Classes.of(description, lambda: own, colors)
        if not undivided:
            splits = {
                name: Split(pictures, path, partial(_samples, pictures, path, roots[path].findall("image"), classes))
                for name, (pictures, path) in places.items()
            }
            return classes.contents(splits)
        path = folder / _FILE
        pictures = roots[path].findall("image")
        subsets = [split_name(picture.get("subset") or "").lower() for picture in pictures]
        parts = {}
        if len(set(subsets)) > 1:
            for subset in dict.fromkeys(subsets):
                chosen = [picture for picture, own in zip(pictures, subsets, strict=True) if own == subset]
                parts[subset or "other"] = _samples(images, path, chosen, classes)
        else:
            parts = drawn.divided(description, _samples(images, path, pictures, classes))
        return classes.contents({name: drawn.listed(images, path, samples) for name, samples in parts.items()})


CVAT = _Cvat()


def _read(path: Path) -> Element:
    root = read_xml(path, DatasetError)
    if root.tag != "annotations" or root.find("image") is None:
        what = f"{path} holds no annotations of images"
        raise DatasetError(what, "Export the task as 'CVAT for images 1.1'")
    left_out = sum(len(picture.findall(kind)) for picture in root.findall("image") for kind in _NO_INSIDE)
    if left_out:
        _log.warning(f"{path}: {left_out} shapes without an inside ({', '.join(_NO_INSIDE)}) are left out")
    return root


def _labels(path: Path, root: Element) -> list[tuple[str, Rgb | None]]:
    """Names and colours as the task lists them, or else the names that occur."""
    found: list[tuple[str, Rgb | None]] = []
    for label in root.iterfind("meta//labels/label"):
        if label.get("type") not in ("points", "skeleton") and (name := (label.findtext("name") or "").strip()):
            found.append((name, _color(label.findtext("color") or "")))
    if found:
        return found
    used = {shape.get("label") or "" for picture in root.findall("image") for shape in _filled(picture)}
    if not used:
        raise DatasetError(f"{path} names no label", "Export the task again")
    return [(name, None) for name in sorted(used)]


def _color(text: str) -> Rgb | None:
    try:
        packed = int(text.strip().removeprefix("#"), 16)
    except ValueError:
        return None
    return (packed >> 16 & 255, packed >> 8 & 255, packed & 255)


def _filled(picture: Element) -> list[Element]:
    shapes = [shape for shape in picture if shape.tag in _FILLED]
    return sorted(shapes, key=_z_order)  # of one height in the order of the file


def _z_order(shape: Element) -> int:
    text = shape.get("z_order", "0")
    return int(text) if text.removeprefix("-").isdecimal() and len(text) < 12 else 0


def _samples(folder: Path, path: Path, pictures: Iterable[Element], classes: Classes) -> list[Sample]:
    finder = PictureFinder(folder)
    samples = []
    for picture in pictures:
        name = picture.get("name")
        where = f"image {name or picture.get('id'):.200}"
        sides = [picture.get(key, "") for key in ("height", "width")]
        if name is None or not all(side.isdecimal() and len(side) < 10 for side in sides):
            what = f"{path}: {where} lacks name, width or height"
            raise DatasetError(what, "Export the task as 'CVAT for images 1.1'")
        found = finder.find(name, str(path))
        shapes = partial(_shapes, path, where, _filled(picture), classes)
        labels = DrawnLabels(path, found, (int(sides[0]), int(sides[1])), classes.rest, shapes)
        samples.append(Sample(found, labels))
    return samples


def _shapes(path: Path, where: str, shapes: list[Element], classes: Classes, size: tuple[int, int]) -> Drawing:
    for shape in shapes:
        here = f"{path}: {where}, a {shape.tag}"
        value = classes.index(shape.get("label"), here)
        yield here, partial(_shape, shape, value, size)


def _shape(shape: Element, value: int, size: tuple[int, int]) -> Shape:
    if shape.tag == "polygon":
        pairs = [pair.split(",") for pair in shape.get("points", "").split(";") if pair.strip()]
        return Polygon(value, (points_of([[_number(text, "points") for text in pair] for pair in pairs]),))
    if shape.tag == "mask":
        counts = [_whole(text, "rle") for text in shape.get("rle", "").split(",")]
        left, top, width, height = (_whole(shape.get(key), key) for key in ("left", "top", "width", "height"))
        if not (0 < width <= size[1] and 0 < height <= size[0]):  # before memory is taken for it
            raise ValueError(f"a mask of {width}x{height}")
        mask = mask_of_runs(np.array(counts, dtype=np.int64), (height, width), by_columns=False)
        return Stencil(value, mask, left, top)
    degrees = _number(shape.get("rotation", "0"), "rotation")
    if shape.tag == "ellipse":
        x, y, rx, ry = (_number(shape.get(key), key) for key in ("cx", "cy", "rx", "ry"))
        return Polygon(value, (ellipse_points((x, y), (rx, ry), degrees),))
    left_px, top_px, right, bottom = (_number(shape.get(key), key) for key in ("xtl", "ytl", "xbr", "ybr"))
    box = points_of([left_px, top_px, right, top_px, right, bottom, left_px, bottom])
    return Polygon(value, (turned(box, ((left_px + right) / 2, (top_px + bottom) / 2), degrees),))


def _number(text: str | None, key: str) -> float:
    if text is None:
        raise ValueError(f"no {key}")
    try:
        number = float(text)
    except ValueError:
        number = float("nan")
    if not np.isfinite(number):
        raise ValueError(f"the {key} {text!r:.40}, which is no number")
    return number


def _whole(text: str | None, key: str) -> int:
    number = _number(text, key)
    if number != int(number) or abs(number) >= 1 << 53:
        raise ValueError(f"the {key} {text!r:.40}, which is no whole number")
    return int(number)
