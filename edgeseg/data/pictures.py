"""Pictures and label files read: every format, every exception of every decoder, and limits of size, in one place.

Pictures become 8-bit RGB:

- Alpha is left out; the stored colours count. Grey is repeated, palettes and CMYK become colours.
- Of 9 to 16 bits the highest 8 are taken: of as many bits as ``bit_depth`` says; or TIFF's BitsPerSample and
  MaxSampleValue, or PNG's sBIT; or 8, 10, 12, 14 or 16, whatever holds the values of the other pictures in the folder,
  as up to 16 of them show.
- Fractions from 0 to 1 become 0 to 255; other fractions are an error.
"""

from __future__ import annotations

import errno
import logging
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edgeseg.data.image_files import natural_order
from edgeseg.data.picture_decoders import Page, PictureLimit, TooLargeError, UnusualError, pages
from edgeseg.data.picture_header import Header, read_header
from edgeseg.errors import DatasetError, EdgesegError, MissingDependencyError
from edgeseg.types import ImageU8

BIT_DEPTHS = (8, 10, 12, 14, 16)
"""What cameras and sensors deliver."""

_log = logging.getLogger("edgeseg")


FILE_LIMIT = PictureLimit(1 << 16, 1 << 28)
"""Of files: 268 megapixels, such as 16384x16384. Decoding takes up to 2 GB then."""

LIVE_LIMIT = PictureLimit(1 << 13, 1 << 25)
"""Of pictures that a camera sends, which nobody has looked at: 8192 pixels a side, 33.5 megapixels (8K)."""

_MOST_BYTES = 9 * FILE_LIMIT.area_px
"""No picture within the limit has a larger file."""

_SAMPLED = 16
"""Pictures of a folder that are looked at to know their bit depth."""


def read_image(path: str | Path, *, bit_depth: int | None = None, limit: PictureLimit = FILE_LIMIT) -> ImageU8:
    """(H, W, 3) uint8 RGB of a file that holds one picture, upright.

    Args:
        path: PNG, JPEG, WebP, BMP, TIFF, GIF, AVIF or HEIC, by its content.
        bit_depth: of pictures with more than 8 bits; None to find it as this module says.
        limit: larger ones are refused.

    Raises:
        DatasetError: not there, no image, damaged, too large, or of several pages.
        MissingDependencyError: HEIC without pillow-heif.
    """
    path = Path(path)
    return decode_picture(read_picture_header(path), path, bit_depth=bit_depth, limit=limit)


def read_image_size(path: str | Path) -> tuple[int, int]:
    """(height, width) of what :func:`read_image` gives; the picture is decoded only where its header does not say.

    Raises:
        DatasetError: as :func:`read_image`.
    """
    path = Path(path)
    header = read_picture_header(path)
    height, width = header.upright_size or decode_picture(header, path).shape[:2]
    return height, width


def decode_picture(
    header: Header,
    path: Path,
    *,
    least_px: int | None = None,
    bit_depth: int | None = None,
    limit: PictureLimit = FILE_LIMIT,
) -> ImageU8:
    """(H, W, 3) uint8 RGB of a file whose header is known, upright.

    Args:
        header: as :func:`read_picture_header` has read it.
        path: the file, for messages and its folder's bit depth.
        least_px: JPEG is made up to eight times smaller, but no shorter side than this; None for the whole size.
        bit_depth, limit: as of :func:`read_image`.

    Raises:
        DatasetError: damaged, too large, or of several pages.
        MissingDependencyError: HEIC without pillow-heif.
    """
    with _told(str(path), DatasetError):
        found = list(islice(pages(header, limit, least_px=least_px), 2))
        if len(found) == 1:
            return _to_rgb(found[0], bit_depth, path)
    raise _several(path)


def read_pages(
    path: str | Path, *, bit_depth: int | None = None, limit: PictureLimit = FILE_LIMIT
) -> Iterator[ImageU8]:
    """The pictures of a file in their order: pages of TIFF, frames of animated WebP, PNG, GIF and AVIF.

    Arguments and errors are those of :func:`read_image`. Smaller copies of a TIFF page, and masks, are left out.
    """
    path = Path(path)
    header = read_picture_header(path)
    found = pages(header, limit)
    while True:
        with _told(str(path), DatasetError):
            page = next(found, None)
            image = None if page is None else _to_rgb(page, bit_depth, path)
        if image is None:
            return
        yield image


