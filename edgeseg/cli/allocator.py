"""The C library's memory, for a process that is left running."""

from __future__ import annotations

import ctypes
from contextlib import suppress

_M_ARENA_MAX = -8
_ARENAS = 2


def share_arenas() -> None:
    """Let threads share their heaps, where the C library is glibc.

    It gives each of the first threads one of its own otherwise, eight for each core, and what is freed in one serves no
    other: frames that pass from thread to thread then hold a seventh more memory, and go on growing for longer.
    """
    with suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").mallopt(_M_ARENA_MAX, _ARENAS)
