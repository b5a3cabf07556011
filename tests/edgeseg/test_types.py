from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from edgeseg.errors import InputError
from edgeseg.spec import ModelSpec
from edgeseg.types import Frame, Segmentation, check_image

SPEC = ModelSpec("n", ("a", "b"), ((10, 20, 30), (40, 50, 60)))
LABELS = np.array([[0, 1, 1, 255]], dtype=np.uint8)


def test_class_areas_are_fractions_of_the_image():
    assert Segmentation(LABELS, SPEC).class_areas() == {"a": 0.25, "b": 0.5}


def test_class_areas_are_counted_once_whoever_asks():
    """What is counted when the first one asks is told to all; what they do with it is theirs."""
    segmentation = Segmentation(LABELS.copy(), SPEC)
    with ThreadPoolExecutor(4) as sinks:
        first = list(sinks.map(lambda _: segmentation.class_areas(), range(8)))
    segmentation.labels[:] = 0  # who counted again would see it
    first[0].clear()
    assert segmentation.class_areas() == first[1] == {"a": 0.25, "b": 0.5}
    assert Segmentation(segmentation.labels, SPEC).class_areas() == {"a": 1.0, "b": 0.0}


def test_segmentation_colours_with_the_models_palette():
    expected = [[[10, 20, 30], [40, 50, 60], [40, 50, 60], [0, 0, 0]]]
    assert Segmentation(LABELS, SPEC).colorize().tolist() == expected


def test_frame_size_is_height_then_width():
    assert Frame(np.zeros((4, 6, 3), np.uint8), index=0, captured_s=0.0).size == (4, 6)


def test_any_image_with_a_pixel_passes():
    check_image(np.zeros((1, 1, 3), np.uint8))


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((4, 6), np.uint8),
        np.zeros((4, 6, 4), np.uint8),
        np.zeros((4, 6, 3), np.float32),
        np.zeros((0, 6, 3), np.uint8),
        np.zeros((1, 4, 6, 3), np.uint8),
        "street.png",
        None,
    ],
)
def test_anything_else_is_refused(image):
    with pytest.raises(InputError, match="uint8 RGB"):
        check_image(image)
