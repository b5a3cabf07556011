"""The fast guided filter against one that fits a ridge regression in each window, pixel by pixel."""

from __future__ import annotations

import numpy as np
import pytest

from edgeseg.refine.guided import SUBSAMPLING, guided_filter


def interpolate(array, size):
    """Bilinear along the last two axes, half-pixel centres, the border repeated."""
    for axis, length in zip((-2, -1), size, strict=True):
        old = array.shape[axis]
        centres = (np.arange(length) + 0.5) * old / length - 0.5
        array = np.apply_along_axis(lambda row, c=centres, n=old: np.interp(c, np.arange(n), row), axis, array)
    return array


def windows(array, radius):
    """(…, h, w, n): the n values around each pixel, mirrored at the border."""
    pad = [(0, 0)] * (array.ndim - 2) + [(radius, radius)] * 2
    side = 2 * radius + 1
    view = np.lib.stride_tricks.sliding_window_view(np.pad(array, pad, mode="symmetric"), (side, side), axis=(-2, -1))
    return view.reshape(*array.shape, side * side)


def slow_guided_filter(values, image, radius, epsilon, subsampling):
    """Eq. 5 of the paper minimised in each window: sum of (a I + b - p)^2 + epsilon |a|^2."""
    height, width = image.shape[:2]
    small = (-(-height // subsampling), -(-width // subsampling))
    colors = image.transpose(2, 0, 1) / 255.0
    guide, planes = interpolate(colors, small), interpolate(values.astype(np.float64), small)
    radius = max(1, round(radius / subsampling))
    guide_windows, plane_windows = windows(guide, radius), windows(planes, radius)
    functions = np.empty((len(values), 4, *small))
    for y, x in np.ndindex(*small):
        regressors = np.column_stack([guide_windows[:, y, x].T, np.ones(guide_windows.shape[-1])])
        penalty = np.diag([epsilon * len(regressors)] * 3 + [0])
        normal = regressors.T @ regressors + penalty
        functions[:, :, y, x] = np.linalg.solve(normal, regressors.T @ plane_windows[:, y, x].T).T
    functions = interpolate(windows(functions, radius).mean(axis=-1), (height, width))
    return (functions[:, :3] * colors).sum(axis=1) + functions[:, 3]


def random_case(size, classes=3, seed=0):
    rng = np.random.default_rng(seed)
    probabilities = rng.dirichlet(np.ones(classes), size).transpose(2, 0, 1).astype(np.float32)
    return probabilities, rng.integers(0, 256, (*size, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    ("size", "radius", "epsilon"), [((20, 26), 4, 1e-2), ((21, 17), 6, 1e-3), ((12, 12), 1, 1e-1), ((5, 30), 30, 1e-4)]
)
def test_agrees_with_a_regression_in_each_window(size, radius, epsilon):
    values, image = random_case(size)
    expected = slow_guided_filter(values, image, radius, epsilon, SUBSAMPLING)
    np.testing.assert_allclose(guided_filter(values, image, radius, epsilon), expected, atol=2e-4)


def test_subsampling_changes_little_where_values_vary_slowly():
    image = np.repeat(np.repeat(random_case((6, 8))[1], 8, axis=0), 8, axis=1)  # patches of 8x8 pixels
    values = interpolate(random_case((6, 8))[0], (48, 64)).astype(np.float32)  # logits at stride 8, upsampled
    exact = slow_guided_filter(values, image, 4, 1e-3, subsampling=1)
    assert np.abs(guided_filter(values, image, 4, 1e-3) - exact).mean() < 0.01
    assert np.abs(values - exact).mean() > 0.03


def test_a_blurred_border_moves_to_the_edge_of_the_picture():
    image = np.full((32, 48, 3), (60, 90, 60), np.uint8)
    image[:, 21:] = (110, 90, 70)
    right = np.clip((np.arange(48, dtype=np.float32) - 16) / 16, 0, 1)  # crosses one half at 24, not at 21
    values = np.stack([1 - right, right])[:, np.newaxis].repeat(32, axis=1)
    labels = guided_filter(values, image, 8, 1e-4).argmax(axis=0)
    assert (labels == (np.arange(48) >= 21)).all()
    assert not (values.argmax(axis=0) == (np.arange(48) >= 21)).all()


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (7, 2), (33, 64)])
@pytest.mark.parametrize("epsilon", [1e-5, 1.0])
def test_probabilities_still_sum_to_one_whatever_the_picture(size, epsilon):
    values, image = random_case(size, classes=5)
    for picture in (image, np.zeros_like(image), image[..., :1].repeat(3, axis=2)):
        filtered = guided_filter(values, picture, 4, epsilon)
        assert filtered.dtype == np.float32
        np.testing.assert_allclose(filtered.sum(axis=0), 1, atol=1e-3)


def test_threads_and_memory_layout_do_not_matter():
    values, image = random_case((30, 40), classes=7)
    expected = guided_filter(values, image, 4, 1e-3)
    np.testing.assert_array_equal(guided_filter(values, image, 4, 1e-3, threads=4), expected)
    strided = np.ascontiguousarray(values.transpose(1, 2, 0)).transpose(2, 0, 1)
    mirrored = np.ascontiguousarray(image[:, ::-1])[:, ::-1]
    np.testing.assert_array_equal(guided_filter(strided, mirrored, 4, 1e-3), expected)
