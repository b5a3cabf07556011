"""RTSP through our own hands: FFmpeg speaks with a relay on this machine, which connects to the camera and nobody else.

FFmpeg follows an RTSP server's redirect wherever it leads, and answers there whoever asks for the password. Here it
does not know the password, and a redirect ends the connection. Encryption and certificates are the relay's as well.
"""

from __future__ import annotations

import re
import secrets
import selectors
import socket
import ssl
import threading
import time
from base64 import b64encode
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from edgeseg.video.sources.byte_stream import MOST_BYTES
from edgeseg.video.sources.media import reason
from edgeseg.video.sources.network.login import Login

_BLOCK_BYTES = 1 << 16
_MOST_HEAD_BYTES = 1 << 16
_MOST_BODY_BYTES = 1 << 20
_DEFAULT_PORTS = {"rtsp": 554, "rtsps": 322}
_MESSAGE = re.compile(rb"[A-Z_]+[/ ]")
_BEGINNING = re.compile(rb"[A-Z_]+")
_LONGEST_WORD = 20
_DOLLAR = 0x24  # begins a packet among the messages
_MOST_REQUESTS = 32
_GOODBYE_S = 1.0


class _Request(NamedTuple):
    """What FFmpeg has asked, and under which number."""

    method: bytes
    uri: bytes
    lines: list[bytes]
    body: bytes
    number: bytes


