"""PASCAL VOC: lists of names, pictures and palette files.

ImageSets/Segmentation/train.txt     JPEGImages/2007_000032.jpg     SegmentationClass/2007_000032.png

The value in a label file is the index, and the border, 255, is "no label". The 21 classes are VOC's, if ``names`` or a
``labelmap.txt`` says nothing else; with the latter, as CVAT and Datumaro write it, the files hold the colours it lists.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from edgeseg.data.description import Description
from edgeseg.data.formats.base import FileLabels, LabelCoding
from edgeseg.data.formats.dataset_format import Contents, DatasetFormat, split_name
from edgeseg.data.image_files import LABEL_SUFFIXES
from edgeseg.data.listing import files_below
from edgeseg.data.samples import Sample, Split
from edgeseg.errors import DatasetError
from edgeseg.files.documents import read_text
from edgeseg.spec.palette import Rgb, distinct_colors

_NAMES = (
    *("background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *("diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor"),
)
_LISTS = Path("ImageSets", "Segmentation")


class _Voc(DatasetFormat):
    keys = frozenset({"names", "colors"})

    def recognises(self, folder: Path) -> bool:
        return (folder / _LISTS).is_dir() and (folder / "SegmentationClass").is_dir()

    def read(self, description: Description) -> Contents:
        folder = description.folder
        lists = sorted((folder / _LISTS).glob("*.txt"))
        if not lists:
            raise description.error(f"there is no list in {folder / _LISTS}", "Write train.txt and val.txt there")
        names, in_colors = description.names(), False
        colors = None if names is None else description.colors(len(names))
        if names is None and (folder / "labelmap.txt").is_file():
            names, colors = _label_map(description, folder / "labelmap.txt")
            in_colors = True
        names = names or _NAMES
        colors = colors or description.colors(len(names)) or distinct_colors(len(names))
        coding = LabelCoding(len(names), colors=colors, format="rgb" if in_colors else "index")
        images, labels = folder / "JPEGImages", folder / "SegmentationClass"
        splits = {
            split_name(path.stem): Split(images, labels, partial(_samples, path, images, labels, coding))
            for path in lists
        }
        return Contents(names, colors, coding, splits)


VOC = _Voc()


def _samples(names: Path, images: Path, labels: Path, coding: LabelCoding) -> list[Sample]:
    pictures = {path.stem: path for path in files_below(images)}
    files = {path.stem: path for path in files_below(labels, LABEL_SUFFIXES)}
    samples = []
    for number, line in enumerate(read_text(names, DatasetError).splitlines(), 1):
        # Lists of one class have 1 or -1 behind the name.
        if not (name := line.split()[0] if line.split() else ""):
            continue
        for folder, known, what in ((images, pictures, "picture"), (labels, files, "label")):
            if name not in known:
                where = f"{names}: line {number} names {name!r:.200}, of which there is no {what} in {folder}"
                raise DatasetError(where, "Put it there, or take out the line")
        samples.append(Sample(pictures[name], FileLabels(files[name], coding)))
    if not samples:
        raise DatasetError(f"{names} names no picture", "Write a name on each line, without suffix")
    return samples


def _label_map(description: Description, path: Path) -> tuple[tuple[str, ...], tuple[Rgb, ...]]:
    """The classes on lines of ``name:r,g,b:parts:actions``."""
    classes: dict[str, Rgb] = {}
    for number, line in enumerate(read_text(path, DatasetError).splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        name, _, rest = line.partition(":")
        color = rest.partition(":")[0].split(",")
        if len(color) != 3 or not all(value.strip().isdecimal() and int(value) <= 255 for value in color):
            raise DatasetError(f"{path}: line {number} is {line!r:.80}", "Write name:r,g,b:: with values 0..255")
        red, green, blue = (int(value) for value in color)
        classes[name.strip()] = (red, green, blue)
    return description.checked_names([*classes], str(path.name)), tuple(classes.values())
