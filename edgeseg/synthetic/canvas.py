"""A picture whose pixels carry their label: what paints a colour paints the class with it, so the two cannot differ.

The canvas is (H, W, 4) uint8: red, green, blue, label. Later strokes cover earlier ones (painter's algorithm).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edgeseg.synthetic.camera import Floats, View
from edgeseg.synthetic.light import Color, Light, mix

U8 = NDArray[np.uint8]

_SUBPIXEL_BITS = 4


class Texture:
    """A picture (h, w, c) uint8 with its halvings, and its mean colour where it has colours and opacity."""

    def __init__(self, picture: U8, levels: int = 7) -> None:
        self.levels = [np.ascontiguousarray(picture)]
        while len(self.levels) < levels and min(self.levels[-1].shape[:2]) >= 8:
            h, w = self.levels[-1].shape[:2]
            half = cv2.resize(self.levels[-1], (w // 2, h // 2), interpolation=cv2.INTER_AREA)
            self.levels.append(np.asarray(half, dtype=np.uint8))
        mean = cv2.mean(self.levels[-1])
        self.mean: Color = (mean[0], mean[1], mean[2])
        self.is_opaque = picture.ndim == 3 and picture.shape[2] == 4 and bool((picture[..., 3] == 255).all())

    def level(self, shrink: float) -> int:
        """The index of the picture for a reduction by that factor."""
        return min(int(math.log2(max(shrink, 1.0)) + 0.3), len(self.levels) - 1)


class Canvas:
    """The strokes; colours are RGB 0..255, points are (N, 2) pixels, x first."""

    def __init__(self, height: int, width: int, haze: Color) -> None:
        self.rgbl: U8 = np.zeros((height, width, 4), dtype=np.uint8)
        self.height, self.width = height, width
        self.haze = haze

    def polygon(self, points: Floats, color: Color, label: int, haze: float = 0.0) -> None:
        """A filled polygon; convex, or nearly."""
        r, g, b = mix(color, self.haze, haze) if haze else color
        cv2.fillConvexPoly(self.rgbl, _fixed(points), (r, g, b, label), cv2.LINE_8, _SUBPIXEL_BITS)

    def polygons(
        self, points: Floats, spans: Iterable[tuple[int, int]], colors: Iterable[Color], label: int, haze: float
    ) -> None:
        """Many polygons at once: each is ``points[start:end]`` of its span."""
        fixed = _fixed(points)
        hr, hg, hb = (c * haze for c in self.haze)
        k = 1 - haze
        for (start, end), (r, g, b) in zip(spans, colors, strict=True):
            color = (r * k + hr, g * k + hg, b * k + hb, label)
            cv2.fillConvexPoly(self.rgbl, fixed[start:end], color, cv2.LINE_8, _SUBPIXEL_BITS)

    def polyline(self, points: Floats, color: Color, label: int, thickness_px: float, closed: bool = False) -> None:
        """A line of constant thickness, at least one pixel."""
        thickness = max(1, round(thickness_px))
        cv2.polylines(self.rgbl, [_fixed(points)], closed, (*color, label), thickness, cv2.LINE_8, _SUBPIXEL_BITS)

    def textured(
        self, corners: Floats, texture: Texture, label: int, *, haze: float = 0.0, outline: Floats | None = None,
        span: tuple[float, float] = (0.0, 1.0),
    ) -> None:  # fmt: skip
        """A texture in perspective.

        Args:
            corners: (4, 2): where the texture's top left, top right, bottom right and bottom left go.
            texture: (h, w, 4); the last channel is opacity. What is between the strokes of a texture that
                is partly clear shows the background but takes the label, as annotators do with railings.
            outline: the polygon to be filled; None for the corners themselves.
            label: class of everything inside the outline.
            haze: share of haze.
            span: the part of the texture's width that the corners span.
        """
        outline = corners if outline is None else outline
        box = self._box(outline)
        if box is None:
            return
        x0, y0, x1, y1 = box
        across = max(float(np.ptp(corners[:, 0])), 1.0)
        along = max(math.dist(corners[0], corners[3]), math.dist(corners[1], corners[2]), 1.0)
        if (across < 6 or across * along < 200) and texture.is_opaque:
            self.polygon(outline, texture.mean, label, haze)
            return
        # The finer of the two directions decides half way: sharp enough along, not too alive across.
        height, width = texture.levels[0].shape[:2]
        level = texture.levels[texture.level((height / along * width * (span[1] - span[0]) / across) ** 0.5)]
        h, w = level.shape[:2]
        left, right = span[0] * w, span[1] * w
        source = np.array([[left, 0], [right, 0], [right, h], [left, h]], dtype=np.float32) - 0.5
        target = (corners - (x0 + 0.5, y0 + 0.5)).astype(np.float32)
        matrix = cv2.getPerspectiveTransform(source, target)
        patch = cv2.warpPerspective(
            level, matrix, (x1 - x0, y1 - y0), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
        if haze > 0.03:
            patch = cv2.LUT(patch, _toward(self.haze, haze))
        inside = np.zeros(patch.shape[:2], dtype=np.uint8)
        cv2.fillConvexPoly(inside, _fixed(outline - (x0, y0)), 255, cv2.LINE_8, _SUBPIXEL_BITS)
        here = self.rgbl[y0:y1, x0:x1]
        if texture.is_opaque:
            cv2.insertChannel(np.full(inside.shape, label, dtype=np.uint8), patch, 3)
            cv2.copyTo(patch, inside, here)
            return
        opaque = cv2.inRange(cv2.extractChannel(patch, 3), 110, 255)
        cv2.insertChannel(np.full(inside.shape, label, dtype=np.uint8), patch, 3)
        here[..., 3][inside > 0] = label
        cv2.copyTo(patch, cv2.bitwise_and(inside, opaque), here)

    def sprite(
        self, box: tuple[float, float, float, float], texture: Texture, area: Texture, label: int, haze: float
    ) -> None:
        """A soft-edged picture that faces the camera.

        Args:
            box: left, top, right, bottom in pixels.
            texture: (h, w, 4) with colours multiplied by opacity; opacity is the last channel.
            area: (h, w), 255 where the label holds.
            label: its class.
            haze: share of haze.
        """
        left, top, right, bottom = box
        x0, y0 = max(int(np.floor(left)), 0), max(int(np.floor(top)), 0)
        x1, y1 = min(int(np.ceil(right)), self.width), min(int(np.ceil(bottom)), self.height)
        if x1 <= x0 or y1 <= y0 or right - left < 1 or bottom - top < 1:
            return
        index = texture.level(texture.levels[0].shape[0] / (bottom - top))
        level = texture.levels[index]
        h, w = level.shape[:2]
        sx, sy = (right - left) / w, (bottom - top) / h
        matrix = np.array([[sx, 0, left - x0 + sx / 2 - 0.5], [0, sy, top - y0 + sy / 2 - 0.5]], dtype=np.float64)
        size = (x1 - x0, y1 - y0)
        patch = cv2.warpAffine(level, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
        inside = cv2.warpAffine(
            area.levels[index], matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT
        )
        opacity = cv2.extractChannel(patch, 3)
        if haze > 0.02:
            fog = cv2.merge([cv2.convertScaleAbs(opacity, alpha=c / 255) for c in self.haze] + [opacity])
            cv2.addWeighted(patch, 1 - haze, fog, haze, 0, dst=patch)
        clear = cv2.bitwise_not(opacity)
        here = self.rgbl[y0:y1, x0:x1]
        labels = cv2.extractChannel(here, 3)
        blended = cv2.add(cv2.multiply(here, cv2.merge([clear, clear, clear, clear]), scale=1 / 255), patch)
        labels[inside > 127] = label
        cv2.insertChannel(labels, blended, 3)
        here[:] = blended

    def darken(self, points: Floats, share: float) -> None:
        """Shade what is inside the polygon; labels stay."""
        box = self._box(points)
        if box is None:
            return
        x0, y0, x1, y1 = box
        here = self.rgbl[y0:y1, x0:x1]
        inside = np.zeros(here.shape[:2], dtype=np.uint8)
        cv2.fillConvexPoly(inside, _fixed(points - (x0, y0)), 255, cv2.LINE_8, _SUBPIXEL_BITS)
        cv2.copyTo(cv2.LUT(here, _toward((0.0, 0.0, 0.0), share)), inside, here)

    def _box(self, points: Floats) -> tuple[int, int, int, int] | None:
        """The part of the canvas around the points: left, top, right, bottom; None if they are outside."""
        x, y = points[:, 0].tolist(), points[:, 1].tolist()
        x0, x1 = max(math.floor(min(x)), 0), min(math.ceil(max(x)) + 1, self.width)
        y0, y1 = max(math.floor(min(y)), 0), min(math.ceil(max(y)) + 1, self.height)
        return (x0, y0, x1, y1) if x1 > x0 and y1 > y0 else None


def _toward(color: Color, share: float) -> U8:
    """A (1, 256, 4) look-up table that mixes every pixel with the colour; the last channel stays."""
    level = np.arange(256, dtype=np.float32)
    curve = [level * (1 - share) + c * share for c in color]
    return np.stack([*curve, level], axis=-1).astype(np.uint8).reshape(1, 256, 4)


def _fixed(points: Floats) -> NDArray[np.int32]:
    return np.asarray(points * (1 << _SUBPIXEL_BITS), dtype=np.int32)


@dataclass(frozen=True)
class Shot:
    """One frame being drawn: the canvas, the camera's view of the street at this moment, and the light."""

    canvas: Canvas
    view: View
    light: Light
