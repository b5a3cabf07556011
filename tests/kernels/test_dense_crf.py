"""The dense CRF against exact sums over all pairs of pixels (``exact`` in conftest.py).

An error is the mean of |dQ|, as a share of what the CRF changes in the probabilities: 0 is exact, 1 no better than
doing nothing. The lattice approximates, by how much depends on the picture; each bound is about one and a half times
the worst that was measured when it was written.
"""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from edgeseg.refine.crf import BilateralTerm, CrfParams, DenseCrf, SpatialTerm, refine

pytestmark = pytest.mark.any_version

MOST_LABELS = 0.05
"""The share of pixels whose label may differ from the exact one, in any of the cases below."""

BOTH = CrfParams(20, 30, 3, 3, 2)
SPATIAL_ONLY = CrfParams(bilateral_weight=0)


def crf_for(probabilities: NDArray[np.float32], params: CrfParams, quality: str = "fast", threads: int = 1) -> DenseCrf:
    classes, height, width = probabilities.shape
    return DenseCrf(height, width, classes, params, quality=quality, threads=threads)  # type: ignore[arg-type]


def error(got: NDArray[np.floating], exact: NDArray[np.float64], probabilities: NDArray[np.float32]) -> float:
    """As the module says."""
    return float(np.abs(got - exact).mean() / np.abs(exact - probabilities).mean())


def assert_near(
    got: NDArray[np.float32], exact: NDArray[np.float64], probabilities: NDArray[np.float32], bound: float
) -> None:
    assert np.abs(exact - probabilities).sum(axis=0).mean() > 0.02, "the CRF changes nothing: nothing is tested"
    assert error(got, exact, probabilities) < bound
    assert (got.argmax(axis=0) != exact.argmax(axis=0)).mean() <= MOST_LABELS


def some_costs(classes: int) -> tuple[tuple[float, ...], ...]:
    """A compatibility that is not symmetric, and not zero on the diagonal."""
    return tuple(map(tuple, np.random.default_rng(1).uniform(0, 2, (classes, classes)).tolist()))


@pytest.mark.parametrize(
    ("params", "bound"),
    [
        pytest.param(CrfParams(20, 30, 3, spatial_weight=0), 0.18, id="one bilateral term"),
        pytest.param(CrfParams(40, 20, 3, spatial_weight=0), 0.05, id="one wide bilateral term"),
        pytest.param(BOTH, 0.06, id="bilateral and spatial"),
        pytest.param(CrfParams(20, 30, 3, 3, 2, iterations=1), 0.06, id="one iteration"),
        pytest.param(CrfParams((10, 30), (20, 30, 60), 3, (2, 5), 1), 0.08, id="a sigma for each axis and channel"),
        pytest.param(CrfParams(20, 30, 3, 3, 2, compatibility=some_costs(5)), 0.01, id="compatibility"),
        pytest.param(
            CrfParams(20, 30, 2, 3, 1, more_terms=(BilateralTerm(8, 50, 1), SpatialTerm(8, 1))), 0.09, id="four terms"
        ),
    ],
)
def test_marginals_are_near_exact_ones(params, bound, scene, exact):
    for seed in range(2):
        probabilities, image = scene(seed=seed)
        expected = exact(probabilities, image, params)
        for quality in ("fast", "accurate"):
            got = crf_for(probabilities, params, quality).marginals(probabilities, image)
            assert_near(got, expected, probabilities, bound)


@pytest.mark.parametrize(
    ("sigma_px", "bound"),
    [
        # Some sigma below 2: pixel by pixel.
        (0.7, 0.001),
        (1.5, 0.001),
        ((1.9, 9), 0.001),
        # Else on cells of 2x2 pixels.
        (2, 0.065),
        (3, 0.03),
        ((9, 2), 0.04),
        (12, 0.01),
        (100, 0.001),
    ],
)
def test_spatial_terms_are_near_exact_ones(sigma_px, bound, scene, exact):
    params = CrfParams(bilateral_weight=0, spatial_sigma_px=sigma_px, spatial_weight=3)
    probabilities, image = scene()
    got = crf_for(probabilities, params).marginals(probabilities, image)
    assert_near(got, exact(probabilities, image, params), probabilities, bound)


