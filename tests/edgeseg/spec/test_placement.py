"""The geometry of every fit: where a picture lies before the network, and that it comes back to where it was."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from edgeseg.spec.placement import Box, cells_within, own_parts, place, tile_offsets, tiles_of

FITS = ("stretch", "letterbox", "crop", "tile")
PICTURES = [(360, 480), (480, 360), (1, 1), (7, 2000), (2000, 7), (720, 1280), (361, 270), (3000, 4000)]


@pytest.mark.parametrize(
    ("fit", "picture", "seen", "window"),
    [
        ("stretch", (720, 540), Box(0, 0, 720, 540), Box(0, 0, 360, 480)),
        ("letterbox", (720, 540), Box(0, 0, 720, 540), Box(0, 105, 360, 375)),
        ("letterbox", (540, 1440), Box(0, 0, 540, 1440), Box(90, 0, 270, 480)),
        ("letterbox", (720, 960), Box(0, 0, 720, 960), Box(0, 0, 360, 480)),
        ("crop", (720, 540), Box(157, 0, 562, 540), Box(0, 0, 360, 480)),
        ("crop", (540, 1440), Box(0, 360, 540, 1080), Box(0, 0, 360, 480)),
    ],
)
def test_each_fit(fit, picture, seen, window):
    placement = place(fit, picture, (360, 480))
    assert (placement.seen, placement.canvas, placement.window) == (seen, (360, 480), window)
    assert placement.sees_all == (fit != "crop")
    assert placement.has_border == (window != Box(0, 0, 360, 480))


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("picture", PICTURES)
def test_parts_lie_within_and_in_the_middle(fit, picture):
    placement = place(fit, picture, (360, 480), cell=8)
    for box, whole in ((placement.seen, picture), (placement.window, placement.canvas)):
        assert 0 <= box.top < box.bottom <= whole[0]
        assert 0 <= box.left < box.right <= whole[1]
        assert 0 <= whole[0] - box.bottom - box.top <= 1
        assert 0 <= whole[1] - box.right - box.left <= 1


@pytest.mark.parametrize("fit", ["letterbox", "crop", "tile"])
@pytest.mark.parametrize("picture", PICTURES)
def test_the_aspect_is_kept_but_for_whole_pixels(fit, picture):
    placement = place(fit, picture, (360, 480), cell=8)
    (seen_height, seen_width), (height, width) = placement.seen.size, placement.window.size
    # One of the two sides decides; the other is off by half a pixel of what was rounded, or is the least there is.
    off = min(
        max(abs(height - scale * seen_height), abs(width - scale * seen_width)) / max(1, scale)
        for scale in (height / seen_height, width / seen_width)
    )
    assert off <= 0.5 + 1e-9 or 1 in (height, width, seen_height, seen_width)


@pytest.mark.parametrize("picture", PICTURES)
def test_a_canvas_of_tiles_is_covered_by_them_on_one_grid(picture):
    placement = place("tile", picture, (360, 480), cell=8)
    assert placement.window.size == picture
    assert all(side >= own for side, own in zip(placement.canvas, (360, 480), strict=True))
    assert all((side - own) % 8 == 0 for side, own in zip(placement.canvas, (360, 480), strict=True))
    tiles, parts = tiles_of(placement.canvas, (360, 480), 8), own_parts(placement.canvas, (360, 480), 8)
    assert all(tile.top % 8 == 0 and tile.left % 8 == 0 for tile in tiles)
    covered = 0
    for tile, part in zip(tiles, parts, strict=True):
        assert part.within(tile) == part
        covered += part.size[0] * part.size[1]
    assert covered == placement.canvas[0] * placement.canvas[1]


def test_tiles_share_a_quarter_or_more():
    for side in range(480, 3000, 8):
        offsets = tile_offsets(side, 480, 8)
        assert offsets[0] == 0
        assert offsets[-1] == side - 480
        assert offsets == sorted(set(offsets))
        assert all(one - other <= 360 + 4 for other, one in pairwise(offsets))
    assert tile_offsets(480, 480, 8) == [0]


def test_a_scale_makes_the_canvas_smaller_but_not_than_a_tile():
    placement = place("tile", (3000, 4000), (360, 480), cell=8, tile_scale=0.25)
    assert placement.window.size == (750, 1000)
    assert placement.canvas == (752, 1000)
    assert place("tile", (100, 4000), (360, 480), cell=8).canvas == (360, 4000)


def test_cells_within_are_those_whose_centres_are():
    rng = np.random.default_rng(0)
    for _ in range(300):
        count, whole = (int(n) for n in rng.integers(1, 40, 2))
        begin, end = sorted(rng.choice(whole + 1, 2, replace=False).tolist())
        first, last = cells_within(count, (begin, end, whole))
        inside = [k for k in range(count) if begin * 2 * count <= (2 * k + 1) * whole <= end * 2 * count]
        if inside:
            assert (first, last) == (inside[0], inside[-1])
        else:
            assert first == last
            assert first <= count * (begin + end) / (2 * whole) <= first + 1
