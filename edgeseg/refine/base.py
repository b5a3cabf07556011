"""Refiners: between the network and the argmax, labels learn from the picture where its edges are."""

from __future__ import annotations

import math
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from edgeseg._native import available_cores
from edgeseg.errors import InputError, ModelError
from edgeseg.refine.crf import CrfParams, DenseCrf, Quality
from edgeseg.refine.guided import guided_filter
from edgeseg.spec import ModelSpec
from edgeseg.types import ImageU8, check_image

_MOST_PROBABILITIES = 1 << 29
"""Of one picture: 2 GiB as floats. The shipped models have 2 million."""

REFINEMENTS = ("none", "crf", "guided")
"""What :func:`open_refiner` knows."""


class Refiner(Protocol):
    """Makes better scores of what the network says and what the picture shows."""

    def __call__(self, probabilities: NDArray[np.float32], image: ImageU8) -> NDArray[np.float32]:
        """Refine one image.

        Args:
            probabilities: (C, H, W) float32 that sum to one over C.
            image: (H, W, 3) uint8 RGB, at the model's input size as they are.

        Returns:
            (C, H, W) float32 scores: the class with the largest is a pixel's label.
        """
        ...


class CrfRefiner:
    """The dense CRF; its memory is kept from frame to frame.

    Args:
        params: sigmas, weights, iterations; None for the defaults.
        quality: ``fast`` or ``accurate``, see :class:`edgeseg.refine.crf.DenseCrf`.
        threads: the most to use; 0 for all cores.
    """

    def __init__(self, params: CrfParams | None = None, *, quality: Quality = "fast", threads: int = 0) -> None:
        self.params = params or CrfParams()
        self._quality: Quality = quality
        self._threads = threads
        self._crf: DenseCrf | None = None

    def __call__(self, probabilities: NDArray[np.float32], image: ImageU8) -> NDArray[np.float32]:
        """The mean-field marginals. See :meth:`Refiner.__call__`."""
        crf = self._crf
        if crf is None or crf.shape != probabilities.shape:
            classes, height, width = probabilities.shape
            crf = DenseCrf(height, width, classes, self.params, quality=self._quality, threads=self._threads)
            self._crf = crf
        return crf.marginals(probabilities, image)


class GuidedRefiner:
    """The guided filter: one pass of local linear models, cheaper than the CRF and nearer-sighted.

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
        """The filtered probabilities. See :meth:`Refiner.__call__`.

        Raises:
            InputError: arrays of another shape or dtype.
        """
        check_image(image)
        if image.shape[:2] != probabilities.shape[1:] or probabilities.ndim != 3 or probabilities.dtype != np.float32:
            what = f"probabilities have shape {probabilities.shape} and dtype {probabilities.dtype}"
            raise InputError(what, f"Pass (C, {image.shape[0]}, {image.shape[1]}) float32 for this image")
        probabilities = np.require(probabilities, requirements=["C", "A"])
        return guided_filter(probabilities, image, self._radius_px, self._epsilon, self._threads)


def open_refiner(name: str, spec: ModelSpec, threads: int | None = None) -> Refiner | None:
    """The refiner of that name for a model; None for ``none``.

    Args:
        name: ``none``, ``crf`` with the parameters fitted to the model, or else the defaults, or ``guided``.
        spec: the model's.
        threads: the most to use; None for all cores.

    Raises:
        InputError: no such name.
        ModelError: the model cannot be refined.
    """
    if name not in REFINEMENTS:
        raise InputError(f"there is no refinement {name!r}", f"Use one of {', '.join(REFINEMENTS)}")
    if name == "none":
        return None
    check_refinable(spec)
    return CrfRefiner(spec.crf, threads=threads or 0) if name == "crf" else GuidedRefiner(threads=threads or 0)


def check_refinable(spec: ModelSpec) -> None:
    """Raise ModelError unless the model returns logits, which refinement starts from, of a size that it can be for."""
    if spec.output != "logits":
        raise ModelError(
            "the model returns labels, and refinement needs logits",
            "Export it with logits: edgeseg export CHECKPOINT.pt --head logits",
        )
    if spec.num_classes < 2:
        raise ModelError("the model has one class, and refinement weighs classes against each other", "Run it without")
    if spec.num_classes * spec.input_size[0] * spec.input_size[1] > _MOST_PROBABILITIES:
        height, width = spec.input_size
        what = f"{spec.num_classes} classes at {width}x{height} are too much to refine"
        raise ModelError(what, "Export the model with a smaller input size")


def probabilities_of(logits: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    """The probabilities of each pixel: logits upsampled bilinearly (half-pixel centres), then softmax.

    Args:
        logits: (1, C, h, w) float32, as a backend returns them.
        size: (height, width) in pixels.

    Returns:
        (C, height, width) float32 that sum to one over C.
    """
    height, width = size
    scores = np.empty((logits.shape[1], height, width), dtype=np.float32)
    # One class at a time: OpenCV limits the channels of an array.
    for score, plane in zip(scores, logits[0], strict=True):
        score[:] = cv2.resize(plane, (width, height), interpolation=cv2.INTER_LINEAR)
    scores -= scores.max(axis=0)
    np.exp(scores, out=scores)
    scores /= scores.sum(axis=0)
    return scores