def decode_image(
    data: bytes,
    what: str,
    *,
    bit_depth: int | None = None,
    limit: PictureLimit = LIVE_LIMIT,
    error: type[EdgesegError] = DatasetError,
) -> ImageU8:
    """(H, W, 3) uint8 RGB of the bytes of one picture, upright; of several pages the first.

    Args:
        data: in any of the formats of :func:`read_image`.
        what: what it is, for messages.
        bit_depth: of more than 8 bits; None for what the picture says of itself, or else 16.
        limit: larger ones are refused before memory is taken for them.
        error: raised for all that is wrong.
    """
    with _told(what, error):
        return _to_rgb(next(pages(read_header(data), limit)), bit_depth, None)


def read_label_values(path: str | Path, *, limit: PictureLimit = FILE_LIMIT) -> NDArray[Any]:
    """The values of a label file as stored, upright: (H, W), or (H, W, 3) RGB where it holds colours.

    A palette file gives its indices, one of 1, 2 or 4 bits the values 0 to 1, 3 or 15. Alpha is left out.

    Raises:
        DatasetError: not there, no image, damaged, too large, of several pages, or compressed with loss.
    """
    path = Path(path)
    header = read_picture_header(path)
    if header.lossy:
        raise DatasetError(
            f"{path} is compressed with loss, which invents classes", "Save labels as PNG, or as lossless WebP"
        )
    with _told(str(path), DatasetError):
        found = list(islice(pages(header, limit, as_label=True), 2))
        if len(found) == 1:
            return found[0].values
    raise _several(path)


@contextmanager
def _told(what: str, error: type[EdgesegError]) -> Iterator[None]:
    """Every exception that a decoder can raise, in one line."""
    try:
        yield
    except MissingDependencyError as wrong:
        raise MissingDependencyError(f"{what}: {wrong.what}", wrong.remedy) from None
    except EdgesegError:
        raise
    except TooLargeError as wrong:
        raise error(f"{what} is {wrong}", "Make it smaller, or cut it into tiles") from None
    except UnusualError as wrong:
        raise error(f"{what} {wrong}", "Save it as 8-bit PNG or JPEG") from None
    except MemoryError:
        raise error(f"{what} needs more memory than there is", "Make it smaller, or cut it into tiles") from None
    except Exception as wrong:
        if type(wrong).__name__ == "DecompressionBombError":  # Pillow's own limit, for animations
            raise error(f"{what} is larger than Pillow decodes", "Make it smaller, or cut it into tiles") from None
        # SyntaxError, ValueError, struct.error, zlib.error, cv2.error, KeyError, EOFError, …
        reason = "".join(c for c in " ".join(str(wrong).split()) if c.isprintable())[:120] or type(wrong).__name__
        raise error(f"{what} is not an image or is damaged ({reason})", "Replace or remove it") from None


def _several(path: Path) -> DatasetError:
    return DatasetError(f"{path} holds several pictures", "Save each as a file of its own")


