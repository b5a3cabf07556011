"""Pictures that look the same: a perceptual hash of 64 bits finds those that may, a small copy says whether they do.

The hash is that of the lowest frequencies: whether each of the first 8x8 terms of the cosine transform of the picture
at 32x32 is above their median (Zauner 2010, Implementation and Benchmarking of Perceptual Image Hash Functions).
Pictures of plain surfaces may have nearly the same hash whatever is on them, so the small copies are compared besides.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from edgeseg.types import ImageU8

Thumb = NDArray[np.uint8]
"""(32, 32) uint8 grey."""

THUMB_PX = 32

MOST_BITS = 10
"""Of the 64, that may differ. Of unrelated photographs one pair in many thousands has so few."""

LEAST_CORRELATION = 0.97
"""Of the small copies. A picture saved again has 0.99 and more, neighbours in a slow video as well."""

_TRIED = 4
"""So many of the nearest by their hash are compared."""

_PLAIN = 1.0
"""The standard deviation of a small copy, below which nothing is on it."""


def thumb_of(picture: ImageU8) -> Thumb:
    """A very small grey copy, whatever the shape: (32, 32) uint8 of (H, W, 3)."""
    small = cv2.resize(picture, (THUMB_PX, THUMB_PX), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), dtype=np.uint8)


def perceptual_hash(thumb: Thumb) -> NDArray[np.uint8]:
    """(8,) uint8: 64 bits, most of which stay where a picture is resized, saved anew or brightened."""
    terms = np.asarray(cv2.dct(thumb.astype(np.float32)))[:8, :8].ravel()
    return np.packbits(terms > np.median(terms[1:]))


def normalised(thumbs: Sequence[Thumb]) -> NDArray[np.float32]:
    """(N, 1024) float32 of mean 0 and length 1, whose products are correlations; 0 where a picture is plain."""
    values = np.array(thumbs, dtype=np.float32).reshape(len(thumbs), -1)
    values -= values.mean(axis=1, keepdims=True)
    length = np.linalg.norm(values, axis=1, keepdims=True)
    return np.asarray(np.where(length > _PLAIN * THUMB_PX, values / np.maximum(length, 1e-6), 0), dtype=np.float32)


def nearest_alike(these: Sequence[Thumb], those: Sequence[Thumb]) -> list[int | None]:
    """For each of ``these`` which of ``those`` looks the same; None where none does.

    Args:
        these, those: small copies. Time grows with the product of their numbers, a nanosecond or two for each.
    """
    if not these or not those:
        return [None] * len(these)
    one, other = (np.array([perceptual_hash(thumb) for thumb in thumbs]) for thumbs in (these, those))
    tried = min(_TRIED, len(those))
    distances, indices = cv2.batchDistance(one, other, cv2.CV_32S, normType=cv2.NORM_HAMMING, K=tried)
    found: list[int | None] = []
    for thumb, bits, nearest in zip(these, distances, indices, strict=True):
        near = [int(index) for index, distance in zip(nearest, bits, strict=True) if distance <= MOST_BITS]
        best = None
        if near:
            alike = (normalised([those[index] for index in near]) @ normalised([thumb])[0]).tolist()
            if max(alike) >= LEAST_CORRELATION:
                best = near[alike.index(max(alike))]
        found.append(best)
    return found