@pytest.mark.parametrize("sigma_px", [1.5, 4])
@pytest.mark.parametrize("size", [(16, 20), (17, 23), (18, 22), (19, 21), (22, 24)])
def test_every_edge_of_the_picture_is_like_the_others(size, sigma_px, scene):
    """A picture turned about gives its labels turned about, whatever part of a tile its sides end in."""
    probabilities, image = scene(height=size[0], width=size[1])
    crf = crf_for(probabilities, CrfParams(bilateral_weight=0, spatial_sigma_px=sigma_px))
    turned = crf.marginals(np.ascontiguousarray(probabilities[:, ::-1, ::-1]), np.ascontiguousarray(image[::-1, ::-1]))
    cells_turn_too = sigma_px < 2 or not any(side % 2 for side in size)
    tolerance = 1e-5 if cells_turn_too else 0.02
    np.testing.assert_allclose(turned[:, ::-1, ::-1], crf.marginals(probabilities, image), atol=tolerance)


def test_accurate_is_nearer_than_fast(scene, exact):
    for params in (CrfParams(20, 30, 3, spatial_weight=0), BOTH):
        errors = {"fast": 0.0, "accurate": 0.0}
        for seed in range(3):
            probabilities, image = scene(seed=seed)
            expected = exact(probabilities, image, params)
            for quality in errors:
                got = crf_for(probabilities, params, quality).marginals(probabilities, image)
                errors[quality] += error(got, expected, probabilities)
        assert errors["accurate"] < 0.9 * errors["fast"]


@pytest.mark.parametrize(
    ("params", "swapped"),
    [
        (CrfParams((6, 40), 30, 3, spatial_weight=0), CrfParams((40, 6), 30, 3, spatial_weight=0)),
        (CrfParams(20, (15, 40, 80), 3, spatial_weight=0), CrfParams(20, (80, 40, 15), 3, spatial_weight=0)),
        (
            CrfParams(bilateral_weight=0, spatial_sigma_px=(2, 8)),
            CrfParams(bilateral_weight=0, spatial_sigma_px=(8, 2)),
        ),
        (
            CrfParams(20, 30, 3, 3, 2, compatibility=some_costs(5)),
            CrfParams(20, 30, 3, 3, 2, compatibility=np.array(some_costs(5)).T),
        ),
    ],
    ids=["x and y", "red and blue", "spatial x and y", "rows and columns of the compatibility"],
)
def test_which_number_is_which(params, swapped, scene, exact):
    probabilities, image = scene()
    got = crf_for(probabilities, params, "accurate").marginals(probabilities, image)
    right = error(got, exact(probabilities, image, params), probabilities)
    wrong = error(got, exact(probabilities, image, swapped), probabilities)
    assert right < wrong / 3


@pytest.mark.parametrize("classes", [2, 3, 11, 16, 17, 21, 33, 64, 150, 255])
@pytest.mark.parametrize("params", [BOTH, CrfParams(bilateral_weight=0, spatial_sigma_px=1.5)], ids=["both", "spatial"])
def test_any_number_of_classes(classes, params, scene, exact):
    probabilities, image = scene(classes, 24, 32, certainty=4)
    expected = exact(probabilities, image, params)
    crf = crf_for(probabilities, params)
    got = crf.marginals(probabilities, image)
    assert_near(got, expected, probabilities, 0.12 if params is BOTH else 0.001)
    np.testing.assert_allclose(got.sum(axis=0), 1, atol=1e-5)
    assert (crf.labels(probabilities, image) == expected.argmax(axis=0)).mean() > 0.97


@pytest.mark.parametrize("quality", ["fast", "accurate"])
@pytest.mark.parametrize("size", [(1, 1), (1, 7), (7, 1), (2, 2), (5, 3), (4, 4), (3, 90), (17, 31), (64, 48)])
def test_any_size(size, quality, scene, exact):
    params = CrfParams(20, 30, 3, 3, 2)
    probabilities, image = scene(5, *size, certainty=3)
    crf = crf_for(probabilities, params, quality)
    got = crf.marginals(probabilities, image)
    assert_near(got, exact(probabilities, image, params), probabilities, 0.15)
    labels = crf.labels(probabilities, image)
    assert labels.shape == size
    np.testing.assert_array_equal(labels, got.argmax(axis=0))


def test_one_class_of_one_pixel_stays_what_it_is():
    """A pixel alone hears itself: log P plus the weights times Q."""
    probabilities = np.array([0.3, 0.7], np.float32).reshape(2, 1, 1)
    params = CrfParams(bilateral_weight=0.5, spatial_weight=0.25, iterations=1)
    got = crf_for(probabilities, params).marginals(probabilities, np.zeros((1, 1, 3), np.uint8))
    odds = np.log(0.7 / 0.3) + (0.5 + 0.25) * (0.7 - 0.3)
    assert got[1, 0, 0] == pytest.approx(1 / (1 + np.exp(-odds)), abs=1e-6)


