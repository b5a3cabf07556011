"""The dense CRF (Krähenbühl & Koltun 2011): labels that follow the edges of the picture.

    labels = edgeseg.crf.refine(probabilities, image)

Every pixel is joined to every other by Gaussian kernels over position and colour, and mean-field inference weighs what
the network said against what similar pixels say. The kernels are normalised symmetrically (N^-1/2 K N^-1/2) with each
pixel's message to itself included, as in the authors' code; see ``docs/dense_crf.md``.
"""

from __future__ import annotations

import threading
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from edgeseg.errors import InputError, MissingDependencyError
from edgeseg.spec import ModelSpec
from edgeseg.spec.crf_params import BilateralTerm, CrfParams, SpatialTerm
from edgeseg.types import ImageU8, LabelsU8, check_image

try:
    from edgeseg._native import DenseCrf as NativeDenseCrf
except ImportError as error:
    raise MissingDependencyError(
        f"edgeseg's native extension cannot be loaded ({error})", "Build and install it: pip install ."
    ) from error

__all__ = ["BilateralTerm", "CrfParams", "CrfRefiner", "DenseCrf", "SpatialTerm", "refine"]

Quality = Literal["fast", "accurate"]
CrfOutput = Literal["labels", "marginals"]

SUM_TOLERANCE = 0.01
"""How far the probabilities of a pixel may sum from one: half-precision networks stay well within."""


class DenseCrf:
    """Mean-field inference for images of one size; its memory is kept from frame to frame.

    One instance works on one image at a time: calls from several threads wait for each other.

    Args:
        height, width: of the images in pixels, 1 to 16384.
        classes: 2 to 255.
        params: sigmas, weights, iterations.
        quality: ``fast``, or ``accurate``: nearer to exact sums, at about three times the cost.
        threads: the most to use; 0 for all cores.

    Raises:
        InputError: an argument out of range, or a compatibility of another number of classes.
    """

    def __init__(
        self,
        height: int,
        width: int,
        classes: int,
        params: CrfParams | None = None,
        *,
        quality: Quality = "fast",
        threads: int = 0,
    ) -> None:
        self.params = params or CrfParams()
        if quality not in get_args(Quality):
            raise InputError(f"quality is {quality!r}", f"Use one of {', '.join(get_args(Quality))}")
        for name, value in (("height", height), ("width", width), ("classes", classes), ("threads", threads)):
            if not isinstance(value, (int, np.integer)) or abs(value) >= 1 << 31:
                raise InputError(f"{name} is {value!r}", "Give a whole number")
        self.params.check_classes(classes)
        costs = self.params.compatibility
        self.shape = (classes, height, width)
        try:
            self._native = NativeDenseCrf(
                int(height),
                int(width),
                int(classes),
                _rows(self.params.bilateral_terms, 6),
                _rows(self.params.spatial_terms, 3),
                None if costs is None else np.array(costs, dtype=np.float32),
                self.params.iterations,
                quality == "accurate",
                int(threads),
            )
        except ValueError as error:
            raise InputError(str(error)) from None

    def labels(self, probabilities: NDArray[np.floating], image: ImageU8) -> LabelsU8:
        """The most probable label of each pixel.

        Args:
            probabilities: (C, H, W) floats of 0..1 that sum to one over C; aligned, C-contiguous float32 is used as it
                is, anything else is copied. Values under 1e-5 count as 1e-5.
            image: (H, W, 3) uint8 RGB.

        Returns:
            (H, W) uint8 class indices.

        Raises:
            InputError: another shape or dtype, NaN, or probabilities that do not sum to one.
        """
        labels = np.empty(self.shape[1:], dtype=np.uint8)
        self._native.run(self._checked(probabilities, image), np.ascontiguousarray(image), labels=labels)
        return labels

    def marginals(self, probabilities: NDArray[np.floating], image: ImageU8) -> NDArray[np.float32]:
        """The mean-field marginals: (C, H, W) float32 that sum to one over C. Arguments as in :meth:`labels`."""
        marginals = np.empty(self.shape, dtype=np.float32)
        self._native.run(self._checked(probabilities, image), np.ascontiguousarray(image), marginals=marginals)
        return marginals

    def _checked(self, probabilities: NDArray[np.floating], image: ImageU8) -> NDArray[np.float32]:
        check_image(image)
        values = check_probabilities(probabilities)
        if values.shape != self.shape:
            raise InputError(
                f"probabilities have shape {values.shape}", f"This CRF takes (C, H, W) = {self.shape}; make another"
            )
        if image.shape[:2] != self.shape[1:]:
            raise InputError(
                f"image is {image.shape[1]}x{image.shape[0]}, probabilities {self.shape[2]}x{self.shape[1]}",
                "Resize one to the other",
            )
        return values


