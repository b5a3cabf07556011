"""A few for the whole: which images of many are looked at."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

T = TypeVar("T")


def spread(items: Sequence[T], count: int, seed: int | None = None) -> list[T]:
    """At most ``count`` of the items, at even distances.

    Args:
        items: what to take from, in their order.
        count: the most to take.
        seed: moves where they begin; None takes the first and the last among them.
    """
    if count >= len(items):
        return list(items)
    if seed is None:
        return [items[index] for index in np.linspace(0, len(items) - 1, count).round().astype(int)]
    distance = len(items) / count
    begin = np.random.default_rng(seed).random()
    return [items[int((index + begin) * distance)] for index in range(count)]