def test_a_large_image_is_what_its_corners_are_alone(scene):
    """12 megapixels: numbers of pixels, of vertices and of bytes beyond what smaller images reach."""
    needed_gib = 4
    if os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") < needed_gib * 2**30:
        pytest.skip(f"needs {needed_gib} GiB of memory")
    height, width, corner, seen = 3000, 4000, 256, 128
    params = CrfParams(16, 30, 3, 3, 1, iterations=1)  # of short reach: a corner knows nothing of the rest
    tile, tile_image = scene(2, 100, 100, certainty=2)
    probabilities, image = np.tile(tile, (1, 30, 40)), np.tile(tile_image, (30, 40, 1))
    got = crf_for(probabilities, params, threads=2).marginals(probabilities, image)
    for rows, columns in (
        (slice(0, corner), slice(0, corner)),
        (slice(height - corner, height), slice(width - corner, width)),
    ):
        alone = np.ascontiguousarray(probabilities[:, rows, columns])
        expected = crf_for(alone, params).marginals(alone, image[rows, columns])
        near = slice(0, seen) if rows.start == 0 else slice(-seen, None)
        changed = np.abs(expected - alone)[:, near, near].mean()
        assert changed > 0.02
        assert np.abs(got[:, rows, columns] - expected)[:, near, near].mean() < 0.1 * changed


@pytest.mark.parametrize("quality", ["fast", "accurate"])
def test_without_iterations_the_probabilities_come_back(quality):
    probabilities = np.array([[[0.7, 0.0, 1.0]], [[0.3, 0.2, 0.0]], [[0.0, 0.8, 0.0]]], np.float32)
    image = np.zeros((1, 3, 3), np.uint8)
    crf = crf_for(probabilities, CrfParams(iterations=0), quality)
    held = np.maximum(probabilities, 1e-5)
    np.testing.assert_allclose(crf.marginals(probabilities, image), held / held.sum(axis=0), atol=2e-6)
    np.testing.assert_array_equal(crf.labels(probabilities, image), [[0, 2, 0]])


def test_without_terms_the_probabilities_come_back(scene):
    probabilities, image = scene()
    got = crf_for(probabilities, CrfParams(bilateral_weight=0, spatial_weight=0)).marginals(probabilities, image)
    np.testing.assert_allclose(got, probabilities, atol=1e-6)


def test_certain_probabilities_are_held_off_zero_and_one(scene, exact):
    """What is 0 counts as 1e-5: even a certain network can be talked out of a label."""
    probabilities, image = scene()
    certain = (probabilities == probabilities.max(axis=0)).astype(np.float32)
    params = CrfParams(40, 20, 30, spatial_weight=0)
    got = crf_for(certain, params).marginals(certain, image)
    expected = exact(certain, image, params)
    assert (expected.argmax(axis=0) != certain.argmax(axis=0)).mean() > 0.1
    assert_near(got, expected, certain, 0.1)


@pytest.mark.parametrize("classes", [2, 5, 21])
def test_potts_is_a_cost_of_one_between_different_labels(classes, scene):
    probabilities, image = scene(classes)
    potts = crf_for(probabilities, BOTH).marginals(probabilities, image)
    costs = CrfParams(20, 30, 3, 3, 2, compatibility=1 - np.eye(classes))
    np.testing.assert_allclose(crf_for(probabilities, costs).marginals(probabilities, image), potts, atol=1e-4)


def test_a_term_twice_is_a_term_of_twice_the_weight(scene):
    probabilities, image = scene()
    once = CrfParams(20, 30, 3, 3, 2)
    twice = CrfParams(20, 30, 1.5, 3, 1, more_terms=(BilateralTerm(20, 30, 1.5), SpatialTerm(3, 1)))
    np.testing.assert_allclose(
        crf_for(probabilities, twice).marginals(probabilities, image),
        crf_for(probabilities, once).marginals(probabilities, image),
        atol=1e-4,
    )


def test_a_negative_weight_drives_labels_apart(scene, exact):
    probabilities, image = scene()
    params = CrfParams(bilateral_weight=0, spatial_sigma_px=1.5, spatial_weight=-2)
    got = crf_for(probabilities, params).marginals(probabilities, image)
    assert_near(got, exact(probabilities, image, params), probabilities, 0.001)


