"""The boxes that an MP4 is made of (ISO/IEC 14496-12, 4.2), as far as telling whole ones from torn ones takes."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO


def end_of_header(path: Path, size: int = 4096) -> bytes:
    """The last bytes of the box ``moov``, where what is noted about the file stands; empty where there is none."""
    with path.open("rb") as file:
        for kind, start, end in _boxes(file):
            if kind == b"moov":
                file.seek(max(start, end - size))
                return file.read(min(end - start, size))
    return b""


def ends_whole(path: Path) -> bool:
    """Whether the file has a header and pictures, and ends where its last box does."""
    with path.open("rb") as file:
        boxes = list(_boxes(file))
        return {b"moov", b"mdat"} <= {kind for kind, _, _ in boxes} and boxes[-1][2] == file.seek(0, os.SEEK_END)


def cut_torn_fragment(path: Path) -> None:
    """Cut off what follows the last whole fragment of a fragmented MP4: a full disk takes half of what is written.

    Players stop at a fragment that is torn, or refuse the file. Files without a whole fragment are left as they are.
    """
    with path.open("r+b") as file:
        whole = max((end for kind, _, end in _boxes(file) if kind == b"mdat"), default=0)
        if whole:
            file.truncate(whole)


def _boxes(file: BinaryIO) -> Iterator[tuple[bytes, int, int]]:
    """Kind, start and end of each box at the top, up to the first that is torn."""
    total = file.seek(0, os.SEEK_END)
    start = 0
    while start + 8 <= total:
        file.seek(start)
        size, kind = struct.unpack(">I4s", file.read(8))
        if size == 1:  # a box of 4 GiB or more has its size after its type
            extended = file.read(8)
            size = struct.unpack(">Q", extended)[0] if len(extended) == 8 else 0
        if size < 8 or start + size > total:
            return
        yield kind, start, start + size
        start += size
