"""Motion JPEG over HTTP: one JPEG after another, each a part of an answer that does not end."""

from __future__ import annotations

from collections.abc import Iterator
from email.message import Message

from edgeseg.video.sources.byte_stream import ByteStream

_MOST_LINE_BYTES = 8192
_MOST_LINES = 100
_MOST_PART_BYTES = 32 << 20
_BLOCK_BYTES = 16384
_JPEG = {"", "image/jpeg", "image/jpg", "image/pjpeg"}


def parts(stream: ByteStream, content_type: str) -> Iterator[bytes]:
    """The JPEGs, each as soon as it is whole; empty bytes for a part that is something else.

    The parts are told apart by the length that each of them gives, and where none is given by the boundary.

    Raises:
        ValueError: no such stream, or a part past 32 MiB.
        EOFError: it ended within a part.
    """
    header = Message()
    header["Content-Type"] = content_type
    boundary = str(header.get_param("boundary") or "").strip().lstrip("-").encode("latin-1", "replace")
    reader = _Reader(stream)
    while True:
        fields = reader.head()
        if fields is None:
            return
        length = fields.get("content-length", "")
        if length.isascii() and length.isdigit() and len(length) < 12 and int(length) > 0:
            if int(length) > _MOST_PART_BYTES:
                raise ValueError(f"a part of more than {_MOST_PART_BYTES >> 20} MiB")
            content = reader.exactly(int(length))
        else:
            content = reader.until(b"\r\n--" + boundary)
        kind = fields.get("content-type", "").partition(";")[0].strip().lower()
        yield content if kind in _JPEG else b""


class _Reader:
    """Lines and blocks of a stream, each within its limit."""

    def __init__(self, stream: ByteStream) -> None:
        self._stream = stream
        self._held = bytearray()

    def _fill(self) -> bool:
        more = self._stream.read(_BLOCK_BYTES)
        self._held += more
        return bool(more)

    def _line(self) -> bytes | None:
        start = 0
        while (end := self._held.find(b"\n", start)) < 0:
            start = len(self._held)
            if start > _MOST_LINE_BYTES:
                raise ValueError("no Motion JPEG: a line without an end")
            if not self._fill():
                return None
        line = bytes(self._held[:end]).rstrip(b"\r")
        del self._held[: end + 1]
        return line

    def head(self) -> dict[str, str] | None:
        """The fields of the next part's head, by their names in small letters; None at the end."""
        for _ in range(_MOST_LINES):
            line = self._line()
            if line is None:
                return None
            if line.startswith(b"--"):
                break
        else:
            raise ValueError("no Motion JPEG: no part begins")
        fields: dict[str, str] = {}
        for _ in range(_MOST_LINES):
            line = self._line()
            if line is None:
                return None
            if not line:
                return fields
            name, _, value = line.decode("latin-1").partition(":")
            fields[name.strip().lower()] = value.strip()
        raise ValueError("no Motion JPEG: a head without an end")

    def exactly(self, size: int) -> bytes:
        missing = size - len(self._held)
        if missing > 0:
            content = bytes(self._held) + self._stream.read_exactly(missing)
            self._held.clear()
            return content
        content = bytes(self._held[:size])
        del self._held[:size]
        return content

    def until(self, mark: bytes) -> bytes:
        """All before the mark, which stays to be read."""
        start = 0
        while (end := self._held.find(mark, start)) < 0:
            start = max(0, len(self._held) - len(mark))
            if start > _MOST_PART_BYTES:
                raise ValueError(f"a part of more than {_MOST_PART_BYTES >> 20} MiB")
            if not self._fill():
                raise EOFError("it ended in the middle of a picture")
        content = bytes(self._held[:end])
        del self._held[: end + 2]  # its line break
        return content
