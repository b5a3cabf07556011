"""A file that FFmpeg writes to through us: under any name, and with every failure told."""

from __future__ import annotations

import os
from pathlib import Path


class OutputFile:
    """What FFmpeg takes for an open file.

    FFmpeg itself takes what stands before a colon for a protocol, and says nothing where the disk is full by the time
    it writes the end of a file. So a failure is kept here, and what FFmpeg writes after it goes nowhere.

    Args:
        path: made, or emptied; a link is followed.

    Attributes:
        error: the first failure; None while there is none.

    Raises:
        OSError: it cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_BINARY", 0), 0o666)
        self._closed = False
        self.error: OSError | None = None

    def write(self, data: bytes) -> int:
        """Write all of it, unless a write has failed."""
        rest = memoryview(data)
        while rest and self.error is None:
            try:
                rest = rest[os.write(self._file, rest) :]
            except OSError as error:
                self.error = error
        return len(data)

    def seekable(self) -> bool:
        """Whether it is a file rather than a pipe."""
        try:
            os.lseek(self._file, 0, os.SEEK_CUR)
        except OSError:
            return False
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go there, and say where that is."""
        return os.lseek(self._file, offset, whence)

    def tell(self) -> int:
        """Where it is."""
        return os.lseek(self._file, 0, os.SEEK_CUR)

    def close(self) -> None:
        """Close it. Calling it twice is harmless."""
        if not self._closed:
            self._closed = True
            try:
                os.close(self._file)
            except OSError as error:  # of a network's disk, which tells late
                self.error = self.error or error
