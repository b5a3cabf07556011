"""Tiles: what a network says of them is what it says of the whole picture, where it sees no edges."""

from __future__ import annotations

import numpy as np
import pytest

from edgeseg.runtime.preprocess import to_canvas
from edgeseg.runtime.tiles import AT_A_TIME, infer_tiles
from edgeseg.spec import ModelSpec

SPEC = ModelSpec(network="means", class_names=("r", "g", "b"), input_size=(32, 48), stride=8, fit="tile")
LABELS = ModelSpec(network="means", class_names=("r", "g", "b"), input_size=(32, 48), output="labels", fit="tile")


def means(images):
    """(N, 3, h, w) means over 8x8 pixels: a network whose cells do not see their neighbours, nor a tile's edge."""
    count, height, width, _ = images.shape
    cells = images.reshape(count, height // 8, 8, width // 8, 8, 3).mean(axis=(2, 4), dtype=np.float64)
    return cells.transpose(0, 3, 1, 2).astype(np.float32)


def brightest(images):
    return images.argmax(axis=-1).astype(np.uint8)


def noise(*size):
    return np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)


@pytest.mark.parametrize("size", [(32, 48), (33, 49), (100, 48), (301, 402), (10, 10), (5, 300)])
def test_a_network_that_sees_no_edges_says_of_tiles_what_it_says_of_the_whole(size):
    canvas = to_canvas(noise(*size), SPEC.place(size))
    whole = means(canvas[np.newaxis])[0]
    logits = infer_tiles(means, canvas, SPEC)
    assert logits.dtype == np.float32
    np.testing.assert_allclose(logits, whole, rtol=1e-5)
    canvas = to_canvas(noise(*size), LABELS.place(size))
    np.testing.assert_array_equal(infer_tiles(brightest, canvas, LABELS), brightest(canvas))


def test_an_overlap_is_a_ramp_from_one_tile_to_the_next():
    """Two tiles that say 0 and 1: between them their logits go in even steps, on either side they are one's own."""
    canvas = np.zeros((32, 80, 3), np.uint8)  # tiles at 0 and 32, 16 pixels or two cells in common
    canvas[:, :] = 7
    calls = []

    def infer(images):
        calls.append(len(images))
        return np.stack([np.full((3, 4, 6), index, np.float32) for index in range(len(images))])

    logits = infer_tiles(infer, canvas, SPEC)
    np.testing.assert_allclose(logits[0, 0], [0, 0, 0, 0, 0.25, 0.75, 1, 1, 1, 1], atol=1e-6)
    assert calls == [2]


@pytest.mark.parametrize(("most", "step"), [(None, AT_A_TIME), (1, 1), (3, 3), (100, AT_A_TIME)])
def test_tiles_pass_the_network_in_parts(most, step):
    canvas = to_canvas(noise(200, 300), SPEC.place((200, 300)))
    calls = []

    def infer(images):
        calls.append(len(images))
        return means(images)

    logits = infer_tiles(infer, canvas, SPEC, most)
    np.testing.assert_allclose(logits, means(canvas[np.newaxis])[0], rtol=1e-5)
    assert set(calls[:-1]) == {step}
    assert 1 <= calls[-1] <= step
