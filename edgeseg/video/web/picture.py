"""A result as bytes for viewers: the picture and its labels for the page, or the overlay as one JPEG.

What the page gets, and joins by itself::

    4 bytes   length of the header, little-endian
    header    JSON: stream, index, width, height, and the length of the JPEG in bytes
    JPEG      the plain frame
    labels    width * height bytes, each row but the first XORed with the one above it, deflated (zlib)

Large frames are made smaller first; labels keep whole classes.
"""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np

from edgeseg import _native
from edgeseg.errors import InputError
from edgeseg.spec.palette import lookup_table, painted
from edgeseg.types import ImageU8, LabelsU8, Result

Kind = Literal["layers", "overlay"]
"""The picture and its labels, or the one painted over the other."""

_HIGHEST = 8192  # pixels; JPEG ends at 65535
_FASTEST = 1  # of zlib's levels: three times as fast as the default, half as large again


@dataclass(frozen=True)
class Encoding:
    """How pictures are encoded.

    Attributes:
        jpeg_quality: 1..100.
        max_width: pixels; wider frames are made smaller.
        opacity: of the class colours in the overlay, 0..1.
    """

    jpeg_quality: int = 80
    max_width: int = 1280
    opacity: float = 0.5

    def __post_init__(self) -> None:
        if not 1 <= self.jpeg_quality <= 100:
            raise InputError(f"JPEG quality is {self.jpeg_quality}", "Use 1 (smallest) to 100 (best)")
        if self.max_width < 16:
            raise InputError(f"pictures for the page would be {self.max_width} pixels wide", "Use 16 or more")

    def encode(self, result: Result, kind: Kind) -> bytes:
        """The bytes for viewers of one kind; the result has a segmentation."""
        assert result.segmentation is not None
        rgb_u8, labels = self._shrink(result.frame.rgb_u8, result.segmentation.labels)
        if kind == "layers":
            return _pack(result, rgb_u8.shape, self._to_jpeg(rgb_u8), _deflate(labels))
        colors = result.segmentation.spec.colors
        painting = _native.overlay(rgb_u8, painted(labels, colors), lookup_table(colors), self.opacity, threads=1)
        return self._to_jpeg(painting)

    def _shrink(self, rgb_u8: ImageU8, labels: LabelsU8) -> tuple[ImageU8, LabelsU8]:
        height, width = labels.shape
        scale = min(1.0, self.max_width / width, _HIGHEST / height)
        if scale == 1.0:
            return rgb_u8, labels
        size = max(1, round(width * scale)), max(1, round(height * scale))
        small_rgb = cv2.resize(rgb_u8, size, interpolation=cv2.INTER_AREA)
        small_labels = cv2.resize(labels, size, interpolation=cv2.INTER_NEAREST)
        return np.asarray(small_rgb, dtype=np.uint8), np.asarray(small_labels, dtype=np.uint8)

    def _to_jpeg(self, rgb_u8: ImageU8) -> bytes:
        bgr_u8 = cv2.cvtColor(rgb_u8, cv2.COLOR_RGB2BGR)
        is_done, jpeg = cv2.imencode(".jpg", bgr_u8, [cv2.IMWRITE_JPEG_QUALITY, self.jpeg_quality])
        if not is_done:
            raise ValueError(f"OpenCV makes no JPEG of {bgr_u8.shape[1]}x{bgr_u8.shape[0]}")
        return jpeg.tobytes()


def _deflate(labels: LabelsU8) -> bytes:
    changes = labels.copy()
    changes[1:] ^= labels[:-1]  # mostly zeros: rows are alike
    return zlib.compress(changes, _FASTEST)


def _pack(result: Result, shape: tuple[int, ...], jpeg: bytes, labels: bytes) -> bytes:
    header = json.dumps(
        {
            "stream": result.stream,
            "index": result.frame.index,
            "width": shape[1],
            "height": shape[0],
            "jpeg_bytes": len(jpeg),
        }
    ).encode()
    return b"".join((len(header).to_bytes(4, "little"), header, jpeg, labels))
