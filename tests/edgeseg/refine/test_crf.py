"""What edgeseg.refine.crf takes, gives and refuses; tests/kernels/test_dense_crf.py has the arithmetic."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from edgeseg.errors import EdgesegError, InputError
from edgeseg.refine.crf import BilateralTerm, CrfParams, DenseCrf, SpatialTerm, refine

MILD = CrfParams(10, 20, 3, 2, 1)


def disc(classes=3, height=36, width=50, seed=0):
    """A disc on another ground, and what a network says that is right more often than not: probabilities and image."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    truth = (np.hypot(y - height / 2, x - width / 2) < height / 3).astype(int)
    image = np.array([[60, 90, 120], [160, 110, 70]])[truth] + rng.integers(-5, 6, (height, width, 3))
    powers = np.exp(1.5 * (truth == np.arange(classes)[:, None, None]) + rng.standard_normal((classes, height, width)))
    return (powers / powers.sum(axis=0)).astype(np.float32), image.astype(np.uint8)


def test_labels_follow_the_edges_of_the_picture():
    probabilities, image = disc()
    truth = image[..., 0] > 110
    assert (probabilities.argmax(axis=0) != truth).mean() > 0.05
    assert (refine(probabilities, image) != truth).mean() < 0.01


def test_refine_gives_what_a_dense_crf_gives():
    probabilities, image = disc()
    crf = DenseCrf(36, 50, 3, MILD)
    labels = refine(probabilities, image, MILD)
    marginals = refine(probabilities, image, MILD, output="marginals")
    assert (labels.shape, labels.dtype) == ((36, 50), np.uint8)
    assert (marginals.shape, marginals.dtype) == ((3, 36, 50), np.float32)
    np.testing.assert_array_equal(labels, crf.labels(probabilities, image))
    np.testing.assert_array_equal(marginals, crf.marginals(probabilities, image))


def test_without_parameters_refine_takes_the_defaults():
    probabilities, image = disc()
    np.testing.assert_array_equal(
        refine(probabilities, image, output="marginals"), refine(probabilities, image, CrfParams(), output="marginals")
    )


def test_every_argument_of_refine_counts_in_every_call():
    """The CRF of the last call is kept: whatever changes must be noticed."""
    probabilities, image = disc()
    calls = [
        {"params": MILD},
        {"params": CrfParams(10, 20, 3, 2, 1.5)},
        {"params": CrfParams(10, 20, 3, 2, 1, iterations=2)},
        {"params": CrfParams(10, 20, 3, 2, 1, compatibility=((0, 2, 1), (1, 0, 1), (1, 3, 0)))},
        {"params": CrfParams(10, 20, 3, 2, 1, more_terms=(SpatialTerm(6, 1),))},
        {"params": MILD, "quality": "accurate"},
    ]
    fresh = [
        DenseCrf(36, 50, 3, call["params"], quality=call.get("quality", "fast")).marginals(probabilities, image)
        for call in calls
    ]
    for i, one in enumerate(fresh):
        for other in fresh[:i]:
            assert np.abs(one - other).max() > 1e-4
    for _ in range(2):
        for call, expected in zip(calls, fresh, strict=True):
            np.testing.assert_array_equal(refine(probabilities, image, output="marginals", **call), expected)
    small, small_image = np.ascontiguousarray(probabilities[:, :20]), image[:20]
    assert refine(small, small_image, MILD).shape == (20, 50)
    assert refine(probabilities, image, MILD).shape == (36, 50)


def test_results_and_inputs_are_the_callers():
    probabilities, image = disc()
    other, other_image = disc(seed=1)
    copies = probabilities.copy(), image.copy()
    crf = DenseCrf(36, 50, 3, MILD)
    first = crf.marginals(probabilities, image)
    kept = first.copy()
    crf.marginals(other, other_image)
    np.testing.assert_array_equal(first, kept)
    np.testing.assert_array_equal(probabilities, copies[0])
    np.testing.assert_array_equal(image, copies[1])


def misaligned(values):
    """A copy one byte beside where floats belong, as a view of a message's bytes may be."""
    moved = np.zeros(values.nbytes + 1, np.uint8)[1:].view(values.dtype).reshape(values.shape)
    moved[:] = values
    assert not moved.flags.aligned
    return moved


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda p, i: (p.transpose(1, 2, 0).copy().transpose(2, 0, 1), i), id="channels last"),
        pytest.param(lambda p, i: (np.asfortranarray(p), np.asfortranarray(i)), id="Fortran order"),
        pytest.param(lambda p, i: (np.repeat(p, 2, axis=2)[..., ::2], np.repeat(i, 2, axis=0)[::2]), id="strided"),
        pytest.param(lambda p, i: (p.astype(np.float64), i), id="float64"),
        pytest.param(lambda p, i: (p, i[..., ::-1].copy()[..., ::-1]), id="from BGR"),
        pytest.param(lambda p, i: (np.flip(np.flip(p, 1).copy(), 1), i), id="flipped"),
        pytest.param(lambda p, i: (misaligned(p), i), id="misaligned"),
        pytest.param(lambda p, i: (p.astype(p.dtype.newbyteorder()), i), id="foreign bytes"),
    ],
)
def test_layout_and_precision_in_memory_do_not_matter(change):
    probabilities, image = disc()
    changed = change(probabilities, image)
    np.testing.assert_array_equal(
        refine(*changed, MILD, output="marginals"), refine(probabilities, image, MILD, output="marginals")
    )


