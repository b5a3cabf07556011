from __future__ import annotations

import numpy as np

from edgeseg.runtime.preprocess import to_input


def test_an_image_that_fits_is_not_copied():
    image = np.zeros((4, 6, 3), np.uint8)
    images = to_input(image, (4, 6))
    assert images.shape == (1, 4, 6, 3)
    assert np.shares_memory(images, image)


def test_shrinking_averages_over_areas():
    image = np.zeros((8, 8, 3), np.uint8)
    image[::4] = 200  # one row in four: bilinear sampling would miss it or take it whole
    assert np.unique(to_input(image, (2, 2))).tolist() == [50]


def test_enlarging_is_smooth():
    image = np.zeros((2, 2, 3), np.uint8)
    image[:, 1] = 100
    row = to_input(image, (2, 8))[0, 0, :, 0].astype(int)
    assert (np.diff(row) >= 0).all()
    assert len(set(row.tolist())) > 2


def test_any_size_and_any_memory_layout():
    image = np.random.default_rng(0).integers(0, 256, (40, 31, 3), dtype=np.uint8)
    mirrored = image[:, ::-1]
    np.testing.assert_array_equal(to_input(mirrored, (7, 50)), to_input(mirrored.copy(), (7, 50)))
    assert to_input(image[:1, :1], (7, 50)).shape == (1, 7, 50, 3)
