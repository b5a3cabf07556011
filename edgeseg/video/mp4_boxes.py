"""The boxes that an MP4 is made of (ISO/IEC 14496-12, 4.2), as far as telling whole ones from torn ones takes."""

from __future__ import annotations

import os
import struct
from pathlib import Path


def end_of_header(path: Path, size: int = 4096) -> bytes:
    """The last bytes of the box ``moov``, where what is noted about the file stands; empty where there is none."""
    with path.open("rb") as file:
        end = file.seek(0, os.SEEK_END)
        position = 0
        while position + 8 <= end:
            file.seek(position)
            length, kind = struct.unpack(">I4s", file.read(8))
            if length == 1:
                extended = file.read(8)
                length = struct.unpack(">Q", extended)[0] if len(extended) == 8 else 0
            if length < 8:
                break
            if kind == b"moov":
                file.seek(max(position, position + length - size))
                return file.read(min(length, size))
            position += length
    return b""


def cut_torn_fragment(path: Path) -> None:
    """Cut off what follows the last whole fragment of a fragmented MP4: a full disk takes half of what is written.

    Players stop at a fragment that is torn, or refuse the file. Files without a whole fragment are left as they are.
    """
    with path.open("r+b") as file:
        end = file.seek(0, os.SEEK_END)
        position = whole = 0
        while position + 8 <= end:
            file.seek(position)
            size, kind = struct.unpack(">I4s", file.read(8))
            if size == 1:  # a box of 4 GiB or more has its size after its type
                extended = file.read(8)
                size = struct.unpack(">Q", extended)[0] if len(extended) == 8 else 0
            if size < 8 or position + size > end:
                break
            position += size
            if kind == b"mdat":
                whole = position
        if whole:
            file.truncate(whole)