class RtspRelay:
    """A connection to a camera, and the address at which FFmpeg, once, finds it.

    Args:
        address: ``rtsp://`` or ``rtsps://``, with credentials.
        timeout_s: seconds for the connection.
        context: for ``rtsps://``.
        tunnel: speak RTSP within HTTP.

    Attributes:
        address: for FFmpeg; without credentials.
        redirect: where the camera wanted to send us; empty as long as it did not.
        refusal: why the relay hung up, where it was not for a redirect; else empty.

    Raises:
        OSError: no connection; ssl.SSLError is one.
    """

    def __init__(
        self, address: str, timeout_s: float, context: Callable[[], ssl.SSLContext], *, tunnel: bool = False
    ) -> None:
        parts = urlsplit(address)
        self._login = Login(unquote(parts.username or ""), unquote(parts.password or ""))
        self._has_login = parts.username is not None
        self.redirect = ""
        self.refusal = ""
        host, port = parts.hostname or "", parts.port or _DEFAULT_PORTS[parts.scheme]
        self._shown_host = f"[{host}]" if ":" in host else host

        def connect() -> socket.socket:
            plain = socket.create_connection((host, port), timeout_s)
            try:
                plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                return context().wrap_socket(plain, server_hostname=host) if parts.scheme == "rtsps" else plain
            except BaseException:
                plain.close()
                raise

        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._down = connect()
        self._peer = str(self._down.getpeername()[0])
        self._held = bytearray()
        try:
            self._up = self._tunnel(connect, target, port) if tunnel else self._down
            self._down.settimeout(None)
            self._up.settimeout(None)
            self._listener = socket.create_server(("127.0.0.1", 0))
        except BaseException:
            self._down.close()
            raise
        self._listener.settimeout(timeout_s + 5)
        here = f"rtsp://127.0.0.1:{self._listener.getsockname()[1]}/{secrets.token_hex(16)}"
        self.address = here + target
        self._here = here.encode()
        self._there = f"{parts.scheme}://{self._shown_host}:{port}".encode()
        self._is_tunnel = tunnel
        self._client: socket.socket | None = None
        self._requests: dict[int, _Request] = {}  # by the numbers that the camera knows
        self._number = 0
        self._count = 0
        self._is_closed = False
        self._thread = threading.Thread(target=self._run, name="edgeseg-rtsp", daemon=True)
        self._thread.start()

    def renew(self) -> None:
        """A picture has come: the camera may send as much again."""
        self._count = 0

    def close(self) -> None:
        """Hang up, after FFmpeg's last words where it is about to say them."""
        if self._client is not None:
            self._thread.join(_GOODBYE_S)
        self.abort()

    def abort(self) -> None:
        """Hang up at once."""
        self._is_closed = True
        self._hang_up()

    def _hang_up(self) -> None:
        for one in (self._listener, self._client, self._up, self._down):
            if one is not None:
                with suppress(OSError, ValueError):
                    one.shutdown(socket.SHUT_RDWR)
                with suppress(OSError):
                    one.close()

    def _run(self) -> None:
        try:
            client, _ = self._listener.accept()
            self._client = client
            self._listener.close()
            client.settimeout(None)
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._carry(client)
        except OSError:
            pass  # either side has hung up, and the other is told by that
        except Exception as error:  # whatever a camera may say
            self.refusal = "" if self._is_closed else reason(error)
        finally:
            self._hang_up()

    def _carry(self, client: socket.socket) -> None:
        """Both ways, on one thread, since a connection with TLS is not to be read and written at a time."""
        said = bytearray()
        with selectors.DefaultSelector() as waiting:
            waiting.register(client, selectors.EVENT_READ)
            waiting.register(self._down, selectors.EVENT_READ)
            self._bring_down(client, b"")
            while True:
                ready = {key.fileobj for key, _ in waiting.select()}
                if client in ready:
                    more = client.recv(_BLOCK_BYTES)
                    if not more:
                        return
                    said += more
                    self._take_up(said)
                if self._down in ready:
                    came = self._receive()
                    if came is None:
                        continue
                    if not came:
                        return
                    self._bring_down(client, came)

    def _receive(self) -> bytes | None:
        """What the camera has said; None where it was a matter of TLS alone, such as new keys; nothing at the end."""
        self._down.settimeout(0)
        try:
            came = self._down.recv(_BLOCK_BYTES)
            while isinstance(self._down, ssl.SSLSocket) and (pending := self._down.pending()):
                came += self._down.recv(pending)
            return came
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError, BlockingIOError):
            return None
        finally:
            self._down.settimeout(None)

    def _take_up(self, said: bytearray) -> None:
        """What FFmpeg says goes to the camera, with the password where it was asked for."""
        while (size := _size_of_next(said)) and len(said) >= size:
            message = bytes(said[:size])
            del said[:size]
            if message[:1] == b"$":
                self._send(message)
            else:
                self._pass_on(message)

    def _pass_on(self, message: bytes) -> None:
        head, _, body = message.partition(b"\r\n\r\n")
        first, *lines = head.split(b"\r\n")
        words = first.split(b" ")
        if first.startswith(b"RTSP/") or len(words) != 3:
            self._send(message)  # an answer to a request of the camera's
            return
        method, uri, _ = words
        if self._number == 0 and self._here not in uri:
            raise ValueError("another program has taken the relay")
        number = _field(lines, b"cseq")
        lines = [line.replace(self._here, self._there) for line in lines if not _is(line, b"cseq", b"authorization")]
        self._say(_Request(method, uri.replace(self._here, self._there, 1), lines, body, number))

    def _say(self, request: _Request) -> None:
        self._number += 1
        self._requests[self._number] = request
        self._requests.pop(self._number - _MOST_REQUESTS, None)
        lines = [*request.lines, b"CSeq: %d" % self._number]
        uri = request.uri.decode("latin-1")
        if self._has_login and (answer := self._login.answer(request.method.decode("latin-1"), uri)):
            lines.append(b"Authorization: " + answer.encode())
        self._send(b"\r\n".join([b"%s %s RTSP/1.0" % (request.method, request.uri), *lines, b"", b""]) + request.body)

    def _send(self, message: bytes) -> None:
        self._up.sendall(b64encode(message) if self._is_tunnel else message)

    def _bring_down(self, client: socket.socket, more: bytes) -> None:
        """What the camera says goes to FFmpeg, but for redirects and the question for the password."""
        held = self._held
        held += more
        self._count += len(more)
        if self._count > MOST_BYTES:
            raise ValueError(f"more than {MOST_BYTES >> 20} MiB without a picture")
        end = 0
        while (size := _size_of_next(held, end)) and len(held) >= end + size:
            if held[end] != _DOLLAR:
                message = bytes(held[end : end + size])
                held[end : end + size] = answer = self._answered(message)
                size = len(answer)
            end += size
        if end:
            client.sendall(held[:end])
            del held[:end]

    def _answered(self, message: bytes) -> bytes:
        """What FFmpeg is to hear of a message of the camera's; nothing where the relay has answered itself."""
        head, _, body = message.partition(b"\r\n\r\n")
        first, *lines = head.split(b"\r\n")
        if not first.startswith(b"RTSP/"):
            return message  # a request of the camera's; FFmpeg knows what to do
        words, number = first.split(b" "), _field(lines, b"cseq")
        if len(words) < 2 or not words[1].isdigit():
            raise ValueError("what it says is no RTSP")
        status = int(words[1])
        request = self._requests.get(int(number) if number.isdigit() else 0)
        if 300 <= status < 400:
            self.redirect = _field(lines, b"location").decode("utf-8", "replace") or "nowhere"
            raise ConnectionAbortedError("redirected")
        if status == 401 and self._has_login and request is not None:
            asked = [line.partition(b":")[2].decode("latin-1") for line in lines if _is(line, b"www-authenticate")]
            if self._login.take(asked):
                self._say(request)
                return b""
        if request is not None:
            lines = [b"CSeq: " + request.number if _is(line, b"cseq") else line for line in lines]
        lines = [self._with_source(line) if _is(line, b"transport") else line for line in lines]
        return b"\r\n".join([first, *lines, b"", b""]) + body

    def _with_source(self, line: bytes) -> bytes:
        """The transport that the camera offers; what goes by UDP comes from the camera, and from nowhere else."""
        if b"tcp" in line.lower() or b"multicast" in line.lower():
            return line
        kept = [part for part in line.split(b";") if not part.strip().lower().startswith(b"source=")]
        return b";".join([*kept, b"source=" + self._peer.encode()])

    def _tunnel(self, connect: Callable[[], socket.socket], target: str, port: int) -> socket.socket:
        """RTSP within HTTP: answers come on one connection, requests go on another."""
        cookie = secrets.token_hex(8)
        for _ in range(2):
            answer = f"Authorization: {told}\r\n" if (told := self._login.answer("GET", target)) else ""
            common = f"Host: {self._shown_host}:{port}\r\nx-sessioncookie: {cookie}\r\n{answer}"
            self._down.sendall(
                f"GET {target} HTTP/1.0\r\n{common}Accept: application/x-rtsp-tunnelled\r\n\r\n".encode(
                    "latin-1", "replace"
                )
            )
            head = self._http_head()
            words = head[0].split(b" ")
            status = int(words[1]) if len(words) > 1 and words[1].isdigit() else 0
            if status == 200:
                break
            asked = [line.partition(b":")[2].decode("latin-1") for line in head if _is(line, b"www-authenticate")]
            if status != 401 or not self._has_login or not self._login.take(asked):
                raise ConnectionRefusedError(f"HTTP {status} to the tunnel")
            self._down.close()
            self._down, self._held = connect(), bytearray()
        up = connect()
        answer = f"Authorization: {told}\r\n" if (told := self._login.answer("POST", target)) else ""
        common = f"Host: {self._shown_host}:{port}\r\nx-sessioncookie: {cookie}\r\n{answer}"
        up.sendall(
            (
                f"POST {target} HTTP/1.0\r\n{common}Content-Type: application/x-rtsp-tunnelled\r\n"
                "Content-Length: 32767\r\nPragma: no-cache\r\nCache-Control: no-cache\r\n\r\n"
            ).encode("latin-1", "replace")
        )
        return up

    def _http_head(self) -> list[bytes]:
        started_s = time.monotonic()
        while b"\r\n\r\n" not in self._held:
            more = self._down.recv(_BLOCK_BYTES)
            self._held += more
            late = time.monotonic() - started_s > (self._down.gettimeout() or 0)
            if not more or late or len(self._held) > _MOST_HEAD_BYTES:
                raise ConnectionResetError("no answer to the tunnel")
        head, _, rest = bytes(self._held).partition(b"\r\n\r\n")
        self._held = bytearray(rest)
        if not head.startswith(b"HTTP/"):
            raise ConnectionResetError("no HTTP in answer to the tunnel")
        return head.split(b"\r\n")


