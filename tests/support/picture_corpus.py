"""Small pictures in every format and mode, and the ways they break."""

from __future__ import annotations

import io
import random
import struct
import zlib
from collections.abc import Iterator

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

HEIGHT, WIDTH = 24, 32


def blocks(seed: int = 0, size: int = 8) -> NDArray[np.uint8]:
    """(24, 32, 3) uint8 RGB: coloured squares."""
    rng = np.random.default_rng(seed)
    squares = rng.integers(0, 256, (HEIGHT // size, WIDTH // size, 3), dtype=np.uint8)
    return squares.repeat(size, 0).repeat(size, 1)


def encoded(image: Image.Image, form: str, **options: object) -> bytes:
    """The bytes of a Pillow image in a format."""
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def chunk(kind: bytes, body: bytes) -> bytes:
    """A chunk of PNG."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(rows: list[bytes], width: int, depth: int, color_type: int, *extra: bytes, height: int | None = None) -> bytes:
    """A PNG of packed rows, as no library writes them."""
    header = struct.pack(">IIBBBBB", width, height or len(rows), depth, color_type, 0, 0, 0)
    packed = zlib.compress(b"".join(b"\0" + row for row in rows), 9)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + b"".join(extra) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")
    )


def corpus() -> dict[str, bytes]:
    """Whole pictures by format and mode."""
    rgb = blocks()
    image, grey = Image.fromarray(rgb), Image.fromarray(rgb[..., 0])
    deep = rgb.astype(np.uint16) * 257
    found = {
        f"{form} {mode}": encoded((grey if mode == "LA" else image).convert(mode), form)
        for form, modes in {
            "PNG": ("1", "L", "LA", "P", "RGB", "RGBA"),
            "TIFF": ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK"),
            "BMP": ("1", "L", "P", "RGB"),
            "WEBP": ("RGB", "RGBA"),
            "GIF": ("L", "P"),
            "JPEG": ("L", "RGB", "CMYK"),
        }.items()
        for mode in modes
    }
    for compression in ("tiff_lzw", "tiff_deflate", "packbits", "jpeg"):
        found[f"TIFF {compression}"] = encoded(image, "TIFF", compression=compression)
    for form in ("TIFF", "WEBP", "PNG", "GIF"):
        found[f"{form} of three"] = encoded(
            image, form, save_all=True, append_images=[image.rotate(180), image.transpose(0)]
        )
    return {
        **found,
        "TIFF group4": encoded(image.convert("1"), "TIFF", compression="group4"),
        "TIFF fractions": encoded(Image.fromarray((rgb[..., 0] / 255).astype(np.float32)), "TIFF"),
        "PNG 16-bit grey": cv2.imencode(".png", deep[..., 0])[1].tobytes(),
        "TIFF 16-bit grey": cv2.imencode(".tiff", deep[..., 0])[1].tobytes(),
        "PNG 16-bit RGB": cv2.imencode(".png", deep)[1].tobytes(),
        "TIFF 16-bit RGB": cv2.imencode(".tiff", deep)[1].tobytes(),
        "WEBP lossless": encoded(image, "WEBP", lossless=True),
        "JPEG progressive": encoded(image, "JPEG", progressive=True),
        "JPEG with EXIF": encoded(image, "JPEG", exif=_turned(6)),
        "PNG with EXIF": encoded(image, "PNG", exif=_turned(6)),
        "TIFF with EXIF": encoded(image, "TIFF", exif=_turned(6)),
        "WEBP with EXIF": encoded(image, "WEBP", exif=_turned(6)),
    }


def _turned(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def broken(count: int, seed: int) -> Iterator[tuple[str, bytes]]:
    """``count`` pictures of the corpus, each damaged in one of six ways; PNG's checksums mended in most."""
    rng = random.Random(seed)
    whole = corpus()
    for _ in range(count):
        name = rng.choice(sorted(whole))
        data = bytearray(whole[name])
        at = rng.randrange(len(data))
        way = rng.randrange(6)
        if way == 0:
            del data[at:]
        elif way == 1:
            del data[at : at + rng.randrange(1, 50)]
        elif way == 2:
            data[at:at] = rng.randbytes(rng.randrange(1, 40))
        elif way == 3:
            number = rng.choice([0, 1, 0xFFFF, 1 << 20, 1 << 28, 0x7FFFFFFF, 0xFFFFFFFF])
            data[at : at + 4] = struct.pack(rng.choice("<>") + "I", number)
        else:
            for _ in range(rng.randint(1, 6)):
                data[rng.randrange(len(data) if way == 4 else min(len(data), 120))] = rng.randrange(256)
        if name.startswith("PNG") and rng.random() < 0.8:
            _mend_checksums(data)
        yield name, bytes(data)


def _mend_checksums(data: bytearray) -> None:
    at = 8
    while at + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, at)
        if at + 12 + length > len(data):
            return
        struct.pack_into(">I", data, at + 8 + length, zlib.crc32(bytes(data[at + 4 : at + 8 + length])))
        at += 12 + length
