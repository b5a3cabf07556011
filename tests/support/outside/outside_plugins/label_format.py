"""Labels as NumPy keeps arrays."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edgeseg.data.formats.base import LabelCoding, LabelFormat, as_u8
from edgeseg.types import LabelsU8


class _Npy(LabelFormat):
    suffixes = frozenset({".npy"})

    def read(self, path: Path, coding: LabelCoding) -> LabelsU8:
        return as_u8(np.load(path, allow_pickle=False), path)


NPY = _Npy()