def test_half_precision_is_taken():
    """Halves sum to one within a thousandth or so."""
    probabilities, image = disc()
    halves = refine(probabilities.astype(np.float16), image, MILD, output="marginals")
    np.testing.assert_allclose(halves, refine(probabilities, image, MILD, output="marginals"), atol=0.02)


def test_read_only_arrays_are_taken():
    probabilities, image = disc()
    expected = refine(probabilities, image)
    probabilities.setflags(write=False)
    image.setflags(write=False)
    np.testing.assert_array_equal(refine(probabilities, image), expected)


def test_refine_may_be_called_from_many_threads():
    inputs = [disc(seed=seed, width=50 + 2 * (seed % 3)) for seed in range(6)]
    expected = [refine(*given, MILD, output="marginals", threads=2) for given in inputs]
    with ThreadPoolExecutor(4) as executor:
        for _ in range(3):
            results = executor.map(lambda given: refine(*given, MILD, output="marginals", threads=2), inputs)
            for got, alone in zip(results, expected, strict=True):
                np.testing.assert_array_equal(got, alone)


def with_pixel(value, at=(0, 3, 4)):
    probabilities, _ = disc()
    probabilities[at] = value
    return probabilities


@pytest.mark.parametrize(
    ("probabilities", "message"),
    [
        (with_pixel(np.nan), r"sum to nan.*after softmax, without NaN"),
        (with_pixel(np.inf), "inf.*after softmax"),
        (with_pixel(-np.inf), "-inf.*after softmax"),
        (with_pixel(-0.2), "are -0.2 to.*after softmax"),
        (with_pixel(0.9, np.s_[:, 3, 4]), "sum to .* to 2.7.*after softmax"),
        (with_pixel(0.0, np.s_[:, 3, 4]), "sum to 0 to.*after softmax"),
        (np.log(disc()[0]), "after softmax"),
        (disc()[0].astype(np.float64) * 1.02, "sum to 1.02"),
        ((disc()[0] * 255).astype(np.uint8), "dtype uint8.*Pass .* float32"),
        (np.zeros((3, 36, 50), np.int64), "dtype int64.*Pass .* float32"),
        (np.zeros((3, 36, 50), complex), "dtype complex128.*Pass .* float32"),
        (disc()[0][0], r"shape \(36, 50\).*Pass \(C, H, W\)"),
        (disc()[0][None], r"shape \(1, 3, 36, 50\).*Pass \(C, H, W\)"),
        (np.zeros((0, 36, 50), np.float32), r"shape \(0, 36, 50\)"),
        (np.zeros((3, 0, 50), np.float32), r"shape \(3, 0, 50\)"),
        (np.ones((1, 36, 50), np.float32), "for 2 classes or more"),
        (np.full((256, 36, 50), 1 / 256, np.float32), "the dense CRF has 256 classes. Use 2 to 255"),
        (disc()[0].transpose(1, 2, 0), "classes|sum|image"),
        (disc()[0].transpose(0, 2, 1), "image is 50x36, probabilities 36x50.*Resize"),
        (disc(height=18)[0], "image is 50x36, probabilities 50x18.*Resize"),
        ([[[1.0]], [[0.0]]], "are list.*NumPy array"),
        (None, "are NoneType.*NumPy array"),
    ],
)
def test_probabilities_that_are_none_are_refused(probabilities, message):
    with pytest.raises(InputError, match=message):
        refine(probabilities, disc()[1])


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (disc()[1][..., 0], "uint8 RGB"),
        (disc()[1][..., :1], "uint8 RGB"),
        (np.zeros((36, 50, 4), np.uint8), "uint8 RGB"),
        (disc()[1].astype(np.float32), "uint8 RGB"),
        (disc()[1][None], "uint8 RGB"),
        (disc(height=20)[1], "image is 50x20, probabilities 50x36.*Resize"),
        ("street.png", "uint8 RGB"),
        (None, "uint8 RGB"),
    ],
)
def test_images_that_do_not_fit_are_refused(image, message):
    with pytest.raises(InputError, match=message):
        refine(disc()[0], image)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"height": 0}, "height and width must be from 1 to 16384"),
        ({"width": -5}, "height and width must be from 1 to 16384"),
        ({"width": 16385}, "height and width must be from 1 to 16384"),
        ({"classes": 0}, "the dense CRF has 0 classes. Use 2 to 255"),
        ({"classes": 1}, "the dense CRF has 1 classes. Use 2 to 255"),
        ({"classes": 256}, "the dense CRF has 256 classes. Use 2 to 255"),
        ({"threads": -1}, "threads must be 0"),
        ({"height": 36.0}, "height is 36.0. Give a whole number"),
        ({"width": "50"}, "width is '50'. Give a whole number"),
        ({"classes": 2**31}, "classes is 2147483648. Give a whole number"),
        ({"threads": None}, "threads is None. Give a whole number"),
        ({"quality": "exact"}, "quality is 'exact'. Use one of fast, accurate"),
        ({"params": CrfParams(compatibility=((0, 1), (1, 0)))}, r"compatibility is for 2 classes, not 3"),
        ({"params": CrfParams(bilateral_sigma_xy_px=1e-5)}, "sigmas are too small"),
        ({"params": CrfParams(bilateral_sigma_xy_px=1e-37)}, "sigmas are too small"),
        ({"params": CrfParams(bilateral_sigma_rgb=1e-300)}, "sigmas must be finite and above 0"),
        ({"params": CrfParams(more_terms=(SpatialTerm(3, 1),) * 8)}, "at most 8 terms"),
        ({"params": CrfParams(more_terms=(BilateralTerm(3, 3, 1),) * 8)}, "at most 8 terms"),
    ],
)
@pytest.mark.filterwarnings("ignore:overflow:RuntimeWarning")
def test_a_crf_that_cannot_be_is_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        DenseCrf(**({"height": 36, "width": 50, "classes": 3} | arguments))