def read_picture_header(path: Path) -> Header:
    """The header of a file, which is read whole; nothing is decoded.

    Raises:
        DatasetError: not there, not a file, too large, or damaged as far as its header shows.
    """
    try:
        # A pipe that nobody writes to would keep us waiting.
        if os.path.isdir(path):
            raise DatasetError(f"{path} is a folder", "Pass an image")
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
        with open(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise DatasetError(f"{path} is not a file", "Pass an image")
            if status.st_size > _MOST_BYTES:
                raise DatasetError(f"{path} is larger than {_MOST_BYTES >> 30} GiB", "Pass an image")
            data = file.read()
    except ValueError as error:  # a null byte
        raise DatasetError(f"{str(path)!r} is no path ({error})", "Correct it") from None
    except OSError as error:
        remedy = "Allow it to be read" if error.errno in (errno.EACCES, errno.EPERM) else "Correct the path"
        raise DatasetError(f"{path} cannot be read ({error.strerror})", remedy) from None
    with _told(str(path), DatasetError):
        return read_header(data)


def _to_rgb(page: Page, bit_depth: int | None, path: Path | None) -> ImageU8:
    values = page.values
    if values.dtype == np.bool_:
        values = values.astype(np.uint8) * np.uint8(255)
    elif values.dtype.kind == "f":
        values = _of_fractions(values)
    elif values.dtype != np.uint8:
        values = _of_bits(values, page.header, bit_depth, path)
    if values.ndim == 2:
        return np.asarray(cv2.cvtColor(np.ascontiguousarray(values), cv2.COLOR_GRAY2RGB), dtype=np.uint8)
    return np.ascontiguousarray(values, dtype=np.uint8)


def _of_fractions(values: NDArray[Any]) -> NDArray[np.uint8]:
    low, high = float(values.min()), float(values.max())
    if not (low >= 0 and high <= 1):  # NaN is neither
        raise UnusualError(f"holds fractions from {low:g} to {high:g}, where 0 to 1 is black to white")
    return np.asarray(values * 255 + 0.5, dtype=np.uint8)


def _of_bits(values: NDArray[Any], header: Header, bit_depth: int | None, path: Path | None) -> NDArray[np.uint8]:
    values = _as_u16(values)
    highest = int(values.max())
    depth = bit_depth or _stated_depth(values, header) or (16 if path is None else _depth_of_folder(path, highest))
    if highest >= 1 << depth:
        raise DatasetError(
            f"{path or 'the picture'} holds values up to {highest}, which {depth} bits, as for the others, do not hold",
            f"Set bit_depth to {_rounded_up(highest.bit_length())}",
        )
    bits = np.asarray(values >> (depth - 8) if depth >= 8 else values << (8 - depth), dtype=np.uint8)
    return ~bits if header.inverted else bits


def _as_u16(values: NDArray[Any]) -> NDArray[np.uint16]:
    if values.dtype.kind not in "ui":
        raise UnusualError(f"holds values of the kind {values.dtype}")
    low, high = int(values.min()), int(values.max())
    if low < 0 or high > 0xFFFF:
        raise UnusualError(f"holds values from {low} to {high}, where 0 to 65535 are taken")
    return np.asarray(values, dtype=np.uint16)


def _stated_depth(values: NDArray[np.uint16], header: Header) -> int | None:
    """The bit depth that the file states; None without."""
    if 8 < header.depth < 16:
        return header.depth
    bits = header.significant_bits
    if bits is None:
        return None
    # As the PNG standard has it, the bits are the upper ones and repeat below; others leave them where they were.
    below = values & np.uint16((1 << 16 - bits) - 1)
    fills = bool((below == 0).all() or (below == values >> np.uint16(bits)).all())
    return 16 if fills or int(values.max()) >= 1 << bits else bits


def _depth_of_folder(path: Path, highest: int) -> int:
    folder = path.parent
    with suppress(OSError):
        changed_ns = folder.stat().st_mtime_ns
        return _sampled_depth(folder, changed_ns) or _rounded_up(highest.bit_length())
    return _rounded_up(highest.bit_length())


@lru_cache(maxsize=256)
def _sampled_depth(folder: Path, changed_ns: int) -> int:
    """The bit depth of the pictures of a folder with more than 8 bits that state none; 0 where there are none."""
    names = natural_order(folder / name for name in os.listdir(folder))
    files = [path for path in names if path.suffix.lower() in (".png", ".tif", ".tiff")]
    chosen = sorted({round(index) for index in np.linspace(0, len(files) - 1, min(_SAMPLED, len(files)))})
    highest = 0
    for path in (files[index] for index in chosen):
        with suppress(EdgesegError), _told(str(path), DatasetError):
            header = read_picture_header(path)
            if header.depth <= 8:
                continue
            for page in islice(pages(header, FILE_LIMIT), _SAMPLED):
                values = _as_u16(page.values)
                if _stated_depth(values, header) is None:
                    highest = max(highest, int(values.max()))
    if not highest:
        return 0
    depth = _rounded_up(highest.bit_length())
    if depth < 16:
        _log.warning(
            f"the 16-bit pictures in {folder} hold values up to {highest}: taken as {depth}-bit; set bit_depth if they "
            "are not"
        )
    return depth


def _rounded_up(bits: int) -> int:
    return next(depth for depth in BIT_DEPTHS if depth >= bits)
