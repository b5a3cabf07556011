"""From what the network returns to labels at the picture's size."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from edgeseg.errors import MissingDependencyError
from edgeseg.spec.palette import IGNORE
from edgeseg.spec.placement import Placement, Span
from edgeseg.types import LabelsU8

try:
    from edgeseg._native import upsample_argmax
except ImportError as error:
    raise MissingDependencyError(
        f"edgeseg's native extension cannot be loaded ({error})", "Build and install it: pip install ."
    ) from error

_ALL: tuple[Span, Span] = ((0, 1, 1), (0, 1, 1))


def to_labels(
    output: NDArray[np.float32] | NDArray[np.uint8],
    size: tuple[int, int],
    threads: int = 0,
    spans: tuple[Span, Span] = _ALL,
) -> LabelsU8:
    """The labels of one image at ``size``.

    Logits are upsampled bilinearly (half-pixel centres) and reduced by argmax in one pass, straight to ``size``;
    labels are resized to the nearest pixel.

    Args:
        output: (1, C, h, w) float32 logits or (1, h, w) uint8 labels, as a backend returns them.
        size: (height, width) in pixels.
        threads: CPU threads for the fused kernel; 0 means all cores.
        spans: the rows and columns of ``output`` that are wanted, such as the picture without a border.

    Returns:
        (height, width) uint8 class indices.
    """
    height, width = size
    rows, columns = spans
    if output.ndim == 4:
        logits = np.require(output, np.float32, ["C", "A"])
        labels: LabelsU8 = upsample_argmax(logits, height, width, threads, rows=rows, columns=columns)[0]
        return labels
    parts = (slice(side * a // n, side * b // n) for side, (a, b, n) in zip(output.shape[1:], spans, strict=True))
    # INTER_NEAREST samples from the pixel's corner and would shift the labels by up to half a pixel.
    resized = cv2.resize(output[0][tuple(parts)], (width, height), interpolation=cv2.INTER_NEAREST_EXACT)
    return np.asarray(resized, dtype=np.uint8)


def placed_labels(output: NDArray[np.float32] | NDArray[np.uint8], placement: Placement, threads: int = 0) -> LabelsU8:
    """The labels of a picture whose canvas the network has looked at, without the border; 255 where it saw nothing.

    Args:
        output: (1, C, h, w) float32 logits or (1, h, w) uint8 labels of the whole canvas.
        placement: of the picture.
        threads: as in :func:`to_labels`.

    Returns:
        (height, width) uint8 class indices at the picture's size.
    """
    seen = to_labels(output, placement.seen.size, threads, placement.spans)
    if placement.sees_all:
        return seen
    labels = np.full(placement.picture, IGNORE, dtype=np.uint8)
    labels[placement.seen.slices] = seen
    return labels


def placed_values(values: NDArray[np.float32], placement: Placement) -> NDArray[np.float32]:
    """Values of a canvas, such as probabilities, at the picture's size, bilinear; 0 where the network saw nothing.

    Args:
        values: (h, w) float32 of the whole canvas.
        placement: of the picture.

    Returns:
        (height, width) float32.
    """
    height, width = placement.seen.size
    for axis, (size, span) in enumerate(zip((height, width), placement.spans, strict=True)):
        values = _resampled(values, axis, size, span)
    if placement.sees_all:
        return values
    whole = np.zeros(placement.picture, dtype=np.float32)
    whole[placement.seen.slices] = values
    return whole


def _resampled(values: NDArray[np.float32], axis: int, size: int, span: Span) -> NDArray[np.float32]:
    """Along one axis, from the part of it that a span says to ``size`` values."""
    count, (begin, end, whole) = values.shape[axis], span
    at = (begin + (np.arange(size) + 0.5) * (end - begin) / size) * count / whole - 0.5
    at = at.clip(0, count - 1)
    low = np.minimum(at.astype(int), max(0, count - 2))
    share = (at - low).astype(np.float32)[:, None] if axis == 0 else (at - low).astype(np.float32)
    one, other = (np.take(values, np.minimum(index, count - 1), axis) for index in (low, low + 1))
    return np.asarray(one + (other - one) * share, dtype=np.float32)
