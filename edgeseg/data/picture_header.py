"""What the bytes of a picture say before anything is decoded: its format, size and turn, and whether it is all there.

Decoders differ, and some fill what is missing with grey. What is found here holds for all of them, whatever their
version: PNG's checksums, the ends of JPEG and WebP, and the size, before memory is taken for it.
"""

from __future__ import annotations

import mmap
import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Format = Literal["png", "jpeg", "webp", "tiff", "bmp", "gif", "heif", "avif"]

_PNG = b"\x89PNG\r\n\x1a\n"
_HEIF_BRANDS = frozenset({b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1", b"mif2"})
_AVIF_BRANDS = frozenset({b"avif", b"avis"})

ORIENTATION = 0x0112
"""The tag of EXIF and TIFF that says how a picture is to be turned, 1..8."""

SIDEWAYS = 5
"""From here on orientations exchange width and height."""

MAX_PAGES = 1 << 16

_SUBFILE = 0x00FE
_NEXT_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
_INTEGERS = {1: "B", 3: "H", 4: "I"}

MAX_SCANS = 100
"""Passes of a progressive JPEG. Writers make about ten; each costs the time of a picture."""

_KEPT_CHUNKS = frozenset({b"IHDR", b"PLTE", b"IDAT", b"IEND", b"acTL", b"fcTL", b"fdAT"})


class DamagedError(ValueError):
    """The bytes are not those of a whole picture."""


@dataclass(frozen=True)
class Header:
    """What a picture says of itself.

    Attributes:
        format: the format of the bytes, whatever the file is called.
        size: (height, width) as stored; None where only the decoder finds it.
        orientation: EXIF's, 1..8.
        animated: it may hold several pictures.
        lossy: its values are not those that were saved.
        significant_bits: of 16, where the file says so; else None.
        depth: bits of each sample, where they are known.
        color: it stores colours: more than one channel beside alpha, and no palette.
        inverted: 0 is white, as in some TIFF files.
        turns: the orientation of each page of a TIFF file.
        extra: the pages of a TIFF file that are smaller copies or masks of others.
        data: the bytes to decode: without what only takes memory, such as compressed texts, and without the
            orientation in TIFF.
    """

    format: Format
    data: bytes
    size: tuple[int, int] | None = None
    orientation: int = 1
    animated: bool = False
    lossy: bool = False
    significant_bits: int | None = None
    depth: int = 8
    color: bool = True
    inverted: bool = False
    turns: tuple[int, ...] = ()
    extra: frozenset[int] = frozenset()

    @property
    def upright_size(self) -> tuple[int, int] | None:
        """(height, width) as it is shown; None where only the decoder finds it."""
        return self.size[::-1] if self.size is not None and self.orientation >= SIDEWAYS else self.size


def read_header(data: bytes) -> Header:
    """Look at a picture without decoding it.

    Raises:
        DamagedError: no format that is known, or not all there.
    """
    try:
        if data.startswith(_PNG):
            return _png(data)
        if data.startswith(b"\xff\xd8\xff"):
            return _jpeg(data)
        if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
            return _webp(data)
        if data[:4] in (b"II*\0", b"MM\0*"):
            return _tiff(data)
        if data[:4] in (b"II+\0", b"MM\0+"):
            return Header("tiff", data, animated=True)
        if data.startswith(b"BM"):
            return Header("bmp", data)
        if data[:6] in (b"GIF87a", b"GIF89a"):
            return Header("gif", data, animated=True)
        if data[4:8] == b"ftyp":
            brands = {
                data[8:12],
                *(data[at : at + 4] for at in range(16, min(int.from_bytes(data[:4], "big"), 256), 4)),
            }
            if brands & _AVIF_BRANDS:
                return Header("avif", data, animated=True, lossy=True)
            if brands & _HEIF_BRANDS:
                return Header("heif", data, animated=True, lossy=True)
    except (struct.error, IndexError):
        raise DamagedError("it ends early") from None
    raise DamagedError("it is empty" if not data else "its format is not known")


Tags = dict[int, tuple[int, ...]]
"""The whole numbers in a directory of TIFF or EXIF data, by tag."""


def directories(data: bytes | bytearray | mmap.mmap, most: int = MAX_PAGES) -> Iterator[tuple[Tags, dict[int, int]]]:
    """The directories of TIFF or EXIF data, one a page: their tags, and where the tags' values lie.

    What is damaged, or leads back to where it came from, ends them.
    """
    order = {b"II": "<", b"MM": ">"}.get(bytes(data[:2]))
    if order is None:
        return
    seen: set[int] = set()
    place = 4
    try:
        while len(seen) < most:
            (begin,) = struct.unpack_from(f"{order}I", data, place)
            if not begin or begin in seen:
                return
            seen.add(begin)
            (count,) = struct.unpack_from(f"{order}H", data, begin)
            tags: Tags = {}
            places: dict[int, int] = {}
            for entry in range(begin + 2, begin + 2 + 12 * count, 12):
                tag, kind, values = struct.unpack_from(f"{order}HHI", data, entry)
                if kind in _INTEGERS and 1 <= values <= 64:
                    form = f"{order}{values}{_INTEGERS[kind]}"
                    (away,) = struct.unpack_from(f"{order}I", data, entry + 8)
                    places[tag] = entry + 8 if struct.calcsize(form) <= 4 else away
                    tags[tag] = struct.unpack_from(form, data, places[tag])
            yield tags, places
            place = begin + 2 + 12 * count
    except struct.error:
        return


def page_count(path: Path) -> int | None:
    """How many pictures a file holds, from a look at its beginning; None where only the decoder knows."""
    try:
        with path.open("rb") as file:
            head = file.read(4096)
            if head.startswith(_PNG):
                at = head.find(b"acTL")
                return 1 if at < 0 else int(struct.unpack_from(">I", head, at + 4)[0])
            if head[:4] == b"RIFF":
                return None if head[12:16] == b"VP8X" and head[20] & 2 else 1
            if head[:4] in (b"II*\0", b"MM\0*"):
                with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as whole:
                    return sum(_is_page(tags) for tags, _ in directories(whole)) or None
            return 1 if head[:2] in (b"\xff\xd8", b"BM") else None
    except (OSError, ValueError, struct.error, IndexError):
        return None  # reading it will tell why


def _is_page(tags: Tags) -> bool:
    """Whether a directory is a picture of its own, and neither a smaller copy of one nor a mask."""
    return not tags.get(_SUBFILE, (0,))[0] & 5


def _turn(exif: bytes) -> int:
    tags = next(directories(exif.removeprefix(b"Exif\0\0"), 1), ({}, {}))[0]
    return _turn_of(tags)


def _turn_of(tags: Tags) -> int:
    (value, *_) = tags.get(ORIENTATION, (1,))
    return value if 1 <= value <= 8 else 1


def _png(data: bytes) -> Header:
    view = memoryview(data)
    at, kept, found = len(_PNG), [view[: len(_PNG)]], dict[bytes, bytes]()
    while b"IEND" not in found:
        length, kind = struct.unpack_from(">I4s", data, at)
        if not kind.isalpha():
            raise DamagedError("a PNG chunk has no name")
        end = at + 12 + length
        if end > len(data):
            raise DamagedError("it ends early")
        if kind in _KEPT_CHUNKS or kind in (b"eXIf", b"sBIT"):
            (checksum,) = struct.unpack_from(">I", data, end - 4)
            if zlib.crc32(view[at + 4 : end - 4]) != checksum:
                raise DamagedError(f"the checksum of its {kind.decode('ascii', 'replace')} chunk is wrong")
            found.setdefault(kind, b"" if kind in (b"IDAT", b"fdAT") else data[at + 8 : end - 4])
        elif kind[:1].isupper():
            raise DamagedError("it holds a critical PNG chunk that is not known")
        if kind in _KEPT_CHUNKS:
            kept.append(view[at:end])
        at = end
    if b"IHDR" not in found or b"IDAT" not in found:
        raise DamagedError("it holds no picture")
    width, height, depth, color_type = struct.unpack_from(">IIBB", found[b"IHDR"])
    frames = struct.unpack_from(">I", found[b"acTL"])[0] if b"acTL" in found else 1
    bits = max(found[b"sBIT"][: 1 if color_type in (0, 4) else 3], default=0) if b"sBIT" in found else 0
    return Header(
        "png",
        b"".join(kept),
        (height, width),
        _turn(found.get(b"eXIf", b"")),
        animated=frames > 1,
        significant_bits=bits if 8 <= bits < depth else None,
        depth=depth,
        color=color_type in (2, 6),
    )


def _jpeg(data: bytes) -> Header:
    at, size, exif, scans, channels, depth = 2, None, b"", 0, 3, 8
    while True:
        found = _NEXT_MARKER.search(data, at)
        if found is None:
            raise DamagedError("it ends early")
        marker, at = found[0][1], found.end()
        if marker == 0xD9:
            break
        if marker in (0x01, 0xD8):
            continue
        (length,) = struct.unpack_from(">H", data, at)
        if marker == 0xE1 and not exif and data[at + 2 : at + 8] == b"Exif\0\0":
            exif = data[at + 2 : at + length]
        elif 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            depth, height, width, channels = struct.unpack_from(">BHHB", data, at + 2)
            size = (height, width)
        elif marker == 0xDA:
            scans += 1
            if scans > MAX_SCANS:
                raise DamagedError(f"it has more than {MAX_SCANS} scans")
        at += length
    if size is None or not scans:
        raise DamagedError("it holds no picture")
    return Header("jpeg", data, size, _turn(exif), lossy=True, depth=depth, color=channels > 1)


def _webp(data: bytes) -> Header:
    (length,) = struct.unpack_from("<I", data, 4)
    end = 8 + length
    if end > len(data):
        raise DamagedError("it ends early")
    at, size, exif, animated, lossy = 12, None, b"", False, False
    while at + 8 <= end:
        kind, length = struct.unpack_from("<4sI", data, at)
        body = at + 8
        if body + length > end:
            raise DamagedError("it ends early")
        if kind == b"VP8X":
            animated = bool(data[body] & 2)
            size = (
                1 + int.from_bytes(data[body + 7 : body + 10], "little"),
                1 + int.from_bytes(data[body + 4 : body + 7], "little"),
            )
        elif kind == b"VP8L":
            (bits,) = struct.unpack_from("<I", data, body + 1)
            size = size or ((bits >> 14 & 0x3FFF) + 1, (bits & 0x3FFF) + 1)
        elif kind == b"VP8 ":
            width, height = struct.unpack_from("<HH", data, body + 6)
            size, lossy = size or (height & 0x3FFF, width & 0x3FFF), True
        elif kind == b"EXIF":
            exif = data[body : body + length]
        at = body + length + (length & 1)
    if size is None:
        raise DamagedError("it holds no picture")
    return Header("webp", data, size, _turn(exif), animated, lossy)


def _tiff(data: bytes) -> Header:
    upright = None
    turns, extra = [], []
    for page, (tags, places) in enumerate(directories(data)):
        turns.append(_turn_of(tags))
        if page and not _is_page(tags):
            extra.append(page)
        if turns[-1] != 1:
            # Some versions of the decoders turn the picture themselves, some do not: it is taken away from all.
            upright = upright or bytearray(data)
            struct.pack_into(f"{'<' if data[:1] == b'I' else '>'}H", upright, places[ORIENTATION], 1)
    tags = next(directories(data, 1), ({}, {}))[0]
    (width, *_), (height, *_) = tags.get(256, (0,)), tags.get(257, (0,))
    if not width or not height:
        raise DamagedError("it holds no picture")
    tile = [tags.get(tag, (0,))[0] for tag in (322, 323)]
    if tile[0] * tile[1] > 4 * max(width * height, 1 << 20):
        raise DamagedError("its tiles are larger than it is")
    depth, whitest = max(tags.get(258, (1,))), max(tags.get(281, (0,)))
    return Header(
        "tiff",
        bytes(upright) if upright else data,
        (height, width),
        turns[0],
        animated=len(turns) - len(extra) > 1,
        lossy=tags.get(259, (1,))[0] in (6, 7),
        significant_bits=max(8, whitest.bit_length()) if 0 < whitest < 1 << depth - 1 else None,
        depth=depth,
        color=tags.get(277, (1,))[0] >= 3 and tags.get(262, (1,))[0] != 3,
        inverted=tags.get(262, (1,))[0] == 0,
        turns=tuple(turns),
        extra=frozenset(extra),
    )
