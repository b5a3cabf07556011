"""What is written on the picture: the classes in sight along the bottom, latency and rate in the upper left corner."""

from __future__ import annotations

from typing import NamedTuple

import cv2

from edgeseg.types import ImageU8, Segmentation

_SMALLEST_PX = 100  # pictures with a shorter side have no room for words
_LEAST_AREA = 0.002  # a class covering less of the picture is not listed, or the legend would flicker
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_FONT_PX = 22  # height of a capital letter at scale 1
_WHITE = (255, 255, 255)
_SHADE = 0.35  # what remains of the picture's brightness behind the words


class _Style(NamedTuple):
    """Sizes in pixels that follow from the picture's height."""

    scale: float
    thickness: int
    capital: int
    gap: int

    @classmethod
    def of(cls, picture: ImageU8) -> _Style:
        capital = max(8, round(picture.shape[0] / 45))
        return cls(capital / _FONT_PX, max(1, round(capital / 14)), capital, max(4, capital // 2))

    def width(self, text: str) -> int:
        return int(cv2.getTextSize(text, _FONT, self.scale, self.thickness)[0][0])

    def write(self, picture: ImageU8, text: str, x: int, baseline: int) -> None:
        cv2.putText(picture, text, (x, baseline), _FONT, self.scale, _WHITE, self.thickness, cv2.LINE_AA)


def draw_classes(picture: ImageU8, segmentation: Segmentation) -> None:
    """Draw a bar with the colour and name of each class in sight along the bottom edge, in place.

    Args:
        picture: (H, W, 3) uint8 RGB; left alone when too small to be read.
        segmentation: what is in it.
    """
    if min(picture.shape[:2]) < _SMALLEST_PX:
        return
    style = _Style.of(picture)
    colors = dict(zip(segmentation.spec.class_names, segmentation.spec.colors, strict=True))
    names = [name for name, area in segmentation.class_areas().items() if area >= _LEAST_AREA]
    rows = _wrap({name: style.width(name) for name in names}, style, picture.shape[1])
    pitch = style.capital + 2 * style.gap
    rows = rows[: max(1, picture.shape[0] // 3 // pitch)]
    if not rows:
        return
    top = picture.shape[0] - len(rows) * pitch - style.gap
    _shade(picture, 0, top, picture.shape[1], picture.shape[0])
    for row, entries in enumerate(rows):
        baseline = top + row * pitch + style.gap + (pitch + style.capital - style.gap) // 2
        for name, x in entries:
            corner = (x + style.capital, baseline)
            cv2.rectangle(picture, (x, baseline - style.capital), corner, colors[name], cv2.FILLED)
            cv2.rectangle(picture, (x, baseline - style.capital), corner, _WHITE, 1)
            style.write(picture, name, x + style.capital + style.gap, baseline)


def draw_status(picture: ImageU8, text: str) -> None:
    """Write one line into the upper left corner, in place; pictures too small to be read are left alone."""
    if min(picture.shape[:2]) < _SMALLEST_PX:
        return
    style = _Style.of(picture)
    bottom = style.capital + 2 * style.gap
    _shade(picture, 0, 0, style.width(text) + 2 * style.gap, bottom)
    style.write(picture, text, style.gap, bottom - style.gap)


def _wrap(widths: dict[str, int], style: _Style, total: int) -> list[list[tuple[str, int]]]:
    """Rows of (name, x) as a text editor breaks words into lines."""
    rows: list[list[tuple[str, int]]] = []
    x = total
    for name, width in widths.items():
        entry = style.capital + style.gap + width
        if x + entry + style.gap > total:
            rows.append([])
            x = style.gap
        rows[-1].append((name, x))
        x += entry + 2 * style.gap
    return rows


def _shade(picture: ImageU8, left: int, top: int, right: int, bottom: int) -> None:
    area = picture[top:bottom, left:right]
    area[:] = cv2.convertScaleAbs(area, alpha=_SHADE)
