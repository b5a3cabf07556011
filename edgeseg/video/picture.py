"""A decoded picture as an array."""

from __future__ import annotations

import av
import numpy as np

from edgeseg.types import ImageU8


def to_rgb(picture: av.VideoFrame) -> ImageU8:
    """(H, W, 3) uint8 RGB of its own memory, turned upright where the camera was held sideways."""
    return np.ascontiguousarray(np.rot90(picture.to_ndarray(format="rgb24"), picture.rotation // 90), dtype=np.uint8)
