from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from edgeseg.errors import InputError, ModelError
from edgeseg.refine.base import probabilities_of
from edgeseg.refine.crf import CrfParams, CrfRefiner, DenseCrf
from edgeseg.refine.guided import GuidedRefiner
from edgeseg.refine.registry import REFINERS, open_refiner
from edgeseg.runtime.postprocess import to_labels


def disc(size=(64, 96), noise=0.0, seed=0):
    """A picture of a disc on another ground, its labels, and probabilities of them, upsampled from stride 16."""
    y, x = np.mgrid[: size[0], : size[1]]
    truth = (((y - size[0] / 2) ** 2 + (x - size[1] / 2) ** 2) < (min(size) / 3) ** 2).astype(np.uint8)
    rng = np.random.default_rng(seed)
    image = np.array([[70, 90, 110], [120, 100, 60]])[truth] + rng.integers(-3, 4, (*size, 3))
    blocks = truth.reshape(size[0] // 16, 16, size[1] // 16, 16).mean(axis=(1, 3))
    logits = np.stack([-blocks, blocks])[np.newaxis].astype(np.float32) * 3
    logits += noise * rng.standard_normal(logits.shape).astype(np.float32)
    return image.astype(np.uint8), truth, probabilities_of(logits + np.float32([1.5, -1.5])[:, None, None], size)


def test_probabilities_are_the_softmax_of_upsampled_logits():
    rng = np.random.default_rng(0)
    logits = (rng.standard_normal((1, 4, 3, 5)) * 4).astype(np.float32)
    rows, columns = ((np.arange(24) + 0.5) / 8 - 0.5, (np.arange(35) + 0.5) / 7 - 0.5)
    full = np.apply_along_axis(lambda v: np.interp(rows, np.arange(3), v), 1, logits[0].astype(np.float64))
    full = np.apply_along_axis(lambda v: np.interp(columns, np.arange(5), v), 2, full)
    probabilities = probabilities_of(logits, (24, 35))
    assert probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities, np.exp(full) / np.exp(full).sum(axis=0), atol=1e-5)
    np.testing.assert_allclose(probabilities.sum(axis=0), 1, atol=1e-6)


@pytest.mark.parametrize("classes", [1, 2, 255])
def test_probabilities_name_the_labels_that_the_logits_name(classes):
    logits = np.random.default_rng(1).standard_normal((1, classes, 6, 7)).astype(np.float32)
    labels = probabilities_of(logits, (48, 50)).argmax(axis=0)
    assert (labels == to_labels(logits, (48, 50))).mean() > 0.999


def test_large_logits_do_not_overflow():
    probabilities = probabilities_of(np.float32([[[[2000.0]], [[-2000.0]]]]), (2, 2))
    np.testing.assert_array_equal(probabilities, [[[1, 1], [1, 1]], [[0, 0], [0, 0]]])


@pytest.mark.parametrize("name", list(REFINERS))
def test_refinement_brings_labels_to_the_edges_of_the_picture(name, tiny_spec):
    image, truth, probabilities = disc()
    before = (probabilities.argmax(axis=0) != truth).sum()
    scores = open_refiner(name, tiny_spec, threads=1)(probabilities, image)
    assert scores.shape == probabilities.shape
    assert scores.dtype == np.float32
    after = (scores.argmax(axis=0) != truth).sum()
    assert before > 100
    assert after < before / 3


def test_the_crf_takes_the_parameters_of_the_model_or_the_defaults(tiny_spec):
    image, _, probabilities = disc(noise=1.0)
    own = CrfParams(bilateral_sigma_xy_px=20, bilateral_sigma_rgb=5, bilateral_weight=2, iterations=2)
    for spec, params in ((tiny_spec, CrfParams()), (replace(tiny_spec, crf=own), own)):
        expected = DenseCrf(64, 96, 2, params, threads=1).marginals(probabilities, image)
        np.testing.assert_allclose(open_refiner("crf", spec, 1)(probabilities, image), expected, atol=1e-5)


def test_a_crf_refiner_takes_images_of_several_sizes_in_turn():
    refiner = CrfRefiner(threads=1)
    for size in ((64, 96), (32, 48), (64, 96)):
        image, _, probabilities = disc(size)
        expected = DenseCrf(*size, 2, threads=1).marginals(probabilities, image)
        np.testing.assert_allclose(refiner(probabilities, image), expected, atol=1e-5)


def test_a_wider_guided_filter_removes_larger_mistakes():
    image, truth, probabilities = disc(noise=2.0)
    errors = [
        (GuidedRefiner(radius_px, 1e-4, threads=1)(probabilities, image).argmax(axis=0) != truth).sum()
        for radius_px in (2, 16)
    ]
    assert errors[1] < errors[0] / 2


@pytest.mark.parametrize("arguments", [{"radius_px": 0}, {"epsilon": 0.0}, {"epsilon": float("nan")}])
def test_a_guided_filter_without_width_or_smoothness_is_refused(arguments):
    with pytest.raises(InputError, match="radius_px is"):
        GuidedRefiner(**arguments)


def test_none_is_none_and_unknown_names_are_refused(tiny_spec):
    assert open_refiner("none", tiny_spec) is None
    with pytest.raises(
        InputError, match=r"there is no refinement 'sharpen'\. Use one of none, crf, crf-accurate, guided"
    ):
        open_refiner("sharpen", tiny_spec)


@pytest.mark.parametrize("name", list(REFINERS))
def test_a_model_that_returns_labels_cannot_be_refined(name, tiny_spec):
    with pytest.raises(ModelError, match="--head logits"):
        open_refiner(name, replace(tiny_spec, output="labels", stride=1))


def test_a_model_that_cannot_be_refined_is_told_before_it_runs(tiny_spec):
    one = replace(tiny_spec, class_names=("all",), colors=())
    huge = replace(tiny_spec, class_names=tuple(map(str, range(200))), colors=(), input_size=(4096, 8192))
    for spec, message in ((one, "has one class"), (huge, "200 classes at 8192x4096 are too much to refine")):
        for name in ("crf", "guided"):
            with pytest.raises(ModelError, match=message):
                open_refiner(name, spec)


def test_the_guided_filter_refuses_arrays_that_it_is_not_for():
    refiner = GuidedRefiner(threads=1)
    image = np.zeros((8, 12, 3), np.uint8)
    good = np.full((2, 8, 12), 0.5, np.float32)
    shifted = np.zeros(good.nbytes + 1, np.uint8)[1:].view(np.float32).reshape(good.shape)
    shifted[:] = good
    np.testing.assert_array_equal(refiner(shifted, image), refiner(good, image))
    for wrong in (good[0], good[:, :4], good.astype(np.float64), good.astype(np.uint8)):
        with pytest.raises(InputError, match="probabilities have shape"):
            refiner(wrong, image)
    with pytest.raises(InputError, match="image"):
        refiner(good, image[..., 0])


@pytest.mark.parametrize(
    "arguments", [{"radius_px": 0}, {"radius_px": 1 << 20}, {"epsilon": math.nan}, {"threads": -1}]
)
def test_a_guided_filter_that_cannot_be_is_refused(arguments):
    with pytest.raises(InputError):
        GuidedRefiner(**arguments)
