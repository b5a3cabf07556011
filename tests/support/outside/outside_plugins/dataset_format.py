"""Data sets of .npy labels beside their pictures, with the classes on the lines of a text."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from edgeseg.data.description import Description
from edgeseg.data.formats.base import FileLabels, LabelCoding
from edgeseg.data.formats.dataset_format import Contents, DatasetFormat
from edgeseg.data.samples import Sample, Split
from edgeseg.spec.palette import distinct_colors


class _Beside(DatasetFormat):
    keys = frozenset()

    def recognises(self, folder: Path) -> bool:
        return (folder / "classes.txt").is_file()

    def read(self, description: Description) -> Contents:
        folder = description.folder
        names = tuple((folder / "classes.txt").read_text().split())
        coding = LabelCoding(len(names), format="npy")
        splits = {
            place.name: Split(place, place, partial(_samples, place, coding))
            for place in sorted(folder.iterdir())
            if place.is_dir()
        }
        return Contents(names, distinct_colors(len(names)), coding, splits)


def _samples(folder: Path, coding: LabelCoding) -> list[Sample]:
    return [Sample(image, FileLabels(image.with_suffix(".npy"), coding)) for image in sorted(folder.glob("*.png"))]


BESIDE = _Beside()
