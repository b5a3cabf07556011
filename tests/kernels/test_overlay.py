"""edgeseg._native.overlay against NumPy."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from edgeseg._native import overlay

ImageU8 = NDArray[np.uint8]

pytestmark = pytest.mark.any_version

COLORS = np.random.default_rng(9).integers(0, 256, (256, 3), dtype=np.uint8)


def frame(height: int, width: int, seed: int = 0) -> tuple[ImageU8, ImageU8]:
    """A random image, and labels with some of every class and some ignored."""
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    return image, rng.integers(0, 256, (height, width), dtype=np.uint8)


def exact(image: ImageU8, labels: ImageU8, opacity: float) -> NDArray[np.float64]:
    blended = image * (1.0 - opacity) + COLORS[labels] * opacity
    return np.where((labels == 255)[..., None], image, blended)


@pytest.mark.parametrize("threads", [0, 1, 2])
@pytest.mark.parametrize("size", [(1, 1), (1, 2), (3, 171), (1, 513), (37, 41), (360, 480)])
@pytest.mark.parametrize("opacity", [0.0, 0.3, 0.5, 0.999, 1.0])
def test_is_the_rounded_blend(size: tuple[int, int], opacity: float, threads: int) -> None:
    image, labels = frame(*size)
    blended = overlay(image, labels, COLORS, opacity, threads)
    assert blended.dtype == np.uint8
    assert blended.shape == image.shape
    # Rounding costs a half, and the opacity's 14 bits less than a hundredth.
    assert np.abs(blended - exact(image, labels, opacity)).max() < 0.51


def test_opacity_0_is_the_image_and_1_the_colours() -> None:
    image, labels = frame(50, 60)
    np.testing.assert_array_equal(overlay(image, labels, COLORS, 0.0), image)
    kept = (labels == 255)[..., None]
    np.testing.assert_array_equal(overlay(image, labels, COLORS, 1.0), np.where(kept, image, COLORS[labels]))


def test_every_pair_of_bytes() -> None:
    image = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, axis=1)[:, None].repeat(255, axis=1)
    labels = np.broadcast_to(np.arange(255, dtype=np.uint8), (256, 255)).copy()
    colors = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, axis=1)
    blended = overlay(image, labels, colors, 0.37)
    assert np.abs(blended - (image * 0.63 + colors[labels] * 0.37)).max() < 0.51


def test_ignored_pixels_stay() -> None:
    image, _ = frame(20, 30)
    labels = np.full((20, 30), 255, np.uint8)
    np.testing.assert_array_equal(overlay(image, labels, COLORS, 0.8), image)


def test_out_is_written_and_returned_and_may_be_the_image() -> None:
    image, labels = frame(70, 80)
    expected = overlay(image, labels, COLORS, 0.4)
    out = np.zeros_like(image)
    assert overlay(image, labels, COLORS, 0.4, out=out) is out
    np.testing.assert_array_equal(out, expected)
    assert overlay(image, labels, COLORS, 0.4, out=image) is image
    np.testing.assert_array_equal(image, expected)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image": np.zeros((8, 9, 4), np.uint8)}, r"image must be \(H, W, 3\) uint8.*got \(8, 9, 4\) uint8"),
        ({"image": np.zeros((8, 9, 3), np.float32)}, "image must be .* got .* float32"),
        ({"image": np.zeros((8, 9, 3), np.uint8)[:, :, ::-1]}, "image must be .* not C-contiguous"),
        ({"image": np.zeros((0, 9, 3), np.uint8)}, "no side empty"),
        ({"labels": np.zeros((9, 8), np.uint8)}, "labels must be .* got .9, 8. uint8"),
        ({"labels": np.zeros((8, 9), bool)}, "labels must be .* got .8, 9. bool"),
        ({"colors": np.zeros((11, 3), np.uint8)}, r"colors must be \(256, 3\)"),
        ({"opacity": -0.1}, "opacity"),
        ({"opacity": 1.1}, "opacity"),
        ({"opacity": float("nan")}, "opacity"),
        ({"threads": -1}, "threads"),
        ({"out": np.zeros((8, 9), np.uint8)}, "out must be"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(change: dict[str, object], message: str) -> None:
    arguments: dict[str, object] = {
        "image": np.zeros((8, 9, 3), np.uint8),
        "labels": np.zeros((8, 9), np.uint8),
        "colors": COLORS,
        "opacity": 0.5,
    }
    with pytest.raises(ValueError, match=message):
        overlay(**(arguments | change))  # type: ignore[arg-type]
