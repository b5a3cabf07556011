"""From a picture of any size to what the network takes."""

from __future__ import annotations

import cv2
import numpy as np

from edgeseg.types import ImageU8


def to_input(image: ImageU8, size: tuple[int, int]) -> ImageU8:
    """Stretch ``image`` to the model's input size.

    Shrinking averages over areas, so that thin things keep their weight; enlarging is bilinear.

    Args:
        image: (H, W, 3) uint8 RGB.
        size: (height, width) in pixels.

    Returns:
        (1, height, width, 3) uint8 RGB, C-contiguous; a view of ``image`` where its size fits.
    """
    height, width = size
    image = np.ascontiguousarray(image)
    if image.shape[:2] != size:
        shrinks = height <= image.shape[0] and width <= image.shape[1]
        resized = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
        image = np.asarray(resized, dtype=np.uint8)
    return image[np.newaxis]