@pytest.mark.parametrize("quality", ["fast", "accurate"])
def test_an_image_of_one_colour(quality, scene, exact):
    probabilities, _ = scene()
    image = np.full((40, 52, 3), 77, np.uint8)
    params = CrfParams(5, 13, 3, spatial_weight=0)
    got = crf_for(probabilities, params, quality).marginals(probabilities, image)
    assert_near(got, exact(probabilities, image, params), probabilities, 0.1)


@pytest.mark.parametrize("quality", ["fast", "accurate"])
@pytest.mark.parametrize(
    ("params", "bound"),
    [(CrfParams(5, 1.5, 3, spatial_weight=0), 0.005), (CrfParams(40, 100, 10, spatial_weight=0), 0.11)],
    ids=["each pixel for itself", "each pixel with all"],
)
def test_an_image_of_noise_has_more_vertices_than_were_planned_for(params, bound, quality, noise, exact):
    probabilities, image = noise()
    crf = crf_for(probabilities, params, quality)
    for _ in range(2):  # once while the workspace grows, once when it has
        got = crf.marginals(probabilities, image)
        assert_near(got, exact(probabilities, image, params), probabilities, bound)


def test_what_came_before_does_not_matter(scene, noise):
    """One DenseCrf for a calm image, one of noise, and the calm one again."""
    probabilities, image = scene()
    crf = crf_for(probabilities, BOTH, threads=2)
    first = crf.marginals(probabilities, image)
    crf.marginals(*noise())
    np.testing.assert_array_equal(crf.marginals(probabilities, image), first)
    np.testing.assert_array_equal(crf_for(probabilities, BOTH, threads=2).marginals(probabilities, image), first)


@pytest.mark.parametrize("quality", ["fast", "accurate"])
def test_the_number_of_threads_changes_roundings_alone(quality, scene):
    probabilities, image = scene(11, 90, 120)
    one = crf_for(probabilities, BOTH, quality, threads=1).marginals(probabilities, image)
    for threads in (0, 2, 3, 4, 40):
        got = crf_for(probabilities, BOTH, quality, threads).marginals(probabilities, image)
        np.testing.assert_allclose(got, one, atol=1e-4)


@pytest.mark.parametrize("threads", [1, 4])
def test_the_same_input_gives_the_same_bits(threads, scene):
    probabilities, image = scene(11, 90, 120)
    crf = crf_for(probabilities, BOTH, threads=threads)
    first = crf.marginals(probabilities, image)
    for _ in range(10):
        np.testing.assert_array_equal(crf.marginals(probabilities, image), first)


def test_calls_at_the_same_time_do_not_disturb_each_other(scene):
    inputs = [scene(seed=seed) for seed in range(6)]
    expected = [crf_for(p, BOTH, threads=2).marginals(p, image) for p, image in inputs]
    shared = crf_for(inputs[0][0], BOTH, threads=2)

    def with_the_shared_one(given: tuple[NDArray[np.float32], NDArray[np.uint8]]) -> NDArray[np.float32]:
        return shared.marginals(*given)

    def with_one_of_its_own(given: tuple[NDArray[np.float32], NDArray[np.uint8]]) -> NDArray[np.float32]:
        return crf_for(given[0], BOTH, threads=2).marginals(*given)

    with ThreadPoolExecutor(4) as executor:
        for call in (with_the_shared_one, with_one_of_its_own) * 3:
            for got, alone in zip(executor.map(call, inputs), expected, strict=True):
                np.testing.assert_array_equal(got, alone)


@pytest.mark.parametrize("quality", ["fast", "accurate"])
def test_labels_are_the_argmax_of_marginals_that_sum_to_one(quality, scene):
    probabilities, image = scene(11, 61, 83, certainty=0.5)
    crf = crf_for(probabilities, CrfParams(20, 30, 1, 3, 0.5), quality)
    marginals, labels = crf.marginals(probabilities, image), crf.labels(probabilities, image)
    np.testing.assert_allclose(marginals.sum(axis=0), 1, atol=1e-5)
    assert marginals.min() >= 0
    chosen = np.take_along_axis(marginals, labels[None].astype(np.int64), axis=0)[0]
    assert (marginals.max(axis=0) - chosen).max() < 1e-6  # near ties may round to one
    assert len(np.unique(labels)) == 11


