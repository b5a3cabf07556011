"""Shapes that annotation tools draw over pictures, filled as the tool itself fills them.

Which pixels of an outline are inside differs by a row or two from tool to tool, and so do the counts of small classes.
Hence three rules, each its format's own:

- ``Polygon``: pycocotools' ``rleFrPoly``, exactly; COCO, CVAT and Label Studio.
- ``Outline``: Pillow's ImageDraw, outline included, which labelme's converters call; labelme.
- ``Corners``: OpenCV's fillPoly of whole pixels, outline included, which Ultralytics trains with; YOLO.

Points are (x, y) in pixels, (0, 0) the upper left corner of the picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from edgeseg.data.runs import Mask
from edgeseg.errors import counted
from edgeseg.types import LabelsU8

Points = NDArray[np.float64]
"""(N, 2) float64: x and y of each."""

_STEPS = 1 << 21
"""Points of outlines that are worked on at a time."""

_LINE_PX, _POINT_PX = 10, 5
"""The width of a line, and the radius of a point, of labelme's ``shape_to_mask``."""


class Shape(Protocol):
    """Something of one class that covers a part of a picture."""

    def paint(self, labels: LabelsU8) -> None:
        """Put its value over the pixels inside; labels are (H, W).

        Raises:
            ValueError: it does not fit the picture.
        """
        ...


def points_of(values: Any, least: int = 3) -> Points:
    """Points from ``[x, y, x, y, …]`` or ``[[x, y], …]``.

    Raises:
        ValueError: no numbers, not finite, or fewer than ``least``.
    """
    try:
        points = np.asarray(values)
    except ValueError:  # lists of different lengths
        points = np.asarray(None)
    if points.size == 0:
        points = np.empty((0, 2))
    in_pairs = points.shape[1] == 2 if points.ndim == 2 else points.ndim == 1 and points.size % 2 == 0
    if points.dtype.kind not in "fiu" or not in_pairs:
        raise ValueError("points that are no pairs of numbers")
    points = points.reshape(-1, 2).astype(np.float64)
    if len(points) < least:
        raise ValueError(f"{counted(len(points), 'point')} where {least} must be")
    if not np.isfinite(points).all():
        raise ValueError("points that are not finite")
    return points


def _check_reach(points: Points, size: tuple[int, int]) -> None:
    """Refuse what would take forever to draw; a shape may reach as far beyond the picture as the picture is large."""
    height, width = size
    low, high = points.min(axis=0), points.max(axis=0)
    if (low < (-width, -height)).any() or (high > (2 * width, 2 * height)).any():
        raise ValueError("points far outside the picture")


@dataclass(frozen=True)
class Polygon:
    """The inside of polygons by pycocotools' rule; holes are not known to it."""

    value: int
    rings: tuple[Points, ...]

    def paint(self, labels: LabelsU8) -> None:
        """As :meth:`Shape.paint`."""
        for ring in self.rings:
            _check_reach(ring, (labels.shape[0], labels.shape[1]))
            crossings = _crossings(ring, labels.shape[0], labels.shape[1])
            if crossings.size:
                _flip(labels, crossings, self.value)


