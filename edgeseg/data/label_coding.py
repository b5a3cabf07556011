"""How the pixels of a label file become class indices."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from edgeseg.data.pictures import read_label_values
from edgeseg.data.sampling import spread
from edgeseg.errors import DatasetError
from edgeseg.spec.palette import IGNORE, Rgb
from edgeseg.types import LabelsU8

LabelFormat = Literal["index", "rgb", "binary"]

_LOOKED_AT = 200
"""Label files that are read to know whether they are masks."""

_ROWS = 1 << 22
"""Pixels of a colour label that are worked on at a time: several times their number of bytes are needed for it."""

_log = logging.getLogger("edgeseg")


@dataclass(frozen=True)
class LabelCoding:
    """How a label file's pixels become class indices 0..C-1 and 255.

    Attributes:
        num_classes: C, or None where it is not known and any index up to 254 is taken.
        ignore_index: the file's value for "no label", beside 255.
        colors: with ``format="rgb"``, the colour of each class; other colours are an error, black excepted when no
            class is black: it is "no label" then.
        format: ``index``; ``rgb``; or ``binary``, where 0 is class 0, and 1, 255 and 65535 are class 1.
        only_0_and_255: masks that nobody called so: what holds a 1 as well leaves in doubt what 255 means.
    """

    num_classes: int | None
    ignore_index: int | None = None
    colors: tuple[Rgb, ...] = ()
    format: LabelFormat = "index"
    only_0_and_255: bool = False

    def read(self, path: Path) -> LabelsU8:
        """(H, W) uint8 class indices, 255 = no label.

        Raises:
            DatasetError: unreadable, colours without a class, or an index outside the classes.
        """
        values = read_label_values(path)
        if self.format == "rgb":
            return self._from_rgb(values, path)
        values = _one_channel(values, path)
        return self._from_binary(values, path) if self.format == "binary" else self._from_index(values, path)

    def _from_index(self, values: NDArray[Any], path: Path) -> LabelsU8:
        labels = _as_u8(values, path)
        if self.ignore_index is not None and self.ignore_index != IGNORE:
            labels = np.where(labels == self.ignore_index, np.uint8(IGNORE), labels)
        if self.num_classes is not None:
            outside = labels[(labels >= self.num_classes) & (labels != IGNORE)]
            if outside.size:
                raise DatasetError(
                    f"{path} holds label index {int(outside.max())}, but the classes are 0..{self.num_classes - 1}",
                    "Add the class to names, or name the value in ignore_index if it means 'no label'",
                )
        return np.ascontiguousarray(labels)

    def _from_binary(self, values: NDArray[Any], path: Path) -> LabelsU8:
        second = (values == 255) | (values == 0xFFFF)
        if not self.only_0_and_255:
            second |= values == 1
        labels = second.astype(np.uint8)
        strange = (values != 0) & ~second
        if self.ignore_index is not None:
            ignored = values == self.ignore_index
            labels[ignored] = IGNORE
            strange &= ~ignored
        if strange.any():
            raise DatasetError(
                f"{path} holds the value {values[strange].max()}, but "
                + ("other labels 0 and 255 alone" if self.only_0_and_255 else "a mask holds 0 and 255, or 0 and 1"),
                "Set label_format in dataset.yaml: to index if 255 means 'no label', to binary if it is a class"
                if self.only_0_and_255
                else "Save masks without smooth edges, or name the value in ignore_index if it means 'no label'",
            )
        return np.asarray(labels, dtype=np.uint8)

    def _from_rgb(self, values: NDArray[Any], path: Path) -> LabelsU8:
        if values.ndim == 2:
            values = np.repeat(values[..., np.newaxis], 3, axis=2)
        if values.dtype != np.uint8 and values.max() > 255 and (values % 257 == 0).all():
            values = values // 257  # 8 bits spread over 16: 255 became 65535
        rows = max(1, _ROWS // values.shape[1])
        parts = [self._of_colors(values[top : top + rows], path) for top in range(0, len(values), rows)]
        return np.concatenate(parts)

    def _of_colors(self, values: NDArray[Any], path: Path) -> LabelsU8:
        rgb = _as_u8(values, path)
        packed = (rgb.astype(np.int32) << np.array([16, 8, 0])).sum(axis=2)
        labels = np.full(packed.shape, IGNORE, dtype=np.uint8)
        known = np.zeros(packed.shape, dtype=bool)
        for index, (r, g, b) in enumerate(self.colors):
            mine = packed == (r << 16 | g << 8 | b)
            labels[mine] = index
            known |= mine
        unknown = packed[~known & (packed != 0)]
        if unknown.size:
            color = int(unknown[0])
            raise DatasetError(
                f"{path} holds colour {[color >> 16, color >> 8 & 255, color & 255]}, which no class has",
                "Add it to colors, or save the labels as PNG without anti-aliasing or lossy compression",
            )
        if self.ignore_index is not None and self.ignore_index < len(self.colors):
            labels[labels == self.ignore_index] = IGNORE
        return labels


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


def _one_channel(values: NDArray[Any], path: Path) -> NDArray[Any]:
    if values.ndim == 2:
        return values
    if not (values[..., :1] == values).all():
        raise DatasetError(f"{path} is a colour image", "Set label_format: rgb and colors in dataset.yaml")
    return np.ascontiguousarray(values[..., 0])


def _as_u8(values: NDArray[Any], path: Path) -> NDArray[np.uint8]:
    if values.dtype == np.uint8:
        return values
    if values.dtype.kind == "f" and not np.array_equal(values, np.floor(values)):  # NaN is no whole number either
        raise DatasetError(f"{path} holds fractions", "Use 8-bit labels, 255 for no label")
    low, high = values.min(), values.max()
    if low < 0 or high > IGNORE:
        raise DatasetError(
            f"{path} holds label values up to {high}" if low >= 0 else f"{path} holds the label value {low}",
            "Use 8-bit labels, 255 for no label",
        )
    return np.asarray(values, dtype=np.uint8)
