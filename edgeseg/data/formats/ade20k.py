"""ADE20K as the scene parsing benchmark gives it: 150 classes from 1 on, and 0 for "no label".

images/training/ADE_train_00000001.jpg     annotations/training/ADE_train_00000001.png     objectInfo150.txt

Class k in a file is index k-1. The names are those in objectInfo150.txt, or ``class_1`` and so on without it.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from edgeseg.data.description import Description
from edgeseg.data.formats.base import FileLabels, LabelCoding
from edgeseg.data.formats.dataset_format import Contents, DatasetFormat, split_name
from edgeseg.data.listing import files_below
from edgeseg.data.samples import Sample, Split
from edgeseg.errors import DatasetError
from edgeseg.files.documents import read_text
from edgeseg.spec.palette import IGNORE, distinct_colors

_COUNT = 150
_INFO = "objectInfo150.txt"


class _Ade20k(DatasetFormat):
    keys = frozenset({"names", "colors"})

    def recognises(self, folder: Path) -> bool:
        return all((folder / kind / "training").is_dir() for kind in ("images", "annotations"))

    def read(self, description: Description) -> Contents:
        folder = description.folder
        names = description.names() or _names(description)
        colors = description.colors(len(names)) or distinct_colors(len(names) + 1)[1:]
        coding = LabelCoding(len(names), values=(IGNORE, *range(len(names))))
        splits: dict[str, Split] = {}
        for images in sorted((folder / "images").glob("*")):
            labels = folder / "annotations" / images.name
            if images.is_dir() and labels.is_dir():
                splits[split_name(images.name)] = Split(images, labels, partial(_samples, images, labels, coding))
        if not splits:
            what = f"there is no folder in both {folder / 'images'} and {folder / 'annotations'}"
            raise description.error(what, "Unpack images/training and annotations/training there, and the validation's")
        return Contents(names, colors, coding, splits)


ADE20K = _Ade20k()


def _names(description: Description) -> tuple[str, ...]:
    path = description.folder / _INFO
    if not path.is_file():
        return tuple(f"class_{number}" for number in range(1, _COUNT + 1))
    rows = [line.split("\t") for line in read_text(path, DatasetError).splitlines() if line.strip()]
    if len(rows) < 2 or "Name" not in (cell.strip() for cell in rows[0]):
        raise DatasetError(f"{path} has no column Name", "Take the file as it comes, with tabs between its columns")
    column = [cell.strip() for cell in rows[0]].index("Name")
    whole = [row[column].strip() if column < len(row) else "" for row in rows[1:]]
    short = [name.split(",")[0].split(";")[0].strip() for name in whole]
    return description.checked_names(short if len(set(short)) == len(short) else whole, str(path.name))


def _samples(images: Path, labels: Path, coding: LabelCoding) -> list[Sample]:
    files = {path.stem: path for path in files_below(labels, frozenset({".png"}), nested=False)}
    pictures = files_below(images, nested=False)
    if not pictures:
        raise DatasetError(f"there is no picture in {images}", "Unpack them there")
    for picture in pictures:
        if picture.stem not in files:
            raise DatasetError(f"{picture} has no label in {labels}", "Put it there, or remove the picture")
    return [Sample(picture, FileLabels(files[picture.stem], coding)) for picture in pictures]