def test_a_crf_of_another_size_is_refused():
    probabilities, image = disc()
    with pytest.raises(InputError, match=r"shape \(3, 36, 50\)\. This CRF takes \(C, H, W\) = \(3, 36, 51\)"):
        DenseCrf(36, 51, 3).labels(probabilities, image)


def test_an_output_that_is_not_known_is_refused():
    with pytest.raises(InputError, match=r"output is 'scores'\. Use one of labels, marginals"):
        refine(*disc(), output="scores")


def test_a_refusal_is_a_value_error_and_leaves_the_next_call_alone():
    probabilities, image = disc()
    expected = refine(probabilities, image, MILD)
    for error_type in (ValueError, EdgesegError):
        with pytest.raises(error_type):
            refine(probabilities, image, MILD, quality="exact")
        with pytest.raises(error_type):
            refine(with_pixel(np.nan), image, MILD)
    np.testing.assert_array_equal(refine(probabilities, image, MILD), expected)


# Coming from pydensecrf: docs/dense_crf.md says what becomes of each of its arguments. Both approximate, each in its
# own way, so results agree as far as both are right.

VECTOR = np.array([-3, -1, -2], np.float32)
MATRIX = np.array([[0, 4, 2], [1, 0, 3], [2, 2, 0]], np.float32)


@pytest.mark.parametrize(
    ("add_theirs", "ours"),
    [
        (
            lambda d, image: d.addPairwiseGaussian(sxy=3, compat=2),
            CrfParams(bilateral_weight=0, spatial_sigma_px=3, spatial_weight=2),
        ),
        (
            lambda d, image: d.addPairwiseGaussian(sxy=(1.5, 8), compat=2),
            CrfParams(bilateral_weight=0, spatial_sigma_px=(1.5, 8), spatial_weight=2),
        ),
        (
            lambda d, image: d.addPairwiseBilateral(sxy=(8, 30), srgb=(20, 40, 60), rgbim=image, compat=2),
            CrfParams((8, 30), (20, 40, 60), 2, spatial_weight=0),
        ),
        (
            lambda d, image: d.addPairwiseGaussian(sxy=3, compat=VECTOR),
            CrfParams(bilateral_weight=0, spatial_sigma_px=3, spatial_weight=1, compatibility=np.diag(VECTOR)),
        ),
        (
            lambda d, image: d.addPairwiseGaussian(sxy=3, compat=MATRIX),
            CrfParams(bilateral_weight=0, spatial_sigma_px=3, spatial_weight=1, compatibility=(MATRIX + MATRIX.T) / 2),
        ),
    ],
    ids=["sxy", "sxy of x and y", "bilateral", "compat vector", "compat matrix"],
)
def test_what_pydensecrf_is_told_can_be_told_to_us(add_theirs, ours):
    densecrf = pytest.importorskip("pydensecrf.densecrf", reason="compares with it; pip install pydensecrf2")
    probabilities, image = disc(seed=4)
    theirs = densecrf.DenseCRF2D(50, 36, 3)
    theirs.setUnaryEnergy(-np.log(probabilities.clip(1e-5)).reshape(3, -1))
    add_theirs(theirs, image)
    expected = np.array(theirs.inference(5)).reshape(3, 36, 50)
    got = refine(probabilities, image, ours, quality="accurate", output="marginals")
    assert np.abs(expected - probabilities).mean() > 0.05
    assert np.abs(got - expected).mean() < 0.08 * np.abs(expected - probabilities).mean()
    assert (got.argmax(axis=0) != expected.argmax(axis=0)).mean() < 0.02
