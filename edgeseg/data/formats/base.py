"""What a label format is, and LabelCoding: how the label files of one data set become class indices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from edgeseg.data.image_files import LABEL_SUFFIXES
from edgeseg.errors import DatasetError
from edgeseg.plugins import Plugins
from edgeseg.spec.palette import IGNORE, Rgb
from edgeseg.types import LabelsU8


class LabelFormat:
    """Reads label files of one kind. One derives from it, and an instance plugs in: see :data:`LABEL_FORMATS`.

    Attributes:
        suffixes: of its files.
    """

    suffixes: ClassVar[frozenset[str]] = LABEL_SUFFIXES

    def check(self, names: Sequence[str], *, has_colors: bool) -> None:
        """Look at what else a dataset.yaml says.

        Args:
            names: of the classes.
            has_colors: whether it lists their colours.

        Raises:
            DatasetError: it does not go with this format.
        """

    def read(self, path: Path, coding: LabelCoding) -> LabelsU8:
        """(H, W) uint8 class indices, 255 = no label.

        Raises:
            DatasetError: unreadable, or with what is no class.
        """
        raise NotImplementedError


LABEL_FORMATS: Plugins[LabelFormat] = Plugins(
    "edgeseg.label_formats",
    {
        "index": "edgeseg.data.formats.index:INDEX",
        "rgb": "edgeseg.data.formats.rgb:RGB",
        "binary": "edgeseg.data.formats.binary:BINARY",
    },
)
"""What ``label_format`` in a dataset.yaml may be."""


@dataclass(frozen=True)
class LabelCoding:
    """How a label file becomes class indices 0..C-1 and 255.

    Attributes:
        num_classes: C, or None where it is not known and any index up to 254 is taken.
        ignore_index: the file's value for "no label", beside 255.
        colors: of each class, for ``format="rgb"``.
        ignore_colors: those that mean "no label", for the same.
        format: one of :data:`LABEL_FORMATS`.
        values: for ``format="index"`` of files that number the classes otherwise: the class of each value from 0 on,
            255 for "no label", -1 for a value that no file may hold, as is any other but 255.
        only_0_and_255: masks that nobody called so: what holds a 1 as well leaves in doubt what 255 means.
    """

    num_classes: int | None
    ignore_index: int | None = None
    colors: tuple[Rgb, ...] = ()
    format: str = "index"
    values: tuple[int, ...] | None = None
    only_0_and_255: bool = False
    ignore_colors: tuple[Rgb, ...] = ()

    @property
    def suffixes(self) -> frozenset[str]:
        """Of its files."""
        return LABEL_FORMATS[self.format].suffixes

    def read(self, path: Path) -> LabelsU8:
        """(H, W) uint8 class indices, 255 = no label.

        Raises:
            DatasetError: unreadable, colours without a class, or an index outside the classes.
        """
        return LABEL_FORMATS[self.format].read(path, self)


@dataclass(frozen=True)
class FileLabels:
    """The labels of one picture in a file of their own."""

    path: Path
    coding: LabelCoding

    def read(self) -> LabelsU8:
        """As :meth:`LabelCoding.read`."""
        return self.coding.read(self.path)


def one_channel(values: NDArray[Any], path: Path) -> NDArray[Any]:
    """Values without their channels, which must say the same."""
    if values.ndim == 2:
        return values
    if not (values[..., :1] == values).all():
        raise DatasetError(f"{path} is a colour image", "Set label_format: rgb and colors in dataset.yaml")
    return np.ascontiguousarray(values[..., 0])


def as_u8(values: NDArray[Any], path: Path) -> NDArray[np.uint8]:
    """Values as bytes, where they are whole numbers of 0 to 255."""
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