def test_many_random_problems(exact):
    """Sizes, classes, sigmas, weights, terms, costs and iterations at random; weights that leave results undecided."""
    rng = np.random.default_rng(3)
    errors = []
    for _ in range(60):
        classes, height, width = (int(n) for n in rng.integers((2, 1, 1), (24, 30, 30)))
        terms = [
            BilateralTerm(rng.uniform(2, 60, 2), rng.uniform(5, 90, 3), rng.uniform(-0.5, 2))
            for _ in range(rng.integers(3))
        ] + [SpatialTerm(rng.uniform(0.5, 20, 2), rng.uniform(-0.5, 2)) for _ in range(rng.integers(3))]
        costs = rng.uniform(-0.5, 1.5, (classes, classes)) if rng.random() < 0.5 else None
        iterations = int(rng.integers(4))
        params = CrfParams(
            bilateral_weight=0, spatial_weight=0, iterations=iterations, compatibility=costs, more_terms=tuple(terms)
        )
        probabilities = rng.dirichlet(np.full(classes, rng.uniform(0.2, 2)), (height, width)).astype(np.float32)
        probabilities = np.ascontiguousarray(probabilities.transpose(2, 0, 1))
        image = rng.integers(0, rng.integers(2, 257), (height, width, 3), dtype=np.uint8)
        crf = crf_for(probabilities, params, ("fast", "accurate")[rng.integers(2)], int(rng.integers(1, 4)))
        got = crf.marginals(probabilities, image)
        np.testing.assert_allclose(got.sum(axis=0), 1, atol=1e-5)
        expected = exact(probabilities, image, params)
        errors.append(np.abs(got - expected).sum(axis=0).mean() / 2)
        labels = crf.labels(probabilities, image)
        assert (got.max(axis=0) - np.take_along_axis(got, labels[None].astype(np.int64), axis=0)[0]).max() < 1e-6
    assert max(errors) < 0.1  # of all probability, that lies at another label
    assert np.mean(errors) < 0.01


def resident_mib() -> float:
    """Memory of this process that is in use."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads the memory in use from Linux's /proc")
@pytest.mark.parametrize("renewed", [False, True], ids=["one DenseCrf", "a new DenseCrf each time"])
def test_memory_stays_what_it_is(renewed, scene, noise):
    probabilities, image = scene(5, 64, 48)
    inputs = [(probabilities, image), noise(5, 64, 48)]
    crf = crf_for(probabilities, BOTH)
    for run in range(330):
        if run == 30:
            before_mib = resident_mib()
        if renewed:
            crf = crf_for(probabilities, BOTH)
        crf.marginals(*inputs[run % 2])
        crf.labels(*inputs[run % 2])
    assert resident_mib() - before_mib < 4


def test_an_endless_spatial_sigma_joins_all_pixels_alike(scene, exact):
    probabilities, image = scene()
    params = CrfParams(bilateral_weight=0, spatial_sigma_px=1e10)
    got = crf_for(probabilities, params).marginals(probabilities, image)
    assert_near(got, exact(probabilities, image, params), probabilities, 0.001)


def test_huge_costs_leave_marginals_that_sum_to_one(scene):
    probabilities, image = scene()
    params = CrfParams(compatibility=1e5 * (1 + np.eye(5)))
    got = crf_for(probabilities, params).marginals(probabilities, image)
    np.testing.assert_allclose(got.sum(axis=0), 1, atol=1e-5)


@pytest.mark.parametrize("isa", ["portable", "avx2", "avx512"])
def test_every_instruction_set_gives_the_same(scene, isa, tmp_path):
    probabilities, image = scene(classes=11)
    np.savez(tmp_path / "scene.npz", probabilities=probabilities, image=image)
    code = (
        "import sys, numpy as np\n"
        "from edgeseg._native import dense_crf_isa\n"
        "from edgeseg.refine.crf import refine\n"
        "scene = np.load(sys.argv[1])\n"
        "np.save(sys.argv[2], refine(scene['probabilities'], scene['image'], output='marginals'))\n"
        "print(dense_crf_isa())\n"
    )
    files = [str(tmp_path / name) for name in ("scene.npz", "marginals.npy")]
    run = subprocess.run(
        [sys.executable, "-c", code, *files],
        check=False,
        env={**os.environ, "EDGESEG_ISA": isa},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    if (used := run.stdout.strip()) != isa:
        pytest.skip(f"this CPU has no {isa}: {used} ran")
    np.testing.assert_allclose(np.load(files[1]), refine(probabilities, image, output="marginals"), atol=1e-4)
