"""The masks of a label image as COCO writes them: run lengths in a string, or polygons.

Both are what ``pycocotools`` reads: run lengths decode to the very pixels, and polygons rasterise to them.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edgeseg.types import LabelsU8

_DIGIT_BITS = 5
_FIRST_CHARACTER = 48


def run_length_masks(labels: LabelsU8) -> dict[int, dict[str, Any]]:
    """The mask of each class in sight as COCO's compressed run lengths.

    Pixels are counted down the columns, left to right: first those outside the mask (0 if it begins at once), then
    those inside, and so on in turn.

    Args:
        labels: (H, W) uint8 class indices; 255 is in no mask.

    Returns:
        ``{"size": [H, W], "counts": …}`` by class index, in order.
    """
    pixels = np.ascontiguousarray(labels.T).ravel()
    starts = np.flatnonzero(np.concatenate([[True], pixels[1:] != pixels[:-1]]))
    ends = np.concatenate([starts[1:], [pixels.size]])
    classes = pixels[starts]
    masks = {}
    for index in _in_sight(labels):
        inside = classes == index
        edges = np.column_stack([starts[inside], ends[inside]]).ravel()
        if edges[-1] != pixels.size:
            edges = np.append(edges, pixels.size)
        masks[index] = {"size": list(labels.shape), "counts": _to_text(np.diff(edges, prepend=0))}
    return masks


def polygon_masks(labels: LabelsU8) -> dict[int, list[list[float]]]:
    """The outlines of each class as COCO's polygons.

    An outline runs along the edges of pixels, where (0, 0) is the picture's corner and pixel (y, x) has its centre at
    (x + 0.5, y + 0.5). Pixels that touch at a corner belong together. A hole is part of the outline around it: the
    polygon goes there on a straight line, around the hole, and back on the same line.

    Args:
        labels: (H, W) uint8 class indices; 255 is in no outline.

    Returns:
        by class index, in order: a polygon [x0, y0, x1, y1, …] for each region.
    """
    return {index: _polygons(labels == index) for index in _in_sight(labels)}


def _in_sight(labels: LabelsU8) -> list[int]:
    return [int(index) for index in np.flatnonzero(np.bincount(labels.ravel(), minlength=256)[:255])]


def _to_text(counts: NDArray[np.int64]) -> str:
    """Each count as its difference to the one two before, in digits of five bits, the lowest first.

    A character is 48 + digit + 32 if more digits follow. The highest bit of a number's last digit is its sign.
    """
    rest = counts.copy()
    rest[3:] -= counts[1:-2]
    characters, used = [], []
    more = np.ones(rest.shape, dtype=bool)
    while more.any():
        used.append(more)
        digits = rest & 0x1F
        rest >>= _DIGIT_BITS
        more = more & (rest != np.where(digits & 0x10, -1, 0))
        characters.append((digits | more << _DIGIT_BITS) + _FIRST_CHARACTER)
    text: bytes = np.stack(characters, axis=1)[np.stack(used, axis=1)].astype(np.uint8).tobytes()
    return text.decode("ascii")


def _polygons(mask: NDArray[np.bool_]) -> list[list[float]]:
    # At twice the size, with the edges between pixels as rows and columns of their own, a contour lies on those edges.
    height, width = mask.shape
    doubled = np.zeros((2 * height + 1, 2 * width + 1), dtype=np.uint8)
    doubled[1::2, 1::2] = mask
    doubled = np.asarray(cv2.dilate(doubled, np.ones((3, 3), dtype=np.uint8)), dtype=np.uint8)
    contours, hierarchy = cv2.findContours(doubled, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    outlines: dict[int, NDArray[np.int32]] = {}
    for number, (_, _, _, parent) in enumerate(hierarchy.reshape(-1, 4)):
        if parent < 0:
            outlines[number] = _points(contours[number])
    for number, (_, _, _, parent) in enumerate(hierarchy.reshape(-1, 4)):
        if parent >= 0:
            outlines[int(parent)] = _with_hole(outlines[int(parent)], _points(contours[number]))
    return [(outline / 2).ravel().tolist() for outline in outlines.values()]


def _points(contour: NDArray[Any]) -> NDArray[np.int32]:
    """(N, 2) x and y."""
    return np.asarray(contour.reshape(-1, 2), np.int32)


def _with_hole(outline: NDArray[np.int32], hole: NDArray[np.int32]) -> NDArray[np.int32]:
    """The outline with a way to the hole, around it and back."""
    nearest = int(((outline - hole[0]) ** 2).sum(axis=1).argmin())
    return np.concatenate([outline[: nearest + 1], hole, hole[:1], outline[nearest:]])
