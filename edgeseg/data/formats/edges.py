"""The borders between the classes of another data set, as labels of two classes: what a network of edges learns from.

format: edges
data: ../camvid         # a folder or a dataset.yaml, of any format
width: 2                # optional: pixels across an edge, an even number

A pixel is of an edge where a neighbour has another class, and on both sides of it. Next to a pixel without a label
nobody knows; such pixels have no label themselves.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from edgeseg.data.description import Description
from edgeseg.data.formats.base import LabelCoding
from edgeseg.data.formats.dataset_format import Contents, DatasetFormat
from edgeseg.data.formats.reading import find
from edgeseg.data.samples import Labels, Sample, Split
from edgeseg.spec.palette import IGNORE
from edgeseg.types import LabelsU8

NAMES = ("rest", "edge")

_COLORS = ((0, 0, 0), (255, 220, 0))

_WIDTHS = (2, 4, 6, 8)


class _Edges(DatasetFormat):
    keys = frozenset({"data", "width"})
    required = frozenset({"data"})

    def read(self, description: Description) -> Contents:
        width = description.one_of("width", _WIDTHS, _WIDTHS[0])
        found = find(description.place(description.values["data"], "data"))
        own = found.contents
        splits = {
            name: Split(
                description.folder,
                description.path,
                partial(_samples, split, width),
                sources=(found.path, split.images, split.labels, *split.sources),
                meaning=repr((width, own.coding, split.meaning)),
            )
            for name, split in own.splits.items()
        }
        return Contents(NAMES, _COLORS, LabelCoding(len(NAMES)), splits)


EDGES = _Edges()


@dataclass(frozen=True)
class _EdgeLabels:
    """The edges in the labels of another data set."""

    labels: Labels
    width: int

    @property
    def path(self) -> Path:
        return self.labels.path

    def read(self) -> LabelsU8:
        return edges_of(self.labels.read(), self.width)


def edges_of(labels: LabelsU8, width: int = 2) -> LabelsU8:
    """1 where the class changes, 0 elsewhere, 255 where it is not known.

    Args:
        labels: (H, W) uint8, 255 = no label.
        width: pixels across an edge: half of them on each side.
    """
    edge, unknown = np.zeros(labels.shape, bool), labels == IGNORE
    beside = unknown.copy()
    for one, other in (np.s_[:-1], np.s_[1:]), (np.s_[:, :-1], np.s_[:, 1:]):
        differs = (labels[one] != labels[other]) & ~unknown[one] & ~unknown[other]
        edge[one] |= differs
        edge[other] |= differs
        beside[one] |= unknown[other]
        beside[other] |= unknown[one]
    if width > 2:
        cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
        edge = cv2.dilate(edge.astype(np.uint8), cross, iterations=width // 2 - 1).astype(bool)
    return np.where(beside & ~edge | unknown, np.uint8(IGNORE), edge.astype(np.uint8))


def _samples(split: Split, width: int) -> list[Sample]:
    return [Sample(sample.image, _EdgeLabels(sample.labels, width)) for sample in split.samples()]
