"""From what the network returns to labels at the picture's size."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from edgeseg.errors import MissingDependencyError
from edgeseg.types import LabelsU8

try:
    from edgeseg._native import upsample_argmax
except ImportError as error:
    raise MissingDependencyError(
        f"edgeseg's native extension cannot be loaded ({error})", "Build and install it: pip install ."
    ) from error


def to_labels(output: NDArray[np.float32] | NDArray[np.uint8], size: tuple[int, int], threads: int = 0) -> LabelsU8:
    """The labels of one image at ``size``.

    Logits are upsampled bilinearly (half-pixel centres) and reduced by argmax in one pass, straight to ``size``;
    labels are resized to the nearest pixel.

    Args:
        output: (1, C, h, w) float32 logits or (1, h, w) uint8 labels, as a backend returns them.
        size: (height, width) in pixels.
        threads: CPU threads for the fused kernel; 0 means all cores.

    Returns:
        (height, width) uint8 class indices.
    """
    height, width = size
    if output.ndim == 4:
        labels: LabelsU8 = upsample_argmax(np.require(output, requirements=["C", "A"]), height, width, threads)[0]
        return labels
    # INTER_NEAREST samples from the pixel's corner and would shift the labels by up to half a pixel.
    resized = cv2.resize(output[0], (width, height), interpolation=cv2.INTER_NEAREST_EXACT)
    return np.asarray(resized, dtype=np.uint8)
