"""Class colours: the ones a data set brings, or distinct ones made up for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # a spec is read, and help is shown, without NumPy
    import numpy as np
    from numpy.typing import NDArray

Rgb = tuple[int, int, int]

IGNORE = 255
"""The label value that means "no label", everywhere inside edgeseg. Data sets map theirs to it when read."""

MAX_CLASSES = 255
"""Labels are uint8 and 255 means ignore, so class indices run from 0 to 254."""


def distinct_colors(count: int) -> tuple[Rgb, ...]:
    """Colours for ``count`` classes: the PASCAL VOC colour map, whose bits of the index go to the high bits of R, G, B.

    Class 0 is black, as everywhere in the field; no two of the first 256 are equal.
    """
    import numpy as np

    index = np.arange(count)
    rgb = np.zeros((count, 3), dtype=np.uint8)
    for bit in range(8):
        for channel in range(3):
            rgb[:, channel] |= (((index >> (3 * bit + channel)) & 1) << (7 - bit)).astype(np.uint8)
    return tuple((int(r), int(g), int(b)) for r, g, b in rgb)


def lookup_table(colors: Sequence[Rgb]) -> NDArray[np.uint8]:
    """A (256, 3) uint8 RGB table indexed by label; labels without a class, 255 among them, are black."""
    import numpy as np

    table = np.zeros((256, 3), dtype=np.uint8)
    table[: len(colors)] = np.asarray(colors, dtype=np.uint8).reshape(-1, 3)
    return table


def colorize(labels: NDArray[np.uint8], colors: Sequence[Rgb]) -> NDArray[np.uint8]:
    """Labels (..., H, W) uint8 to colours (..., H, W, 3) uint8 RGB."""
    return lookup_table(colors)[labels]


def painted(labels: NDArray[np.uint8], colors: Sequence[Rgb]) -> NDArray[np.uint8]:
    """Labels (H, W) as an overlay paints them: 255, which leaves the picture as it is, for classes of black.

    Black is what data sets give a background, and edges what is none.
    """
    import cv2
    import numpy as np

    black = [index for index, color in enumerate(colors) if tuple(color) == (0, 0, 0)]
    if not black:
        return labels
    table = np.arange(256, dtype=np.uint8)
    table[black] = IGNORE
    return np.asarray(cv2.LUT(labels, table), dtype=np.uint8)  # a quarter of the time of table[labels]
