"""Roboflow's semantic masks: a folder a split, each picture with its mask beside it, and a table of the classes.

train/a.jpg     train/a_mask.png     train/_classes.csv: "Pixel Value, Class" and a line for each     valid/…     test/…
"""

from __future__ import annotations

import csv
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
from edgeseg.spec.palette import IGNORE, distinct_colors

_TABLE = "_classes.csv"
_MASK = "_mask"


class _Roboflow(DatasetFormat):
    keys = frozenset({"colors"})

    def recognises(self, folder: Path) -> bool:
        return any(folder.glob(f"*/{_TABLE}"))

    def read(self, description: Description) -> Contents:
        tables = sorted(description.folder.glob(f"*/{_TABLE}"))
        if not tables:
            what = f"no folder in {description.folder} has a {_TABLE}"
            raise description.error(what, "Export the project as 'Semantic Segmentation Masks'")
        classes = _classes(tables[0])
        for table in tables[1:]:
            if _classes(table) != classes:
                what = f"{table} lists other classes than {tables[0]}"
                raise DatasetError(what, "Export all splits at once")
        names = description.checked_names([*classes.values()], _TABLE)
        colors = description.colors(len(names)) or distinct_colors(len(names))
        values = [-1] * (max(classes) + 1)
        for index, value in enumerate(classes):
            values[value] = index
        coding = LabelCoding(len(names), values=tuple(values))
        splits = {
            split_name(table.parent.name): Split(table.parent, table.parent, partial(_samples, table.parent, coding))
            for table in tables
        }
        return Contents(names, colors, coding, splits)


ROBOFLOW = _Roboflow()


def _classes(table: Path) -> dict[int, str]:
    """The names by their value in the masks, lowest first."""
    classes: dict[int, str] = {}
    try:
        rows = list(csv.reader(read_text(table, DatasetError).splitlines(), skipinitialspace=True))
    except csv.Error as error:
        raise DatasetError(f"{table} is no table ({error})", "Export it again") from None
    for number, row in enumerate(rows[1:], 2):
        if not row:
            continue
        value, name = (row[0].strip(), row[1].strip()) if len(row) == 2 else ("", "")
        if not (value.isascii() and value.isdecimal() and len(value) < 4 and int(value) < IGNORE) or not name:
            raise DatasetError(f"{table}: line {number} is {row!r:.80}", "Write a value of 0..254, a comma and a name")
        if int(value) in classes:
            raise DatasetError(f"{table}: line {number} has the value {value} once more", "Keep one of them")
        classes[int(value)] = name
    if not classes:
        raise DatasetError(f"{table} lists no class", "Export it again")
    return dict(sorted(classes.items()))


def _samples(folder: Path, coding: LabelCoding) -> list[Sample]:
    masks = {path.stem: path for path in files_below(folder, LABEL_SUFFIXES) if path.stem.endswith(_MASK)}
    pictures = [path for path in files_below(folder) if path.stem not in masks]
    if not pictures:
        raise DatasetError(f"there is no picture in {folder}", "Export it again")
    for picture in pictures:
        if f"{picture.stem}{_MASK}" not in masks:
            what = f"{picture} has no mask {picture.stem}{_MASK}.png"
            raise DatasetError(what, "Put it beside the picture, or remove that")
    return [Sample(picture, FileLabels(masks[f"{picture.stem}{_MASK}"], coding)) for picture in pictures]
