"""How pictures of any shape come before a network of one input size, and labels back: the geometry, without a pixel.

A fit chooses a part of the picture (``seen``) and scales it to a part (``window``) of a *canvas*, which is what the
network looks at. Both parts are in whole pixels, and the scaling is the exact one between them. With the edges of
pixels at whole numbers, so that pixel i has its centre at i + 0.5, x of the picture lies on the canvas at

    window.left + (x - seen.left) * window.width / seen.width

and y likewise. Aspects that a fit keeps are kept but for rounding ``window`` (letterbox, tile) or ``seen`` (crop) to
whole pixels. A network with logits of w' columns for a canvas of w puts x of the canvas at x * w' / w in logits.

========== ================================ ============================================= ============================
fit        seen                             canvas                                        window
========== ================================ ============================================= ============================
stretch    all                              the input size                                all of the canvas
letterbox  all                              the input size                                the largest of the picture's
                                                                                          aspect, in the middle
crop       the largest part of the input's  the input size                                all of the canvas
           aspect, in the middle
tile       all                              the picture at ``tile_scale``, and a little   the picture at
                                            more, so that tiles of the input size share   ``tile_scale``, in the middle
                                            one grid of logits; at least the input size
========== ================================ ============================================= ============================
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from types import EllipsisType
from typing import Literal

PictureFit = Literal["stretch", "letterbox", "crop", "tile"]

Size = tuple[int, int]
"""(height, width) in pixels."""

Span = tuple[int, int, int]
"""``(begin, end, whole)``: from ``begin`` to ``end`` of ``whole`` equal parts of an axis."""

TILE_OVERLAP = 4
"""Neighbouring tiles have at least one part of so many in common."""


@dataclass(frozen=True)
class Box:
    """A rectangle of whole pixels; ``bottom`` and ``right`` are the first outside of it."""

    top: int
    left: int
    bottom: int
    right: int

    @classmethod
    def centred(cls, size: Size, within: Size) -> Box:
        """A box of a size in the middle of another; half a pixel up and to the left where the middle is none."""
        top, left = ((outer - inner) // 2 for inner, outer in zip(size, within, strict=True))
        return cls(top, left, top + size[0], left + size[1])

    @classmethod
    def whole(cls, size: Size) -> Box:
        """All of a size."""
        return cls(0, 0, *size)

    @property
    def size(self) -> Size:
        """(height, width) in pixels."""
        return self.bottom - self.top, self.right - self.left

    @property
    def slices(self) -> tuple[slice, slice]:
        """What cuts it out of an array (height, width, …)."""
        return slice(self.top, self.bottom), slice(self.left, self.right)

    @property
    def planes(self) -> tuple[EllipsisType, slice, slice]:
        """What cuts it out of an array (…, height, width)."""
        return (..., *self.slices)

    def within(self, other: Box) -> Box:
        """The part of it that another has too, which there must be."""
        top, left = max(self.top, other.top), max(self.left, other.left)
        return Box(top, left, min(self.bottom, other.bottom), min(self.right, other.right))

    def moved(self, down: int, right: int) -> Box:
        """The same elsewhere."""
        return Box(self.top + down, self.left + right, self.bottom + down, self.right + right)


@dataclass(frozen=True)
class Placement:
    """Where one picture lies on the canvas of a network.

    Attributes:
        picture: (height, width) of the picture.
        seen: the part of it that is on the canvas.
        canvas: (height, width) of the canvas.
        window: the part of it that holds ``seen``; the rest is border.
    """

    picture: Size
    seen: Box
    canvas: Size
    window: Box

    @property
    def sees_all(self) -> bool:
        """Whether no pixel of the picture is left out."""
        return self.seen == Box.whole(self.picture)

    @property
    def has_border(self) -> bool:
        """Whether the canvas holds more than the picture."""
        return self.window != Box.whole(self.canvas)

    @property
    def spans(self) -> tuple[Span, Span]:
        """The rows and the columns of the window, of those of the canvas."""
        (height, width), box = self.canvas, self.window
        return (box.top, box.bottom, height), (box.left, box.right, width)

    def without_border(self) -> Placement:
        """The same with the window as the canvas."""
        return replace(self, canvas=self.window.size, window=Box.whole(self.window.size))


def place(fit: PictureFit, picture: Size, input_size: Size, *, cell: int = 1, tile_scale: float = 1.0) -> Placement:
    """Where a picture lies on the canvas.

    Args:
        fit: how it comes there.
        picture: (height, width) of it.
        input_size: (height, width) of the network's input.
        cell: pixels of the canvas for one logit, for ``tile``.
        tile_scale: pixels of the canvas for one of the picture, for ``tile``.
    """
    everything = Box.whole(picture)
    if fit == "letterbox":
        return Placement(picture, everything, input_size, Box.centred(_largest(picture, input_size), input_size))
    if fit == "crop":
        seen = Box.centred(_largest(input_size, picture), picture)
        return Placement(picture, seen, input_size, Box.whole(input_size))
    if fit == "tile":
        height, width = (max(round(side * tile_scale), 1) for side in picture)
        canvas = _in_cells(height, input_size[0], cell), _in_cells(width, input_size[1], cell)
        return Placement(picture, everything, canvas, Box.centred((height, width), canvas))
    return Placement(picture, everything, input_size, Box.whole(input_size))


def tile_offsets(side: int, tile: int, cell: int) -> list[int]:
    """Where tiles begin along a side of a canvas, ascending: at multiples of ``cell``, evenly spread.

    Args:
        side: pixels of the canvas, ``tile`` and a multiple of ``cell``.
        tile: pixels of a tile.
        cell: pixels for one logit.
    """
    overlap = tile // TILE_OVERLAP
    last = -(-(side - tile) // (tile - overlap))
    return [round(index * (side - tile) / last / cell) * cell for index in range(last)] + [side - tile]


def tiles_of(canvas: Size, tile: Size, cell: int) -> list[Box]:
    """The tiles of a canvas, row by row."""
    rows, columns = (tile_offsets(side, own, cell) for side, own in zip(canvas, tile, strict=True))
    return [Box.whole(tile).moved(top, left) for top in rows for left in columns]


def own_parts(canvas: Size, tile: Size, cell: int) -> list[Box]:
    """The part of the canvas that each of :func:`tiles_of` is nearest to: overlaps are parted in their middle."""
    rows, columns = (_parted(side, own, cell) for side, own in zip(canvas, tile, strict=True))
    return [Box(top, left, bottom, right) for top, bottom in rows for left, right in columns]


def cells_within(count: int, span: Span) -> tuple[int, int]:
    """The first and last of so many cells along an axis whose centres lie in a span; the nearest where none does."""
    begin, end, whole = span
    first, last = (2 * count * begin + whole - 1) // (2 * whole), (2 * count * end - whole) // (2 * whole)
    if first > last:
        first = last = count * (begin + end) // (2 * whole)
    return first, last


def _parted(side: int, tile: int, cell: int) -> list[tuple[int, int]]:
    offsets = tile_offsets(side, tile, cell)
    middles = [(one + tile + other) // 2 for one, other in pairwise(offsets)]
    return list(zip([0, *middles], [*middles, side], strict=True))


def _largest(aspect: Size, within: Size) -> Size:
    """The largest size of an aspect that another holds, in whole pixels."""
    (height, width), (most_height, most_width) = aspect, within
    if most_height * width <= most_width * height:
        return most_height, max(_ratio(most_height * width, height), 1)
    return max(_ratio(most_width * height, width), 1), most_width


def _ratio(numerator: int, denominator: int) -> int:
    """Rounded to the nearest whole number, halves up."""
    return (2 * numerator + denominator) // (2 * denominator)


def _in_cells(side: int, least: int, cell: int) -> int:
    """The smallest of ``least``, and that and so many cells, that holds ``side``."""
    return least + max(-(-(side - least) // cell), 0) * cell
