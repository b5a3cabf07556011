from __future__ import annotations

import numpy as np
import pytest

from edgeseg.runtime.postprocess import placed_labels, placed_values, to_labels
from edgeseg.runtime.preprocess import labels_to_canvas
from edgeseg.spec.placement import place


def test_logits_become_the_class_of_the_largest_at_any_size():
    logits = np.zeros((1, 3, 2, 2), np.float32)
    logits[0, 2, :, 1] = 1  # class 2 on the right; elsewhere all are equal and the first wins
    labels = to_labels(logits, (6, 8))
    assert labels.shape == (6, 8)
    assert labels.dtype == np.uint8
    assert (labels[:, :2] == 0).all()
    assert (labels[:, 6:] == 2).all()


def test_logits_may_lie_anywhere_in_memory():
    logits = np.random.default_rng(2).standard_normal((1, 3, 4, 5), np.float32)
    moved = np.zeros(logits.nbytes + 1, np.uint8)[1:].view(np.float32).reshape(logits.shape)
    moved[:] = logits
    assert not moved.flags.aligned
    np.testing.assert_array_equal(to_labels(moved, (9, 11)), to_labels(logits, (9, 11)))
    np.testing.assert_array_equal(to_labels(np.asfortranarray(logits), (9, 11)), to_labels(logits, (9, 11)))


def test_labels_are_enlarged_without_a_shift():
    labels = np.array([[[0, 1, 2], [3, 4, 5]]], np.uint8)
    np.testing.assert_array_equal(to_labels(labels, (6, 9)), np.kron(labels[0], np.ones((3, 3), np.uint8)))


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (31, 17)])
def test_labels_take_the_value_of_the_pixel_at_the_centre(size):
    # odd sizes: no centre falls on the border between two pixels
    labels = np.random.default_rng(1).integers(0, 9, (1, 11, 15), dtype=np.uint8)
    rows, columns = (((np.arange(n) + 0.5) * full / n).astype(int) for n, full in zip(size, (11, 15), strict=True))
    np.testing.assert_array_equal(to_labels(labels, size), labels[0][np.ix_(rows, columns)])


FITS = ("stretch", "letterbox", "crop", "tile")


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("size", [(90, 61), (61, 200), (64, 96), (20, 20), (333, 128)])
def test_an_edge_comes_back_to_the_pixel_it_was_at(fit, size):
    """Logits at stride 8 that change over where the edge lies on the canvas, between its pixels as it may."""
    placement = place(fit, size, (64, 96), cell=8)
    for axis in (0, 1):
        box = (placement.seen.top, placement.seen.bottom), (placement.seen.left, placement.seen.right)
        begin, end = box[axis]
        start, stop, whole = placement.spans[axis]
        centres = (np.arange(whole // 8) + 0.5) * 8
        inside = centres[(centres >= start) & (centres <= stop)]
        for edge in range(begin + 1, end):
            on_canvas = start + (edge - begin) * (stop - start) / (end - begin)
            if not inside[0] < on_canvas < inside[-1]:
                continue  # the nearest logit is held there
            logits = np.zeros((1, 2, placement.canvas[0] // 8, placement.canvas[1] // 8), np.float32)
            logits[0, 1] = (centres - on_canvas)[:, None] if axis == 0 else centres - on_canvas
            labels = placed_labels(logits, placement)
            expected = np.full(size, 255, np.uint8)
            expected[placement.seen.slices] = 0
            after = expected[edge:] if axis == 0 else expected[:, edge:]
            after[after == 0] = 1
            np.testing.assert_array_equal(labels, expected)


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("size", [(90, 61), (61, 200), (64, 96), (20, 20), (200, 310)])
def test_labels_that_are_laid_before_the_network_come_back_within_half_a_pixel(fit, size):
    placement = place(fit, size, (64, 96))
    scale = placement.seen.size[1] / placement.window.size[1]
    for edge in range(placement.seen.left + 1, placement.seen.right, 7):
        labels = np.zeros(size, np.uint8)
        labels[:, edge:] = 1
        back = placed_labels(labels_to_canvas(labels, placement)[np.newaxis], placement)
        seen = back[placement.seen.slices]
        assert (np.delete(back, np.s_[placement.seen.left : placement.seen.right], axis=1) == 255).all()
        assert (seen == seen[:1]).all()
        # Half a pixel of the canvas, and half of one of the picture; none where the canvas is no smaller.
        moved = abs(int((seen[0] == 0).sum()) + placement.seen.left - edge)
        assert moved <= (0.5 * scale + 0.5 if scale > 1 else 0)


@pytest.mark.parametrize("fit", ["stretch", "letterbox", "crop", "tile"])
@pytest.mark.parametrize("size", [(60, 40), (40, 90), (32, 48)])
def test_values_come_back_to_where_they_were(fit, size):
    """A slope down and across the picture, taken at the centres of a canvas's logits, is that slope again."""
    placement = place(fit, size, (32, 48), cell=4)
    height, width = placement.canvas[0] // 4, placement.canvas[1] // 4
    rows, columns = (np.arange(count)[:, None] * 4 + 2 for count in (height, width))
    down = (rows - placement.window.top) * placement.seen.size[0] / placement.window.size[0] + placement.seen.top
    across = (columns.T - placement.window.left) * placement.seen.size[1] / placement.window.size[1]
    values = placed_values((3 * down + (across + placement.seen.left)).astype(np.float32), placement)
    assert values.shape == size
    assert values.dtype == np.float32
    y, x = np.mgrid[: size[0], : size[1]] + 0.5
    seen = np.zeros(size, bool)
    seen[placement.seen.slices] = True
    border = 4 * max(
        placement.seen.size[0] / placement.window.size[0], placement.seen.size[1] / placement.window.size[1]
    )
    top, left, bottom, right = placement.seen.top, placement.seen.left, placement.seen.bottom, placement.seen.right
    inside = (y > top + border) & (y < bottom - border) & (x > left + border) & (x < right - border)
    assert inside.any()
    np.testing.assert_allclose(values[inside], (3 * y + x)[inside], rtol=1e-4)
    assert not values[~seen].any()
