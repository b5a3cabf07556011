"""What an address answers over HTTP, as bytes. FFmpeg gets these, and never connects to anybody itself."""

from __future__ import annotations

import http.client
import socket
import ssl
import time
from collections.abc import Callable
from contextlib import suppress
from urllib.parse import SplitResult, quote, unquote, urljoin, urlsplit

from edgeseg.video.sources.byte_stream import ByteStream
from edgeseg.video.sources.network.login import Login

_MOST_REDIRECTS = 5
_SKIP_BYTES = 256 << 10  # read over rather than asked for anew
_AS_IT_IS = "%/:=&?~+!$,;'@()*[]|"


class HttpError(Exception):
    """An answer that is none of the content.

    Attributes:
        status: of HTTP.
        reason: its words.
    """

    def __init__(self, status: int, reason: str) -> None:
        self.status = status
        self.reason = reason
        super().__init__(f"HTTP {status} {reason}".strip())


class RedirectError(Exception):
    """An answer that sends us elsewhere; its text is the address."""


class HttpStream(ByteStream):
    """The content at an address. Redirects are followed at the same host and port alone, or from HTTP to HTTPS there.

    Args:
        address: ``http://`` or ``https://``, with credentials.
        timeout_s: seconds for the connection and the head of the answer.
        context: for HTTPS.

    Attributes:
        content_type: as the server calls it.
        size: bytes in all; None where there is no end, or it is not told.

    Raises:
        HttpError, RedirectError: no content.
        OSError, http.client.HTTPException, ValueError: nobody answers, or no HTTP.
    """

    def __init__(self, address: str, timeout_s: float, context: Callable[[], ssl.SSLContext]) -> None:
        super().__init__()
        self._parts = urlsplit(address)
        self._context = context
        self._login = (
            Login(unquote(self._parts.username or ""), unquote(self._parts.password or ""))
            if self._parts.username is not None
            else None
        )
        self._connection: http.client.HTTPConnection | None = None
        self._socket: socket.socket | None = None
        self._is_closed = False
        self._offset = 0
        self._wanted = 0
        self.size: int | None = None
        self.allow(timeout_s)
        self._response = self._get(0)
        self.content_type = self._response.headers.get("Content-Type", "")
        length = self._response.headers.get("Content-Length", "")
        self.size = int(length) if length.isascii() and length.isdigit() and len(length) < 19 else None
        self._has_ranges = self.size is not None and "bytes" in self._response.headers.get("Accept-Ranges", "").lower()

    def allow(self, seconds: float) -> None:
        """What is read from now on has to come within so many seconds."""
        self._until_s = time.monotonic() + seconds

    def _left_s(self) -> float:
        left_s = self._until_s - time.monotonic()
        if left_s <= 0:
            raise TimeoutError("it takes too long")
        return left_s

    def _get(self, offset: int) -> http.client.HTTPResponse:
        for _ in range(_MOST_REDIRECTS + 2):
            response = self._ask(offset)
            if response.status == 401 and self._login is not None:
                if self._login.take(response.headers.get_all("WWW-Authenticate", [])):
                    continue
            elif response.status in (301, 302, 303, 307, 308):
                self._parts = self._redirected(response.headers.get("Location", ""))
                continue
            if response.status not in (200, 206) or (offset and response.status != 206):
                raise HttpError(response.status, response.reason)
            return response
        raise HttpError(response.status, "it redirects without end")

    def _ask(self, offset: int) -> http.client.HTTPResponse:
        self._hang_up()
        host, port = self._parts.hostname or "", self._parts.port
        if self._parts.scheme == "https":
            connection: http.client.HTTPConnection = http.client.HTTPSConnection(
                host, port, timeout=self._left_s(), context=self._context()
            )
        else:
            connection = http.client.HTTPConnection(host, port, timeout=self._left_s())
        self._connection = connection
        target = quote(self._parts.path or "/", safe=_AS_IT_IS)
        if self._parts.query:
            target += "?" + quote(self._parts.query, safe=_AS_IT_IS)
        headers = {"User-Agent": "edgeseg", "Accept": "*/*", "Connection": "close"}
        if offset:
            headers["Range"] = f"bytes={offset}-"
        if self._login is not None and (answer := self._login.answer("GET", target)):
            headers["Authorization"] = answer
        connection.connect()
        self._socket = connection.sock
        if self._is_closed:
            raise OSError("closed")
        connection.sock.settimeout(self._left_s())
        connection.request("GET", target, headers=headers)
        return connection.getresponse()

    def _redirected(self, location: str) -> SplitResult:
        try:
            here, there = (
                self._parts,
                urlsplit(urljoin(self._parts._replace(netloc=_place(self._parts)).geturl(), location)),
            )
            is_same = (there.scheme, _place(there)) == (here.scheme, _place(here))
            is_secured = (here.scheme, there.scheme) == ("http", "https") and (here.hostname, here.port or 80) == (
                there.hostname,
                {None: 80, 443: 80}.get(there.port),
            )
        except ValueError:
            raise RedirectError(location) from None
        if not location or not (is_same or is_secured):
            raise RedirectError(location)
        return there

    def _receive(self, size: int) -> bytes:
        if self._wanted != self._offset:
            self._go_to(self._wanted)
        content = self._receive_here(size)
        self._offset += len(content)
        self._wanted = self._offset
        return content

    def _receive_here(self, size: int) -> bytes:
        if self._is_closed:
            return b""
        if (connected := self._socket) is not None:
            with suppress(OSError):  # closed by the other side, and read to its end
                connected.settimeout(self._left_s())
        try:
            content = self._response.read1(size)
        except (OSError, http.client.HTTPException, ValueError, AttributeError):
            if self._is_closed:
                return b""
            raise
        if not content and self.size is not None and self._offset < self.size and not self._is_closed:
            raise ConnectionResetError("the connection ended before the file")
        return content

    def _go_to(self, offset: int) -> None:
        if self.size is not None and offset >= self.size:
            self._response.close()
        elif 0 < offset - self._offset <= _SKIP_BYTES:
            while self._offset < offset and (skipped := self._receive_here(offset - self._offset)):
                self._offset += len(skipped)
        else:
            self._response = self._get(offset)
        self._offset = offset

    def seekable(self) -> bool:
        """Whether other places than the next can be read."""
        return self._has_ranges

    def seek(self, offset: int, whence: int = 0) -> int:
        """Go to another place, which is asked for when it is read."""
        base = {0: 0, 1: self.tell(), 2: self.size or 0}[whence]
        self._seen = b""
        self._wanted = max(0, base + offset)
        return self._wanted

    def tell(self) -> int:
        """The place of the next byte to be read."""
        return self._wanted - len(self._seen)

    def close(self) -> None:
        """Hang up, also while another thread reads, which then comes to an end."""
        self._is_closed = True
        self._hang_up()

    def _hang_up(self) -> None:
        connected, self._socket = self._socket, None  # first, for two threads may hang up at once
        if connected is not None:
            with suppress(OSError):
                connected.shutdown(socket.SHUT_RDWR)
        if self._connection is not None and not self._is_closed:
            self._connection.close()


def _place(parts: SplitResult) -> str:
    """Host and port, without credentials."""
    host = parts.hostname or ""
    host = f"[{host}]" if ":" in host else host
    return f"{host}:{parts.port or {'http': 80, 'https': 443}.get(parts.scheme, 0)}"
