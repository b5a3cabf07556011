"""Rare classes, shown more often than a data set shows them: crops of all classes alike, and pieces put into others."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from edgeseg.errors import DatasetError
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


def pixel_of(labels: LabelsU8, index: int, chance: torch.Generator) -> tuple[int, int]:
    """(row, column) of a pixel of that class, each as likely; (0, 0) where there is none."""
    found = np.flatnonzero(labels == index)
    if not found.size:
        return 0, 0
    row, column = divmod(int(found[_below(found.size, chance)]), labels.shape[1])
    return row, column


def paste(image: ImageU8, labels: LabelsU8, other: ImageU8, other_labels: LabelsU8, index: int) -> None:
    """Put what another picture shows of a class into this one, in place (after Ghiasi 2021, arXiv:2012.07177).

    Args:
        image, other: (H, W, 3) uint8.
        labels, other_labels: (H, W) uint8.
        index: the class.
    """
    piece = other_labels == index
    image[piece] = other[piece]
    labels[piece] = index


def _below(count: int, chance: torch.Generator) -> int:
    return int(torch.randint(count, (), generator=chance))
