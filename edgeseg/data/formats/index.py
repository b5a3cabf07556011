"""Label files that hold class indices: one channel, a byte a pixel."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edgeseg.data.formats.base import LabelCoding, LabelFormat, as_u8, one_channel
from edgeseg.data.pictures import read_label_values
from edgeseg.errors import DatasetError
from edgeseg.spec.palette import IGNORE
from edgeseg.types import LabelsU8


class _Index(LabelFormat):
    def read(self, path: Path, coding: LabelCoding) -> LabelsU8:
        labels = as_u8(one_channel(read_label_values(path), path), path)
        if coding.values is not None:
            return _translated(labels, path, coding.values)
        if coding.ignore_index is not None and coding.ignore_index != IGNORE:
            labels = np.where(labels == coding.ignore_index, np.uint8(IGNORE), labels)
        if coding.num_classes is not None:
            outside = labels[(labels >= coding.num_classes) & (labels != IGNORE)]
            if outside.size:
                raise DatasetError(
                    f"{path} holds label index {int(outside.max())}, but the classes are 0..{coding.num_classes - 1}",
                    "Add the class to names, or name the value in ignore_index if it means 'no label'",
                )
        return np.ascontiguousarray(labels)


INDEX = _Index()


def _translated(labels: LabelsU8, path: Path, values: tuple[int, ...]) -> LabelsU8:
    table = np.full(IGNORE + 1, -1, dtype=np.int16)
    table[: len(values)] = values
    table[IGNORE] = IGNORE
    counts = np.bincount(labels.ravel(), minlength=IGNORE + 1)
    unknown = np.flatnonzero((counts > 0) & (table < 0))
    if unknown.size:
        raise DatasetError(
            f"{path} holds the value {unknown[-1]}, which is no class of this format",
            "Correct the file, or list its classes where the data set lists them",
        )
    return np.asarray(table[labels], dtype=np.uint8)
