"""The decoders of pictures, each for what it does best; all that they must agree on is settled before.

OpenCV decodes JPEG and still WebP, which it does fastest, and colours of 16 bits, which Pillow has not; Pillow the
rest; pillow-heif HEIC. Size, orientation and damage come from :mod:`edgeseg.data.picture_header`. Exceptions are the
decoders' own, of every kind: :mod:`edgeseg.data.pictures` turns them into ours.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edgeseg._native import jpeg_damage
from edgeseg.data.image_files import how_to_read_heif
from edgeseg.data.picture_header import SIDEWAYS, DamagedError, Header
from edgeseg.errors import MissingDependencyError
from edgeseg.installing import pip_install

_MOST_ANIMATED = 1 << 26
"""Pixels of an animated WebP, whose decoder takes eight bytes for each before it has read one."""

_COLOR_RGB: int | None = getattr(cv2, "IMREAD_COLOR_RGB", None)
"""OpenCV 4.11 and later spare the exchange of channels."""


@dataclass(frozen=True)
class PictureLimit:
    """How large a picture may be: beyond it, it is refused before memory is taken for it.

    Attributes:
        side_px: the longer side.
        area_px: all pixels.
    """

    side_px: int
    area_px: int


class TooLargeError(ValueError):
    """The picture is beyond the limit."""


class UnusualError(ValueError):
    """The picture is whole, but what it holds cannot be taken for a picture of 8 bits."""


@dataclass(frozen=True, eq=False)
class Page:
    """A picture as it is stored, upright.

    Attributes:
        values: (H, W) or (H, W, 3) RGB, of any type of number.
        header: of the file it is from.
    """

    values: NDArray[Any]
    header: Header


def _check_size(height: int, width: int, limit: PictureLimit) -> None:
    if height < 1 or width < 1:
        raise DamagedError("it has no pixels")
    if max(height, width) > limit.side_px or height * width > limit.area_px:
        raise TooLargeError(
            f"{width}x{height}, more than the {limit.side_px} pixels a side and {limit.area_px / 1e6:.0f} megapixels "
            "that are read"
        )


def pages(header: Header, limit: PictureLimit, as_label: bool = False, least_px: int | None = None) -> Iterator[Page]:
    """The pictures in a file; exceptions are the decoders' own.

    Args:
        header: of the file.
        limit: larger ones are refused.
        as_label: palettes give their indices, and values stay as they are stored.
        least_px: the shorter side that is enough, where a decoder is quicker at a part of the size; None for all of it.
    """
    if header.format == "webp" and header.animated:
        limit = PictureLimit(limit.side_px, min(limit.area_px, _MOST_ANIMATED))
    if header.size is not None:
        _check_size(*header.size, limit)
    if header.format == "heif":
        yield from (Page(values, header) for values in _by_pillow_heif(header, limit))
    elif header.format == "jpeg" or (header.format == "webp" and not header.animated and not as_label):
        if header.format == "jpeg" and (wrong := jpeg_damage(header.data)):
            raise DamagedError(wrong)  # OpenCV would fill what is missing with grey
        yield Page(_upright(_by_opencv(header, least_px), header.orientation), header)
    elif (header.depth > 8 and header.color) or _beyond_pillow(header):
        if header.animated:
            raise UnusualError("holds several pictures with colours of more than 8 bits")
        yield Page(_upright(_unchanged_by_opencv(header), header.orientation), header)
    else:
        yield from _by_pillow(header, limit, as_label)


def _beyond_pillow(header: Header) -> bool:
    """Whether Pillow's reader of TIFF would refuse the picture for its size."""
    from PIL import Image

    most = Image.MAX_IMAGE_PIXELS
    return header.format == "tiff" and bool(most and header.size and header.size[0] * header.size[1] > most)


def _by_opencv(header: Header, least_px: int | None = None) -> NDArray[Any]:
    """(H, W, 3) uint8 RGB."""
    reduced = _reduced(header, least_px)
    if reduced is not None:
        bgr = _decoded(header, reduced | cv2.IMREAD_IGNORE_ORIENTATION)
        return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB))
    if _COLOR_RGB is not None:
        return _decoded(header, _COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION)
    return np.asarray(
        cv2.cvtColor(_decoded(header, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION), cv2.COLOR_BGR2RGB)
    )


def _reduced(header: Header, least_px: int | None) -> int | None:
    """OpenCV's flag for the smallest JPEG that is large enough: fewer frequencies of each block are worked out."""
    if least_px is None or header.format != "jpeg" or header.size is None:
        return None
    for factor, flag in (
        (8, cv2.IMREAD_REDUCED_COLOR_8),
        (4, cv2.IMREAD_REDUCED_COLOR_4),
        (2, cv2.IMREAD_REDUCED_COLOR_2),
    ):
        if min(header.size) >= factor * least_px:
            return int(flag)
    return None


