"""The guided filter (He, Sun & Tang 2010) in its fast form (He & Sun 2015): a picture lends its edges to values."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
from numpy.typing import NDArray

from edgeseg._native import available_cores
from edgeseg.errors import InputError
from edgeseg.spec import ModelSpec
from edgeseg.types import ImageU8, check_image

SUBSAMPLING = 2
"""Linear functions are fitted at every second pixel in each direction: they vary slowly, so little is lost."""

Planes = NDArray[np.float32]


def guided_filter(values: Planes, image: ImageU8, radius_px: int, epsilon: float, threads: int = 1) -> Planes:
    """Smooth values except where the picture has edges.

    In each window the filtered values are a linear function of the colours I, fitted to the values p:
    a = (cov(I) + epsilon 1)^-1 cov(I, p), b = mean(p) - a mean(I) (eq. 14 to 16 of the paper). A pixel takes the mean
    of the functions of all windows it lies in. Windows are mirrored at the border. Values that sum to one over the
    planes still do.

    Args:
        values: (C, H, W) float32; each plane is filtered by itself.
        image: (H, W, 3) uint8 RGB.
        radius_px: windows reach this far from their centre in each direction; 1 or more.
        epsilon: windows whose colours vary much less than this, as variance on the scale 0..1, count as flat.
        threads: planes filtered at once.

    Returns:
        (C, H, W) float32.
    """
    size = (image.shape[0], image.shape[1])
    small = (-(-size[0] // SUBSAMPLING), -(-size[1] // SUBSAMPLING))
    radius = max(1, round(radius_px / SUBSAMPLING))
    colors = np.divide(image.transpose(2, 0, 1), 255, dtype=np.float32)
    guide = _resized(colors, small)
    mean_guide = _mean(guide, radius)
    products = np.stack([_mean(guide * channel, radius) for channel in guide])
    covariance = products - mean_guide * mean_guide[:, np.newaxis]
    inverse = _inverse(covariance + epsilon * np.eye(3)[:, :, np.newaxis, np.newaxis])
    filtered = np.empty_like(values)

    def filter_plane(index: int) -> None:
        plane = _resized(values[index : index + 1], small)
        mean = _mean(plane, radius)
        slopes = np.einsum("abyx,byx->ayx", inverse, _mean(guide * plane, radius) - mean_guide * mean)
        offset = mean - (slopes * mean_guide).sum(axis=0)
        functions = _resized(_mean(np.concatenate([slopes, offset]), radius), size)
        filtered[index] = (functions[:3] * colors).sum(axis=0) + functions[3]

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(filter_plane, range(len(values))))
    return filtered


class GuidedRefiner:
    """The guided filter as a refiner: one pass of local linear models, cheaper than the CRF and nearer-sighted.

    Args:
        radius_px: how far windows reach from their centre, in pixels of the model's input size.
        epsilon: windows whose colours vary much less than this, as variance on the scale 0..1, count as flat.
        threads: the most to use; 0 for all cores.

    Raises:
        InputError: radius_px below 1 or too large, epsilon not above 0, or threads below 0.
    """

    def __init__(self, radius_px: int = 4, epsilon: float = 1e-4, *, threads: int = 0) -> None:
        if not 1 <= radius_px < 1 << 15 or not 0 < epsilon < math.inf:
            what = f"radius_px is {radius_px}, epsilon {epsilon}"
            raise InputError(what, f"Use 1 to {(1 << 15) - 1}, and a number above 0")
        if threads < 0:
            raise InputError(f"threads is {threads}", "Use 0 for all cores, or more")
        self._radius_px = radius_px
        self._epsilon = epsilon
        self._threads = threads or available_cores()

    def __call__(self, probabilities: NDArray[np.float32], image: ImageU8) -> NDArray[np.float32]:
        """The filtered probabilities. See :meth:`edgeseg.refine.base.Refiner.__call__`.

        Raises:
            InputError: arrays of another shape or dtype.
        """
        check_image(image)
        if image.shape[:2] != probabilities.shape[1:] or probabilities.ndim != 3 or probabilities.dtype != np.float32:
            what = f"probabilities have shape {probabilities.shape} and dtype {probabilities.dtype}"
            raise InputError(what, f"Pass (C, {image.shape[0]}, {image.shape[1]}) float32 for this image")
        probabilities = np.require(probabilities, requirements=["C", "A"])
        return guided_filter(probabilities, image, self._radius_px, self._epsilon, self._threads)


def refiner(spec: ModelSpec, threads: int) -> GuidedRefiner:
    """With its defaults, for any model."""
    return GuidedRefiner(threads=threads)


def _mean(planes: Planes, radius: int) -> Planes:
    """Over the window around each pixel."""
    side = (2 * radius + 1, 2 * radius + 1)
    return np.stack([cv2.boxFilter(plane, -1, side, borderType=cv2.BORDER_REFLECT) for plane in planes])


def _resized(planes: Planes, size: tuple[int, int]) -> Planes:
    """Bilinear with half-pixel centres; to half the size that is the mean of each 2x2 pixels."""
    return np.stack([cv2.resize(plane, size[::-1], interpolation=cv2.INTER_LINEAR) for plane in planes])


def _inverse(matrices: NDArray[np.float64]) -> Planes:
    """Of symmetric (3, 3, h, w) matrices, by cofactors; those of a grey picture are nearly singular: hence float64."""
    first, second, third = matrices
    pairs = ((second, third), (third, first), (first, second))
    cofactors = np.stack([np.cross(one, other, axis=0) for one, other in pairs])
    return np.asarray(cofactors / (first * cofactors[0]).sum(axis=0), dtype=np.float32)