def _size_of_next(held: bytearray, start: int = 0) -> int:
    """The size of the packet or message that begins there; 0 where that cannot be told yet. Garbage is taken out."""
    while len(held) > start and held[start] != _DOLLAR and not _MESSAGE.match(held, start, start + _LONGEST_WORD):
        if _BEGINNING.fullmatch(held, start) and len(held) - start < _LONGEST_WORD:
            return 0
        mark = held.find(b"$", start + 1)
        del held[start : mark if mark >= 0 else len(held)]
    left = len(held) - start
    if left < 4:
        return 0
    if held[start] == _DOLLAR:
        return 4 + int.from_bytes(held[start + 2 : start + 4], "big")
    end = held.find(b"\r\n\r\n", start, start + _MOST_HEAD_BYTES)
    if end < 0:
        if left > _MOST_HEAD_BYTES:
            raise ValueError("a message without an end")
        return 0
    length = _field(bytes(held[start:end]).split(b"\r\n"), b"content-length")
    body = int(length) if length.isdigit() else 0
    if body > _MOST_BODY_BYTES:
        raise ValueError("a message too long")
    return end + 4 - start + body


def _is(line: bytes, *names: bytes) -> bool:
    return line.partition(b":")[0].strip().lower() in names


def _field(lines: list[bytes], name: bytes) -> bytes:
    return next((line.partition(b":")[2].strip() for line in lines if _is(line, name)), b"")
