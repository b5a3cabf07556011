from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from edgeseg import Segmenter
from edgeseg.errors import InputError, ModelError


def stripes(height, width):
    """Red, green and blue thirds side by side, and the labels a perfect model gives."""
    labels = np.repeat(np.arange(3, dtype=np.uint8), width // 3)[np.newaxis].repeat(height, axis=0)
    return (np.eye(3, dtype=np.uint8) * 220)[labels], labels


@pytest.mark.parametrize("size", [(32, 48), (96, 144), (17, 33), (480, 30)])
@pytest.mark.parametrize("model", ["tiny_onnx", "tiny_labels_onnx"])
def test_labels_come_at_the_size_of_the_image(request, model, size):
    image, truth = stripes(*size)
    segmentation = Segmenter.open(request.getfixturevalue(model))(image)
    assert segmentation.labels.shape == size
    assert segmentation.labels.dtype == np.uint8
    assert (segmentation.labels == truth).mean() > 0.9  # edges are blurred to the stride
    assert segmentation.spec.class_names == ("red", "green", "blue")


def test_latency_of_each_step_is_told(tiny_onnx):
    latency_ms = Segmenter.open(tiny_onnx)(stripes(60, 90)[0]).latency_ms
    assert list(latency_ms) == ["preprocess", "infer", "postprocess"]
    assert all(value > 0 for value in latency_ms.values())


def test_the_image_is_left_alone_and_any_layout_is_taken(tiny_onnx):
    image, truth = stripes(32, 48)
    kept = image.copy()
    segmenter = Segmenter.open(tiny_onnx)
    mirrored = segmenter(image[:, ::-1]).labels
    np.testing.assert_array_equal(image, kept)
    assert (mirrored == truth[:, ::-1]).mean() > 0.9


def test_results_are_independent_of_each_other_and_of_threads(tiny_onnx):
    images = [np.roll(stripes(40, 60)[0], shift, axis=1) for shift in range(0, 60, 5)]
    with Segmenter.open(tiny_onnx, threads=1) as segmenter:
        alone = [segmenter(image).labels for image in images]
        with ThreadPoolExecutor(4) as pool:
            together = list(pool.map(lambda image: segmenter(image).labels, images * 5))
    for index, labels in enumerate(together):
        np.testing.assert_array_equal(labels, alone[index % len(images)])


def test_bad_images_are_refused(tiny_onnx):
    with pytest.raises(InputError, match="float32"):
        Segmenter.open(tiny_onnx)(np.zeros((4, 4, 3), np.float32))


def test_closed_is_closed(tiny_onnx):
    with Segmenter.open(tiny_onnx) as segmenter:
        pass
    segmenter.close()
    with pytest.raises(ModelError, match="closed"):
        segmenter(np.zeros((4, 4, 3), np.uint8))


def test_an_unknown_model_is_refused():
    with pytest.raises(ModelError, match="there is no model"):
        Segmenter.open("no_such_net")
