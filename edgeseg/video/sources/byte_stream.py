"""Bytes that come from somewhere, for FFmpeg to make pictures of: seen before they are read, and never without end."""

from __future__ import annotations

from abc import ABC, abstractmethod

MOST_BYTES = 64 << 20
"""What a live stream may send without a picture coming of it: FFmpeg would keep all of it."""

_MOST_BOXES_BYTES = 1 << 20


class ByteStream(ABC):
    """What has a ``read`` for FFmpeg.

    Args:
        most_bytes: how many may be read until :meth:`renew` is called; None for any.
    """

    def __init__(self, most_bytes: int | None = MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._seen = b""
        self._count = 0

    @abstractmethod
    def _receive(self, size: int) -> bytes:
        """What is there, at most ``size`` bytes, but at least one; none at the end."""

    def renew(self) -> None:
        """A picture has come of what was read: as much may be read again."""
        self._count = 0

    def peek(self, size: int) -> bytes:
        """The bytes to come, ``size`` of them or as many as there are."""
        while len(self._seen) < size and (more := self._receive(size - len(self._seen))):
            self._seen += more
        return self._seen[:size]

    def read(self, size: int) -> bytes:
        """At most ``size`` bytes; none at the end.

        Raises:
            ValueError: more was sent than pictures take.
        """
        if self._seen:
            content, self._seen = self._seen[:size], self._seen[size:]
        else:
            content = self._receive(size)
        self._count += len(content)
        if self._most_bytes is not None and self._count > self._most_bytes:
            raise ValueError(f"more than {self._most_bytes >> 20} MiB without a picture")
        return content

    def read_exactly(self, size: int) -> bytes:
        """``size`` bytes.

        Raises:
            EOFError: it ended before.
            ValueError: more was sent than pictures take.
        """
        parts = []
        while size and (part := self.read(size)):
            parts.append(part)
            size -= len(part)
        if size:
            raise EOFError("it ended in the middle of a picture")
        return b"".join(parts)


def has_its_index_last(stream: ByteStream) -> bool:
    """Whether the bytes to come are an MP4 or MOV whose pictures come before the index that they are read by."""
    offset = 0
    while offset < _MOST_BOXES_BYTES:
        head = stream.peek(offset + 8)[offset:]
        kind = head[4:8]
        if len(head) < 8 or (offset == 0 and kind not in (b"ftyp", b"mdat", b"wide", b"free", b"skip")):
            return False
        if kind in (b"moov", b"moof"):
            return False
        if kind == b"mdat":
            return True
        size = int.from_bytes(head[:4], "big")
        if size < 8:
            return False
        offset += size
    return False