def refine(
    probabilities: NDArray[np.floating],
    image: ImageU8,
    params: CrfParams | None = None,
    *,
    quality: Quality = "fast",
    output: CrfOutput = "labels",
    threads: int = 0,
) -> NDArray[np.uint8] | NDArray[np.float32]:
    """Refine what a network said about an image, in one call.

    Args:
        probabilities: (C, H, W) floats of 0..1 that sum to one over C.
        image: (H, W, 3) uint8 RGB.
        params: sigmas, weights, iterations; None for the defaults.
        quality: ``fast``, or ``accurate``: nearer to exact sums, at about three times the cost.
        output: ``labels`` or ``marginals``.
        threads: the most to use; 0 for all cores.

    Returns:
        (H, W) uint8 labels, or (C, H, W) float32 marginals that sum to one over C.

    Raises:
        InputError: another shape or dtype, NaN, probabilities that do not sum to one, or an argument out of range.
    """
    if output not in get_args(CrfOutput):
        raise InputError(f"output is {output!r}", f"Use one of {', '.join(get_args(CrfOutput))}")
    classes, height, width = check_probabilities(probabilities, sums=False).shape
    crf = _recent(height, width, classes, params or CrfParams(), quality, threads)
    return crf.labels(probabilities, image) if output == "labels" else crf.marginals(probabilities, image)


class CrfRefiner:
    """The dense CRF as a :class:`edgeseg.refine.base.Refiner`; its memory is kept from frame to frame.

    Args:
        params: sigmas, weights, iterations; None for the defaults.
        quality: ``fast`` or ``accurate``, see :class:`DenseCrf`.
        threads: the most to use; 0 for all cores.
    """

    def __init__(self, params: CrfParams | None = None, *, quality: Quality = "fast", threads: int = 0) -> None:
        self.params = params or CrfParams()
        self._quality: Quality = quality
        self._threads = threads
        self._crf: DenseCrf | None = None

    def __call__(self, probabilities: NDArray[np.float32], image: ImageU8) -> NDArray[np.float32]:
        """The mean-field marginals. See :meth:`edgeseg.refine.base.Refiner.__call__`."""
        crf = self._crf
        if crf is None or crf.shape != probabilities.shape:
            classes, height, width = probabilities.shape
            crf = DenseCrf(height, width, classes, self.params, quality=self._quality, threads=self._threads)
            self._crf = crf
        return crf.marginals(probabilities, image)


def fast_refiner(spec: ModelSpec, threads: int) -> CrfRefiner:
    """With the parameters fitted to a model, or else the defaults."""
    return CrfRefiner(spec.crf, threads=threads)


def accurate_refiner(spec: ModelSpec, threads: int) -> CrfRefiner:
    """The same with ``quality="accurate"``."""
    return CrfRefiner(spec.crf, quality="accurate", threads=threads)


def check_probabilities(probabilities: NDArray[np.floating], *, sums: bool = True) -> NDArray[np.float32]:
    """As C-contiguous float32, copied only where they are not.

    Raises:
        InputError: not (C, H, W) floats with C >= 2, or, with ``sums``, NaN, negative, or not summing to one.
    """
    if not isinstance(probabilities, np.ndarray):
        raise InputError(f"probabilities are {type(probabilities).__name__}", "Pass a NumPy array (C, H, W)")
    shape = probabilities.shape
    if len(shape) != 3 or shape[0] < 2 or 0 in shape or probabilities.dtype.kind != "f":
        raise InputError(
            f"probabilities have shape {probabilities.shape} and dtype {probabilities.dtype}",
            "Pass (C, H, W) float32 that sums to one over C, for 2 classes or more",
        )
    values = np.require(probabilities, np.float32, ["C", "A"])
    if sums:
        total = values.sum(axis=0)
        # Written so that NaN fails too.
        if not (values.min() >= 0 and total.min() >= 1 - SUM_TOLERANCE and total.max() <= 1 + SUM_TOLERANCE):
            raise InputError(
                f"probabilities are {values.min():.4g} to {values.max():.4g} and sum to {total.min():.4g} to "
                f"{total.max():.4g} over the classes",
                "Pass them after softmax, without NaN",
            )
    return values


_last = threading.local()


def _recent(height: int, width: int, classes: int, params: CrfParams, quality: Quality, threads: int) -> DenseCrf:
    """The CRF of this thread's last call, where it fits: a stream of frames is then as quick as with a DenseCrf."""
    key = (height, width, classes, params, quality, threads)
    if getattr(_last, "key", None) != key:
        _last.crf = DenseCrf(height, width, classes, params, quality=quality, threads=threads)
        _last.key = key
    crf: DenseCrf = _last.crf
    return crf


def _rows(terms: tuple[BilateralTerm, ...] | tuple[SpatialTerm, ...], columns: int) -> NDArray[np.float32]:
    return np.array([term.row() for term in terms], dtype=np.float32).reshape(-1, columns)
