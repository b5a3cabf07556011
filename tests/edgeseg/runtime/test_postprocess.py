from __future__ import annotations

import numpy as np
import pytest

from edgeseg.runtime.postprocess import to_labels


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
