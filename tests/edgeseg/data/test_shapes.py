"""Shapes are filled to the pixel as the tools do whose shapes they are."""

from __future__ import annotations

import numpy as np
import pytest

from edgeseg.data.shapes import Corners, Outline, Polygon, Stencil, ellipse_points, points_of, turned


def filled(shape, height=8, width=10):
    labels = np.zeros((height, width), np.uint8)
    shape.paint(labels)
    return labels


SQUARE = points_of([2, 1, 6, 1, 6, 4, 2, 4])


def test_the_far_side_is_inside_by_one_rule_and_not_by_another():
    def block(right, bottom):
        labels = np.zeros((8, 10), np.uint8)
        labels[1:bottom, 2:right] = 3
        return labels

    assert filled(Polygon(3, (SQUARE,))).tolist() == block(6, 4).tolist()
    assert filled(Outline(3, "polygon", SQUARE)).tolist() == block(7, 5).tolist()
    assert filled(Corners(3, SQUARE + 0.9)).tolist() == block(7, 5).tolist()


def test_polygons_are_pycocotools_to_the_pixel():
    mask = pytest.importorskip("pycocotools.mask", reason="pycocotools is not installed")
    rng = np.random.default_rng(0)
    for number in range(300):
        height, width = (int(side) for side in rng.integers(1, 60, 2))
        points = rng.uniform(-0.3, 1.3, (rng.integers(3, 20), 2)) * (width, height)
        if number % 3 == 0:
            points = np.round(2 * points) / 2
        if number % 7 == 0:
            points = points.repeat(2, axis=0)
        expected = mask.decode(mask.frPyObjects([points.ravel().tolist()], height, width))[..., 0]
        assert filled(Polygon(1, (points,)), height, width).tolist() == expected.tolist(), points.tolist()


def test_an_outline_longer_than_what_is_worked_on_at_a_time(monkeypatch):
    points = np.random.default_rng(1).uniform(0, 1, (200, 2)) * (40, 30)
    whole = filled(Polygon(1, (points,)), 30, 40)
    monkeypatch.setattr("edgeseg.data.shapes._STEPS", 50)
    assert filled(Polygon(1, (points,)), 30, 40).tolist() == whole.tolist()


@pytest.mark.parametrize(
    ("kind", "points", "inside", "outside"),
    [
        ("circle", [[5, 4], [5, 6]], [(4, 5), (2, 5), (4, 7)], [(1, 5), (2, 7)]),
        ("rectangle", [[6, 4], [2, 1]], [(1, 2), (4, 6)], [(0, 2), (5, 6)]),
        ("oriented_rectangle", [[2, 1], [6, 1], [6, 4], [2, 4]], [(1, 2), (4, 6)], [(0, 2), (5, 6)]),
        ("line", [[0, 4], [9, 4]], [(0, 5), (7, 5)], []),
        ("linestrip", [[0, 0], [0, 7], [9, 7]], [(6, 8)], [(0, 8)]),
        ("point", [[1, 1]], [(0, 0), (6, 1), (1, 6)], [(7, 1), (1, 7)]),
    ],
)
def test_outlines_of_each_kind(kind, points, inside, outside):
    labels = filled(Outline(2, kind, points_of(points, 1)))
    assert all(labels[place] == 2 for place in inside), labels
    assert all(labels[place] == 0 for place in outside), labels


def test_a_stencil_lies_in_the_picture():
    labels = filled(Stencil(4, np.array([[True, False]]), left=3, top=2))
    assert np.argwhere(labels).tolist() == [[2, 3]]
    with pytest.raises(ValueError, match="a mask of 2x1 at 9, 2 that reaches out of the picture"):
        filled(Stencil(4, np.array([[True, False]]), left=9, top=2))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([1, 2, 3, 4], "2 points where 3 must be"),
        ([], "no points where 3 must be"),
        ([[1, 2]], "1 point where 3"),
        ([1, 2, 3], "no pairs of numbers"),
        ([[1, 2, 3]] * 3, "no pairs of numbers"),
        ([["a", "b"]] * 3, "no pairs of numbers"),
        ([[1, 2], [3]], "no pairs of numbers"),
        (["1", "2"] * 3, "no pairs of numbers"),
        ([None], "no pairs of numbers"),
        ({}, "no pairs of numbers"),
        ([0, 0, 1, float("nan"), 2, 2], "not finite"),
    ],
)
def test_what_are_no_points(values, message):
    with pytest.raises(ValueError, match=message):
        points_of(values)


@pytest.mark.parametrize("shape", [Polygon, Corners, Outline])
def test_what_lies_far_outside_is_refused_and_not_drawn_forever(shape):
    far = points_of([0, 0, 1e9, 0, 1e9, 1e9])
    given = {Polygon: (1, (far,)), Corners: (1, far), Outline: (1, "polygon", far)}[shape]
    with pytest.raises(ValueError, match="points far outside the picture"):
        filled(shape(*given))


def test_ellipses_and_turned_rectangles():
    labels = filled(Polygon(1, (ellipse_points((5, 4), (4, 2)),)))
    assert (labels[4, 1:9].all(), labels[1, 5], labels[4, 0]) == (True, 0, 0)
    upright = filled(Polygon(1, (ellipse_points((5, 4), (4, 2), 90),)))
    assert (upright[:, 5].all(), upright[4, 1]) == (True, 0)
    square = turned(points_of([0, 0, 2, 0, 2, 2, 0, 2]), (0.0, 0.0), 90)
    np.testing.assert_allclose(square, [[0, 0], [0, 2], [-2, 2], [-2, 0]], atol=1e-9)  # clockwise as seen
