from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from edgeseg import Segmenter
from edgeseg.errors import InputError, ModelError
from edgeseg.spec.crf_params import CrfParams


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


def ellipse(size):
    """A green ellipse on a red ground, its edge across the model's blocks, and its labels."""
    y, x = np.mgrid[: size[0], : size[1]] + 0.5
    inside = (x / size[1] - 0.5) ** 2 / 0.09 + (y / size[0] - 0.5) ** 2 / 0.06 < 1
    return np.array([[120, 80, 80], [80, 120, 80]], np.uint8)[inside.astype(int)], inside.astype(np.uint8)


@pytest.mark.parametrize("refine", ["crf", "guided"])
@pytest.mark.parametrize("size", [(32, 48), (64, 96), (47, 33)])
def test_refined_labels_follow_the_edges_of_the_picture(tiny_onnx, refine, size):
    image, truth = ellipse(size)
    before = Segmenter.open(tiny_onnx, threads=1)(image).labels
    segmentation = Segmenter.open(tiny_onnx, threads=1, refine=refine)(image)
    assert segmentation.labels.shape == size
    assert (segmentation.labels != truth).mean() < 0.6 * (before != truth).mean()
    assert list(segmentation.latency_ms) == ["preprocess", "infer", "refine", "postprocess"]
    assert all(value > 0 for value in segmentation.latency_ms.values())


def test_the_crf_uses_the_parameters_in_the_artifact(tmp_path, write_onnx, tiny_spec):
    image, _ = ellipse((32, 48))
    weak = replace(tiny_spec, crf=CrfParams(bilateral_weight=0, spatial_weight=0)).to_json()
    artifact = write_onnx(tmp_path / "weak.onnx", spec_json=weak)
    alone, refined = (Segmenter.open(artifact, refine=refine)(image).labels for refine in ("none", "crf"))
    assert (alone == refined).mean() > 0.999  # a CRF without weight leaves the labels alone


def test_a_refiner_of_ones_own_sees_the_image_at_the_input_size_and_decides(tiny_onnx):
    seen = []

    def swap_red_and_blue(probabilities, image):
        seen.append((probabilities, image))
        return probabilities[::-1]

    image, truth = stripes(64, 96)
    segmentation = Segmenter.open(tiny_onnx, refine=swap_red_and_blue)(image)
    ((probabilities, small),) = seen
    assert probabilities.shape == (3, 32, 48)
    np.testing.assert_allclose(probabilities.sum(axis=0), 1, atol=1e-5)
    np.testing.assert_array_equal(small, stripes(32, 48)[0])
    assert (segmentation.labels == 2 - truth).mean() > 0.9


@pytest.mark.parametrize("refine", ["crf", "guided", lambda probabilities, image: probabilities])
def test_a_model_that_returns_labels_cannot_be_refined(tiny_labels_onnx, refine):
    with pytest.raises(ModelError, match=r"the model returns labels.*--head logits"):
        Segmenter.open(tiny_labels_onnx, refine=refine)


def test_an_unknown_refinement_is_refused(tiny_onnx):
    with pytest.raises(InputError, match="no refinement 'crff'"):
        Segmenter.open(tiny_onnx, refine="crff")


def test_the_image_is_left_alone_and_any_layout_is_taken(tiny_onnx):
    image, truth = stripes(32, 48)
    kept = image.copy()
    segmenter = Segmenter.open(tiny_onnx)
    mirrored = segmenter(image[:, ::-1]).labels
    np.testing.assert_array_equal(image, kept)
    assert (mirrored == truth[:, ::-1]).mean() > 0.9


@pytest.mark.parametrize("refine", ["none", "crf", "guided"])
def test_results_are_independent_of_each_other_and_of_threads(tiny_onnx, refine):
    images = [np.roll(stripes(40, 60)[0], shift, axis=1) for shift in range(0, 60, 5)]
    with Segmenter.open(tiny_onnx, threads=1, refine=refine) as segmenter:
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
