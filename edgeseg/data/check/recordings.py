"""Frames of one recording in two splits, told by their names' numbers and by the pictures that follow each other.

Pictures a second apart need not look the same, and yet whoever trains on one has seen the other's street. Pictures of
a name and a number are of one recording if those with neighbouring numbers are more alike than others: of photographs
that were merely numbered they are not.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgeseg.data.check.likeness import Thumb, normalised
from edgeseg.data.check.look import Look

_NUMBERED = re.compile(r"(.*?)(\d+)", re.DOTALL)

_LEAST_FRAMES = 12
"""Fewer say nothing of whether neighbours are alike."""

_APART = 4
"""Frames so far from each other, or further, are no neighbours."""

_LEAST_ORDER = 0.8
"""How often neighbours are more alike than others. CamVid's drives have 0.86 to 0.96, where 0.5 is no order at all;
collections of photographs stay below 0.72."""

_COMPARED = 2000
"""Pairs of each kind that are looked at."""


@dataclass(frozen=True)
class Frame:
    """A picture with a number in its name.

    Attributes:
        number: the last one.
        split: where it is.
        look: what is known of it.
        thumb: its small copy.
    """

    number: int
    split: str
    look: Look
    thumb: Thumb

    def distance(self, other: Frame) -> int:
        """How far its number is from another's."""
        return abs(self.number - other.number)


def recordings(looks: Mapping[str, Sequence[Look]]) -> dict[str, list[Frame]]:
    """The recordings by what their frames are called before the number, each in order.

    Args:
        looks: of the pictures in each split.
    """
    groups: dict[str, list[Frame]] = {}
    for split, own in looks.items():
        for look in own:
            numbered = _NUMBERED.fullmatch(look.sample.image.stem)
            if numbered and look.thumb is not None and len(numbered[2]) < 19:
                groups.setdefault(numbered[1], []).append(Frame(int(numbered[2]), split, look, look.thumb))
    across = {
        name: sorted(frames, key=lambda frame: frame.number)
        for name, frames in groups.items()
        if len(frames) >= _LEAST_FRAMES and len({frame.split for frame in frames}) > 1
    }
    return {name: frames for name, frames in across.items() if _order(frames) >= _LEAST_ORDER}


def _order(frames: Sequence[Frame]) -> float:
    """How often a frame and the next are more alike than two that lie apart: 0.5 for pictures in no order, up to 1."""
    rng = np.random.default_rng(0)
    last = len(frames) - 1
    first = np.arange(last) if last <= _COMPARED else rng.choice(last, _COMPARED, replace=False)
    here, there = rng.integers(0, len(frames), (2, 4 * _COMPARED))
    apart = np.abs(here - there) >= _APART
    next_to = _correlations(frames, first, first + 1)
    others = np.sort(_correlations(frames, here[apart][:_COMPARED], there[apart][:_COMPARED]))
    return float(np.searchsorted(others, next_to).mean() / len(others))


def _correlations(frames: Sequence[Frame], ones: NDArray[np.int64], others: NDArray[np.int64]) -> NDArray[np.float32]:
    one, other = (normalised([frames[index].thumb for index in side]) for side in (ones, others))
    return np.asarray((one * other).sum(axis=1))
