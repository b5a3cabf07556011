"""Rare classes, shown more often than a data set shows them: crops of all classes alike, and pieces put into others."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from edgeseg.errors import DatasetError
from edgeseg.spec.palette import IGNORE
from edgeseg.types import ImageU8, LabelsU8


class ClassIndex:
    """Which pictures show which class.

    Args:
        pixels: (N, C) labelled pixels of each class in each picture.
    """

    def __init__(self, pixels: NDArray[np.int64]) -> None:
        self._pictures: list[list[int]] = [np.flatnonzero(column).tolist() for column in pixels.T]
        self._shown: list[int] = [index for index, pictures in enumerate(self._pictures) if pictures]
        shares = pixels.sum(0) / max(1, pixels.sum())
        self._rare = [index for index in self._shown if shares[index] < 1 / pixels.shape[1]]
        if not self._shown:
            raise DatasetError("no picture shows a class", "Correct the labels")

    def any_class(self, chance: torch.Generator) -> int:
        """A class that is shown, each as likely."""
        return self._shown[_below(len(self._shown), chance)]

    def rare_class(self, chance: torch.Generator) -> int | None:
        """A class that has less than its share of the pixels, each as likely; None where all have as much."""
        return self._rare[_below(len(self._rare), chance)] if self._rare else None

    def picture(self, index: int, chance: torch.Generator) -> int:
        """The index of a picture that shows that class."""
        pictures = self._pictures[index]
        return pictures[_below(len(pictures), chance)]


def pixel_of(labels: LabelsU8, index: int, chance: torch.Generator) -> tuple[int, int] | None:
    """(row, column) of a pixel of that class, each as likely; None where there is none."""
    found = np.flatnonzero(labels == index)
    if not found.size:
        return None
    row, column = divmod(int(found[_below(found.size, chance)]), labels.shape[1])
    return row, column


def labelled_pixel(labels: LabelsU8, chance: torch.Generator) -> tuple[int, int] | None:
    """(row, column) of a pixel with a label: any, or one of a class drawn from those there are; None without."""
    counts = np.asarray(cv2.calcHist([labels], [0], None, [256], [0, 256])).ravel()[:IGNORE].astype(np.int64)
    balanced, which = torch.rand(2, dtype=torch.float64, generator=chance).tolist()
    shares = counts > 0 if balanced < 0.5 else counts
    total = np.cumsum(shares)
    if not total[-1]:
        return None
    return pixel_of(labels, int(np.searchsorted(total, which * total[-1], side="right")), chance)


def paste(image: ImageU8, labels: LabelsU8, other: ImageU8, other_labels: LabelsU8, index: int) -> NDArray[np.bool_]:
    """Put what another picture shows of a class into this one, in place (after Ghiasi 2021, arXiv:2012.07177).

    Args:
        image, other: (H, W, 3) uint8.
        labels, other_labels: (H, W) uint8.
        index: the class.

    Returns:
        (H, W) bool: where that is.
    """
    piece: NDArray[np.bool_] = other_labels == index
    image[piece] = other[piece]
    labels[piece] = index
    return piece


def _below(count: int, chance: torch.Generator) -> int:
    return int(torch.randint(count, (), generator=chance))
