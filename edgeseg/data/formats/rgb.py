"""Label files that hold colours.

A colour that no class has is an error, unless it is one of ``ignore_colors``, which mean "no label". Where no class is
black, black means that as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeseg.data.formats.base import LabelCoding, LabelFormat, as_u8
from edgeseg.data.pictures import read_label_values
from edgeseg.errors import DatasetError
from edgeseg.spec.palette import IGNORE
from edgeseg.types import LabelsU8

_ROWS = 1 << 22
"""Pixels of a colour label that are worked on at a time: several times their number of bytes are needed for it."""


class _Rgb(LabelFormat):
    def check(self, names: Sequence[str], *, has_colors: bool) -> None:
        if not has_colors:
            raise DatasetError("label_format is rgb, but there are no colors", "List the colour of each class")

    def read(self, path: Path, coding: LabelCoding) -> LabelsU8:
        values = read_label_values(path)
        if values.ndim == 2:
            values = np.repeat(values[..., np.newaxis], 3, axis=2)
        if values.dtype != np.uint8 and values.max() > 255 and (values % 257 == 0).all():
            values = values // 257  # 8 bits spread over 16: 255 became 65535
        rows = max(1, _ROWS // values.shape[1])
        parts = [_of_colors(values[top : top + rows], path, coding) for top in range(0, len(values), rows)]
        return np.concatenate(parts)


RGB = _Rgb()


def _of_colors(values: NDArray[Any], path: Path, coding: LabelCoding) -> LabelsU8:
    rgb = as_u8(values, path)
    packed = (rgb.astype(np.int32) << np.array([16, 8, 0])).sum(axis=2)
    labels = np.full(packed.shape, IGNORE, dtype=np.uint8)
    known = np.zeros(packed.shape, dtype=bool)
    for index, (r, g, b) in enumerate(coding.colors):
        mine = packed == (r << 16 | g << 8 | b)
        labels[mine] = index
        known |= mine
    for r, g, b in coding.ignore_colors:
        known |= packed == (r << 16 | g << 8 | b)
    unknown = packed[~known & (packed != 0)]
    if unknown.size:
        color = int(unknown[0])
        raise DatasetError(
            f"{path} holds colour {[color >> 16, color >> 8 & 255, color & 255]}, which no class has",
            "Add it to colors, or to ignore_colors if it means 'no label', or save the labels as PNG without "
            "anti-aliasing or lossy compression",
        )
    if coding.ignore_index is not None and coding.ignore_index < len(coding.colors):
        labels[labels == coding.ignore_index] = IGNORE
    return labels