def _unchanged_by_opencv(header: Header) -> NDArray[Any]:
    """(H, W) or (H, W, 3) RGB of the numbers that are stored."""
    values = _decoded(header, cv2.IMREAD_UNCHANGED)
    if values.ndim == 2:
        return values
    if values.shape[2] < 3:
        return values[..., 0]
    return np.asarray(cv2.cvtColor(values[..., :3], cv2.COLOR_BGR2RGB))


def _decoded(header: Header, flags: int) -> NDArray[Any]:
    values = cv2.imdecode(np.frombuffer(header.data, np.uint8), flags)
    if values is None:
        raise DamagedError("OpenCV cannot decode it")
    return np.asarray(values)


def _by_pillow(header: Header, limit: PictureLimit, as_label: bool) -> Iterator[Page]:
    # The classes themselves, not Image.open: it knows formats that run other programs, and its limit of size is one for
    # the whole process.
    from PIL import BmpImagePlugin, GifImagePlugin, PngImagePlugin, TiffImagePlugin, WebPImagePlugin

    opens: dict[str, Any] = {
        "png": PngImagePlugin.PngImageFile,
        "bmp": BmpImagePlugin.BmpImageFile,
        "gif": GifImagePlugin.GifImageFile,
        "tiff": TiffImagePlugin.TiffImageFile,
        "webp": WebPImagePlugin.WebPImageFile,
    }
    if header.format == "avif":
        opens["avif"] = _avif_class()
    with opens[header.format](io.BytesIO(header.data)) as image:
        for page in range(getattr(image, "n_frames", 1) if header.animated else 1):
            if page in header.extra:
                continue
            image.seek(page)
            _check_size(image.size[1], image.size[0], limit)
            if image.mode in ("RGB", "RGBA", "RGBX") and max(getattr(image, "tag_v2", {}).get(258, (8,))) > 8:
                raise UnusualError("holds several pictures with colours of more than 8 bits")  # Pillow would cut them
            turn = header.turns[page] if page < len(header.turns) else header.orientation
            values = _stored_values(image, header) if as_label else _picture_values(image)
            yield Page(_upright(values, turn), header)


def _picture_values(image: Any) -> NDArray[Any]:
    """(H, W) or (H, W, 3) of a Pillow image, as colours where it has a palette."""
    mode = image.mode
    if mode == "1":
        return np.array(image.convert("L"))
    if mode in ("P", "PA", "CMYK", "YCbCr", "RGBa"):
        return np.array(image.convert("RGB"))
    if mode in ("LA", "La"):
        return np.array(image.getchannel(0))
    if mode in ("RGBA", "RGBX"):
        return np.array(image)[..., :3]
    if mode in ("L", "RGB", "I", "F") or mode.startswith("I;16"):
        return np.array(image)
    raise UnusualError(f"has colours of the kind {mode}")


def _stored_values(image: Any, header: Header) -> NDArray[Any]:
    """(H, W) or (H, W, 3) of a Pillow image, the indices where it has a palette."""
    mode = image.mode
    if mode == "1":
        return np.asarray(np.array(image.convert("L")) // np.uint8(255))
    if mode == "PA":
        return np.array(image.getchannel(0))
    if mode == "P":
        return np.array(image)
    values = _picture_values(image)
    if header.depth in (2, 4) and mode == "L":
        return np.asarray(values // np.uint8(255 // (2**header.depth - 1)))  # Pillow spreads them over 0..255
    return values


def _avif_class() -> Any:
    try:
        from PIL import AvifImagePlugin
    except ImportError:
        supported = False
    else:
        supported = AvifImagePlugin.SUPPORTED
    if not supported:
        raise MissingDependencyError("AVIF pictures need Pillow 11.3 or later", f"Run: {pip_install('pillow>=11.3')}")
    return AvifImagePlugin.AvifImageFile


def _by_pillow_heif(header: Header, limit: PictureLimit) -> Iterator[NDArray[Any]]:
    try:
        pillow_heif: Any = import_module("pillow_heif")
    except ImportError:
        raise MissingDependencyError("it is a HEIC picture, which needs pillow-heif", how_to_read_heif()) from None
    # The library turns the picture as the file says; what EXIF says besides is not to be applied.
    for image in pillow_heif.open_heif(io.BytesIO(header.data), convert_hdr_to_8bit=True):
        _check_size(image.size[1], image.size[0], limit)
        values = np.array(image)
        yield np.ascontiguousarray(values[..., :3]) if values.ndim == 3 and values.shape[2] >= 3 else values


def _upright(values: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Turned as EXIF's orientation 1..8 says."""
    if orientation >= SIDEWAYS:
        values = values.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        values = values[::-1]
    if orientation in (2, 3, 6, 7):
        values = values[:, ::-1]
    return values