def _crossings(points: Points, height: int, width: int) -> NDArray[np.int64]:
    """Where, counted down the columns, an outline is crossed: there inside and outside change places.

    The outline is drawn on a grid five times as fine; a column is crossed where the outline passes its middle.
    """
    fine = np.trunc(5 * points + 0.5).astype(np.int64)
    ends = np.roll(fine, -1, axis=0)
    reach = np.abs(ends - fine)
    steps = reach.max(axis=1) + 1
    found = []
    for chosen in np.split(np.arange(len(fine)), np.flatnonzero(np.diff(np.cumsum(steps) // _STEPS)) + 1):
        found.append(_crossings_of(fine[chosen], ends[chosen], reach[chosen], steps[chosen]))
    columns, rows = np.concatenate(found, axis=1)
    # Of the five fine columns the third is the middle.
    inside = (columns % 5 == 2) & (columns >= 2) & (columns // 5 < width)
    return np.asarray(columns[inside] // 5 * height + np.clip((rows[inside] + 2) // 5, 0, height))


def _crossings_of(
    starts: NDArray[np.int64], ends: NDArray[np.int64], reach: NDArray[np.int64], steps: NDArray[np.int64]
) -> NDArray[np.int64]:
    """(2, K) fine columns and rows where edges step from one column into the next."""
    steep = reach[:, 0] < reach[:, 1]
    main = steep.astype(np.int64)  # the axis along which an edge takes a step at a time
    each = np.arange(len(starts))
    turned = starts[each, main] > ends[each, main]
    low = np.where(turned[:, None], ends, starts)
    high = np.where(turned[:, None], starts, ends)
    rise = (high - low)[each, 1 - main] / np.maximum(steps - 1, 1)

    edge = np.repeat(each, steps)
    step = np.arange(edge.size) - np.repeat(np.cumsum(steps) - steps, steps)
    step = np.where(turned[edge], steps[edge] - 1 - step, step)
    along = step + low[each, main][edge]
    across = np.trunc(low[each, 1 - main][edge] + rise[edge] * step + 0.5).astype(np.int64)
    x = np.where(steep[edge], across, along)
    y = np.where(steep[edge], along, across)
    crossed = (x[1:] != x[:-1]) & (edge[1:] == edge[:-1])
    columns = np.where(x[1:] < x[:-1], x[1:], x[1:] - 1)[crossed]
    return np.stack([columns, np.minimum(y[1:], y[:-1])[crossed]])


def _flip(labels: LabelsU8, crossings: NDArray[np.int64], value: int) -> None:
    height, width = labels.shape
    first = int(crossings.min()) // height
    last = min(int(crossings.max()) // height + 1, width)
    odd = np.zeros((last - first) * height + 1, dtype=np.uint8)
    positions, times = np.unique(crossings - first * height, return_counts=True)
    odd[np.minimum(positions, odd.size - 1)] ^= (times & 1).astype(np.uint8)
    inside = np.bitwise_xor.accumulate(odd[:-1]).astype(bool).reshape(last - first, height)
    labels.T[first:last][inside] = value


@dataclass(frozen=True)
class Stencil:
    """A mask, its upper left corner somewhere in the picture.

    Attributes:
        value: of the class.
        mask: of what is inside.
        left, top: of its corner, in pixels.
    """

    value: int
    mask: Mask
    left: int = 0
    top: int = 0

    def paint(self, labels: LabelsU8) -> None:
        """As :meth:`Shape.paint`."""
        height, width = self.mask.shape
        if not (0 <= self.left <= labels.shape[1] - width and 0 <= self.top <= labels.shape[0] - height):
            raise ValueError(f"a mask of {width}x{height} at {self.left}, {self.top} that reaches out of the picture")
        labels[self.top : self.top + height, self.left : self.left + width][self.mask] = self.value


Kind = Literal["polygon", "rectangle", "oriented_rectangle", "circle", "line", "linestrip", "point"]

LEAST_POINTS: dict[str, int] = {
    "polygon": 3,
    "rectangle": 2,
    "oriented_rectangle": 4,
    "circle": 2,
    "line": 2,
    "linestrip": 2,
    "point": 1,
}
"""Of each kind of outline."""


@dataclass(frozen=True)
class Outline:
    """A shape that Pillow draws, with its outline. Lines are 10 pixels wide, points have a radius of 5."""

    value: int
    kind: Kind
    points: Points

    def paint(self, labels: LabelsU8) -> None:
        """As :meth:`Shape.paint`."""
        from PIL import Image, ImageDraw

        _check_reach(self._bounds(), (labels.shape[0], labels.shape[1]))
        image = Image.fromarray(labels)
        draw = ImageDraw.Draw(image)
        corners: Sequence[Any] = [(float(x), float(y)) for x, y in self.points]
        if self.kind in ("circle", "point"):
            draw.ellipse([tuple(corner) for corner in self._bounds().tolist()], outline=self.value, fill=self.value)
        elif self.kind == "rectangle":
            draw.rectangle([tuple(corner) for corner in self._bounds().tolist()], outline=self.value, fill=self.value)
        elif self.kind in ("line", "linestrip"):
            draw.line(corners, fill=self.value, width=_LINE_PX)
        else:
            draw.polygon(corners, outline=self.value, fill=self.value)
        labels[...] = np.asarray(image)

    def _bounds(self) -> Points:
        """(2, 2): the corners of the rectangle around it."""
        if self.kind not in ("circle", "point"):
            return np.stack([self.points.min(axis=0), self.points.max(axis=0)])
        radius = _POINT_PX if self.kind == "point" else float(np.hypot(*(self.points[0] - self.points[1])))
        return np.stack([self.points[0] - radius, self.points[0] + radius])


@dataclass(frozen=True)
class Corners:
    """A polygon whose corners OpenCV takes as whole pixels, fractions cut off, and fills with its outline."""

    value: int
    points: Points

    def paint(self, labels: LabelsU8) -> None:
        """As :meth:`Shape.paint`."""
        import cv2

        _check_reach(self.points, (labels.shape[0], labels.shape[1]))
        cv2.fillPoly(labels, [self.points.astype(np.int32)], self.value)


def ellipse_points(center: tuple[float, float], radii: tuple[float, float], degrees: float = 0.0) -> Points:
    """A polygon of 720 points in the place of an ellipse that is turned clockwise by so many degrees."""
    angle = np.linspace(0, 2 * np.pi, 720, endpoint=False)
    around = np.stack([radii[0] * np.cos(angle), radii[1] * np.sin(angle)], axis=1)
    return turned(around, (0.0, 0.0), degrees) + center


def turned(points: Points, about: tuple[float, float], degrees: float) -> Points:
    """Points turned about another, clockwise as pictures are seen."""
    if not degrees:
        return points
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.asarray((points - about) @ np.array([[cos, sin], [-sin, cos]]) + about)
