"""What of a picture a tensor has seen: its dimensions as runs of positions in the picture, and the field of its values.

Networks reshape: windows of 2x2 pixels become a dimension of four, and all pixels the tokens of a transformer. So a
dimension is followed as runs of positions, each with the pixels that it spans.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

Pixels = tuple[float, float]
"""Down and across the picture."""


class Run(NamedTuple):
    """Positions one behind the other, and the pixels of the picture that they span: none across channels, say."""

    length: int
    span: Pixels = (0, 0)


Dimension = tuple[Run, ...]
"""Runs within each other, the outermost first; those of one position are left out."""


class Window(NamedTuple):
    """How an operation goes along a dimension.

    Attributes:
        taps: positions that one result is made of.
        stride: positions between those of one result and of the next; less than 1 where there are more results.
        dilation: positions between one tap and the next.
    """

    taps: int
    stride: float = 1
    dilation: int = 1


@dataclass(frozen=True)
class Seen:
    """A tensor that is made of the picture.

    Attributes:
        dimensions: as many as the tensor's.
        field: pixels that one of its values has seen on paths that see but a part of the picture.
        whole: whether it has seen all of the picture's height, and all of its width.
    """

    dimensions: tuple[Dimension, ...]
    field: Pixels = (1, 1)
    whole: tuple[bool, bool] = (False, False)


def plain(count: int) -> Dimension:
    """A dimension along which the picture does not move."""
    return (Run(count),) if count > 1 else ()


def size(dimension: Dimension) -> int:
    """Its number of positions."""
    return math.prod(run.length for run in dimension)


def step(dimension: Dimension) -> Pixels:
    """From one position to the next, on the average where runs lie within each other."""

    def along(axis: int) -> float:
        inner = size(dimension)
        for run in dimension:
            inner //= run.length
            if run.span[axis]:
                return run.span[axis] / run.length / inner
        return 0

    return along(0), along(1)


def with_size(dimension: Dimension, count: int, stride: float = 1) -> Dimension:
    """It with another number of positions, each a stride apart of what was before."""
    if count == size(dimension) and stride == 1:
        return dimension
    down, across = (pixels * stride * count for pixels in step(dimension))
    return (Run(count, (down, across)),) if count > 1 else ()


def summed(seen: Seen, places: Iterable[int], picture: Pixels) -> Seen:
    """It behind a sum over dimensions, which stay in it; that over all of the picture's pixels has seen the whole."""
    field, whole = list(seen.field), list(seen.whole)
    for run in (run for place in places for run in seen.dimensions[place]):
        for axis, span in enumerate(run.span):
            if span * (run.length + 1) > picture[axis] * run.length:  # there is no room for one position more
                whole[axis] = True
            else:
                field[axis] += span * (run.length - 1) / run.length
    return replace(seen, field=(field[0], field[1]), whole=(whole[0], whole[1]))


def windowed(seen: Seen, windows: Sequence[Window], sizes: Sequence[int], picture: Pixels) -> Seen:
    """It behind windows over the last dimensions, which then have these sizes."""
    before = len(seen.dimensions) - len(windows)
    dimensions = list(seen.dimensions)
    for place, (window, count) in enumerate(zip(windows, sizes, strict=True), before):
        dimension = seen.dimensions[place]
        if count == 1 and window.taps >= size(dimension):
            seen = summed(seen, [place], picture)
        else:
            reach = window.dilation * (window.taps - 1)
            down, across = (pixels * reach for pixels in step(dimension))
            seen = replace(seen, field=(seen.field[0] + down, seen.field[1] + across))
        dimensions[place] = with_size(dimension, count, window.stride)
    return replace(seen, dimensions=tuple(dimensions))


def joined(all_seen: Sequence[Seen], dimensions: tuple[Dimension, ...]) -> Seen:
    """What several have seen together: the most of each."""
    down, across = (max(seen.field[axis] for seen in all_seen) for axis in (0, 1))
    tall, wide = (any(seen.whole[axis] for seen in all_seen) for axis in (0, 1))
    return Seen(dimensions, (down, across), (tall, wide))


def broadcast(all_seen: Sequence[Seen], shape: Sequence[int]) -> tuple[Dimension, ...]:
    """The dimensions of what is made, place by place, of several; the first that moves in the picture counts."""
    dimensions = []
    for from_last, count in enumerate(reversed(shape), 1):
        found = [seen.dimensions[-from_last] for seen in all_seen if len(seen.dimensions) >= from_last]
        found = [one for one in found if size(one) == count]
        dimensions.append(next((one for one in found if step(one) != (0, 0)), plain(count)))
    return tuple(reversed(dimensions))


def reshaped(dimensions: Iterable[Dimension], shape: Sequence[int]) -> tuple[Dimension, ...] | None:
    """The same positions in other dimensions; None where those begin and end within runs that cannot be divided so."""
    rest: list[Run] = []
    for run in (run for dimension in dimensions for run in dimension):
        still = rest and rest[-1].span == run.span == (0, 0)
        rest.append(Run(rest.pop().length * run.length) if still else run)
    rest.reverse()
    made = []
    for count in shape:
        runs: list[Run] = []
        missing = count
        while missing > 1:
            run = rest.pop()
            taken = min(run.length, missing)
            if missing % taken or run.length % taken:
                return None
            if taken < run.length:
                down, across = run.span
                rest.append(Run(run.length // taken, (down / taken, across / taken)))
            runs.append(Run(taken, run.span))
            missing //= taken
        made.append(tuple(runs))
    return tuple(made)
