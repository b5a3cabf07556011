"""Masks: 0 is the first of two classes; 1, 255 and, with 16 bits, 65535 are the second."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from edgeseg.data.formats.base import LabelCoding, LabelFormat, one_channel
from edgeseg.data.pictures import read_label_values
from edgeseg.data.sampling import spread
from edgeseg.errors import DatasetError
from edgeseg.spec.palette import IGNORE
from edgeseg.types import LabelsU8

_LOOKED_AT = 200
"""Label files that are read to know whether they are masks."""

_log = logging.getLogger("edgeseg")


class _Binary(LabelFormat):
    def check(self, names: Sequence[str], *, has_colors: bool) -> None:
        if len(names) != 2:
            raise DatasetError(f"label_format is binary, but there are {len(names)} names", "Name two classes")

    def read(self, path: Path, coding: LabelCoding) -> LabelsU8:
        values = one_channel(read_label_values(path), path)
        second = (values == 255) | (values == 0xFFFF)
        if not coding.only_0_and_255:
            second |= values == 1
        labels = second.astype(np.uint8)
        strange = (values != 0) & ~second
        if coding.ignore_index is not None:
            ignored = values == coding.ignore_index
            labels[ignored] = IGNORE
            strange &= ~ignored
        if strange.any():
            raise DatasetError(
                f"{path} holds the value {values[strange].max()}, but "
                + ("other labels 0 and 255 alone" if coding.only_0_and_255 else "a mask holds 0 and 255, or 0 and 1"),
                "Set label_format in dataset.yaml: to index if 255 means 'no label', to binary if it is a class"
                if coding.only_0_and_255
                else "Save masks without smooth edges, or name the value in ignore_index if it means 'no label'",
            )
        return np.asarray(labels, dtype=np.uint8)


BINARY = _Binary()

MASKS = LabelCoding(2, format="binary", only_0_and_255=True)
"""Of label files that :func:`are_masks` found."""


def are_masks(labels: Iterable[Path]) -> bool:
    """Whether label files hold 0 and 255 and nothing else, which for two classes means the two of them.

    Up to 200 files are read, spread evenly; the first that holds another value settles it. Files that cannot be read
    are passed over: reading them for their labels tells why.
    """
    files = list(labels)
    seen = False
    for path in spread(files, _LOOKED_AT):
        try:
            values = read_label_values(path)
        except DatasetError:
            continue
        colored = values.ndim == 3 and not (values[..., :1] == values).all()
        if colored or not ((values == 0) | (values == 255) | (values == 0xFFFF)).all():
            return False
        seen = seen or bool(values.any())
    return seen


def told_as_masks(where: str) -> None:
    """Tell that labels are taken for masks though nobody said so."""
    _log.warning(
        f"{where} hold 0 and 255 and nothing else: taken as masks of two classes; set label_format in dataset.yaml to "
        "binary if they are, or to index if 255 means 'no label'"
    )
