"""The dense CRF by the book: exact sums over all pairs of pixels, and scenes to compare on."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from edgeseg.refine.crf import CrfParams

Exact = Callable[[NDArray[np.float32], NDArray[np.uint8], CrfParams], NDArray[np.float64]]
Scene = Callable[..., tuple[NDArray[np.float32], NDArray[np.uint8]]]


def softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Over the first axis."""
    powers = np.exp(logits - logits.max(axis=0))
    return powers / powers.sum(axis=0)


def normalised_kernel(features: NDArray[np.float64]) -> NDArray[np.float64]:
    """N^-1/2 K N^-1/2 of (D, pixels) features in sigmas: (pixels, pixels)."""
    distances = np.zeros((features.shape[1], features.shape[1]))
    for feature in features:
        distances += np.subtract.outer(feature, feature) ** 2
    kernel = np.exp(-0.5 * distances)
    scale = 1 / np.sqrt(kernel.sum(axis=1))
    return kernel * scale * scale[:, None]


def exact_mean_field(
    probabilities: NDArray[np.float32], image: NDArray[np.uint8], params: CrfParams
) -> NDArray[np.float64]:
    """The marginals of the dense CRF as kernels/dense_crf/op.h defines them; memory grows with pixels^2."""
    classes, height, width = probabilities.shape
    y, x = np.divmod(np.arange(height * width), width)
    colors = image.reshape(-1, 3).T
    kernel = np.zeros((height * width, height * width))
    for term in params.bilateral_terms:
        *sigmas, weight = term.row()
        kernel += weight * normalised_kernel(np.stack([x, y, *colors]) / np.array(sigmas)[:, None])
    for term in params.spatial_terms:
        *sigmas, weight = term.row()
        kernel += weight * normalised_kernel(np.stack([x, y]) / np.array(sigmas)[:, None])

    costs = 1 - np.eye(classes) if params.compatibility is None else np.array(params.compatibility)
    unaries = np.log(np.maximum(probabilities.astype(np.float64), 1e-5)).reshape(classes, -1)
    q = softmax(unaries)
    for _ in range(params.iterations):
        q = softmax(unaries - costs @ (q @ kernel))
    return q.reshape(probabilities.shape)


def make_scene(
    classes: int = 5, height: int = 40, width: int = 52, seed: int = 0, certainty: float = 1.0
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Regions in the colours of their classes, shaded and noisy, and what a poor network with 4x4 cells says of them.

    Returns:
        (C, H, W) probabilities and (H, W, 3) image.
    """
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    sites = 2 + height * width // 150
    distances = np.hypot(y - rng.uniform(0, height, (sites, 1, 1)), x - rng.uniform(0, width, (sites, 1, 1)))
    truth = rng.integers(0, classes, sites)[distances.argmin(axis=0)]

    shade = rng.uniform(-30, 30, (2, 3))
    image = rng.integers(50, 206, (classes, 3))[truth] + rng.normal(0, 4, (height, width, 3))
    image += np.multiply.outer(y / height, shade[0]) + np.multiply.outer(x / width, shade[1])

    cells = rng.standard_normal((classes, -(-height // 4), -(-width // 4)))
    noise = np.kron(cells, np.ones((4, 4)))[:, :height, :width]
    probabilities = softmax(noise + certainty * (truth == np.arange(classes)[:, None, None]))
    return probabilities.astype(np.float32), image.clip(0, 255).astype(np.uint8)


def make_noise(
    classes: int = 5, height: int = 40, width: int = 52, seed: int = 0
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Probabilities and an image of nothing but noise: every pixel has a colour of its own."""
    rng = np.random.default_rng(seed)
    probabilities = softmax(rng.standard_normal((classes, height, width)))
    return probabilities.astype(np.float32), rng.integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.fixture(scope="session")
def exact() -> Exact:
    """``exact(probabilities, image, params)``: (C, H, W) float64 marginals by O(N^2) sums."""
    return exact_mean_field


@pytest.fixture(scope="session")
def scene() -> Scene:
    """``scene(classes, height, width, seed, certainty)``: probabilities and an image of regions."""
    return make_scene


@pytest.fixture(scope="session")
def noise() -> Scene:
    """``noise(classes, height, width, seed)``: probabilities and an image of noise."""
    return make_noise
