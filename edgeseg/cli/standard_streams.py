"""Standard input, output and error as they are found: closed, as daemons have them, or strict about letters."""

from __future__ import annotations

import io
import os
import sys

_closed: set[int] = set()


def prepare() -> None:
    """Make sure that there are all three, and that no name can fail to be printed.

    Where one is closed, the next file that is opened would take its number, and what a library has to say would go into
    it: so it is opened on nothing. Letters that the encoding lacks are shown by their numbers.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            _closed.add(number)
    while (opened := os.open(os.devnull, os.O_RDWR)) < 3:
        pass
    os.close(opened)
    sys.stdout = sys.stdout or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - for as long as it lives
    sys.stderr = sys.stderr or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def was_open(number: int) -> bool:
    """Whether there was a standard stream of this number when the process began."""
    return number not in _closed
