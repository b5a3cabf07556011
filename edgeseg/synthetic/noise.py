"""Noise that repeats without a seam: the base of every texture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]


def smooth(rng: np.random.Generator, height: int, width: int, cells: tuple[int, int]) -> F32:
    """One octave of value noise (height, width), mean 0, standard deviation about 1, periodic in both directions.

    ``cells`` is how many random values lie down and across.
    """
    rows, columns = max(cells[0], 1), max(cells[1], 1)
    grid = rng.standard_normal((rows, columns)).astype(np.float32)
    grid = np.pad(grid, 2, mode="wrap")
    y = (np.arange(height, dtype=np.float32) + 0.5) * (rows / height) + 1.5
    x = (np.arange(width, dtype=np.float32) + 0.5) * (columns / width) + 1.5
    map_x, map_y = np.meshgrid(x, y)
    return np.asarray(cv2.remap(grid, map_x, map_y, cv2.INTER_CUBIC) * 1.3, dtype=np.float32)


def fractal(rng: np.random.Generator, height: int, width: int, octaves: Sequence[tuple[int, int, float]]) -> F32:
    """A sum of octaves (cells down, cells across, amplitude)."""
    out = np.zeros((height, width), dtype=np.float32)
    for rows, columns, amplitude in octaves:
        out += smooth(rng, height, width, (rows, columns)) * np.float32(amplitude)
    return out


def grain(rng: np.random.Generator, height: int, width: int, amplitude: float) -> F32:
    """Independent noise for each texel."""
    return np.asarray(rng.standard_normal((height, width), dtype=np.float32) * amplitude, dtype=np.float32)


def to_u8(image: NDArray[np.floating[Any]]) -> NDArray[np.uint8]:
    """Rounded and clipped to 0..255."""
    return np.asarray(np.clip(np.rint(image), 0, 255), dtype=np.uint8)


def opaque(rgb: F32) -> NDArray[np.uint8]:
    """(h, w, 3) colours to a (h, w, 4) texture without clear parts."""
    return np.dstack([to_u8(rgb), np.full(rgb.shape[:2], 255, dtype=np.uint8)])
