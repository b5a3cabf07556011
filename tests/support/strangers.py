"""Servers that mean harm, or that a harmful one sends us to: what came to them is kept."""

from __future__ import annotations

import socket
import ssl
import subprocess
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import pytest

Answer = Callable[[bytes], bytes]


class Listener:
    """A port on this machine that answers each request head with what a function makes of it.

    Args:
        answer: of a request's head; empty bytes hang up. Without it connections are taken and closed.
        context: for TLS.
        host: to listen at.

    Attributes:
        port: where it listens.
        came: the request heads that came, of all connections; empty bytes for a connection that said nothing.
    """

    def __init__(
        self, answer: Answer | None = None, *, context: ssl.SSLContext | None = None, host: str = "127.0.0.1"
    ) -> None:
        self.came: list[bytes] = []
        self._answer = answer or (lambda head: b"")
        self._context = context
        self._socket = socket.create_server((host, 0))
        self.port = int(self._socket.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._socket.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with suppress(OSError, ssl.SSLError):
            if self._context is not None:
                connection = self._context.wrap_socket(connection, server_side=True)
            with connection:
                held = b""
                while True:
                    while b"\r\n\r\n" not in held:
                        more = connection.recv(65536)
                        if not more:
                            if not held:
                                self.came.append(b"")
                            return
                        held += more
                    head, _, held = held.partition(b"\r\n\r\n")
                    self.came.append(head)
                    answer = self._answer(head)
                    if not answer:
                        return
                    connection.sendall(answer)
                    if answer.startswith(b"HTTP/1.0"):
                        return

    def close(self) -> None:
        """Listen no more."""
        self._socket.close()


def http_answer(body: bytes, content_type: str = "application/octet-stream", length: bool = True) -> bytes:
    """A whole answer of HTTP with this content."""
    told = f"Content-Length: {len(body)}\r\n" if length else ""
    return f"HTTP/1.0 200 OK\r\nContent-Type: {content_type}\r\n{told}\r\n".encode() + body


def http_redirect(location: str, status: int = 302) -> bytes:
    """An answer of HTTP that sends elsewhere."""
    return f"HTTP/1.0 {status} Elsewhere\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n".encode()


def rtsp_answer(head: bytes, status: str, *fields: str, body: bytes = b"") -> bytes:
    """An answer to a request of RTSP."""
    number = next(line for line in head.split(b"\r\n") if line.lower().startswith(b"cseq"))
    length = [f"Content-Length: {len(body)}"] if body else []
    return (
        b"\r\n".join([f"RTSP/1.0 {status}".encode(), number, *(f.encode() for f in [*fields, *length]), b"", b""])
        + body
    )


class Certificates(NamedTuple):
    """Certificates on file, of one authority.

    Attributes:
        authority: whose certificate signs.
        localhost: certificate and key for localhost and 127.0.0.1, signed.
        other: for another name, signed.
        alone: for localhost, signed by itself.
        expired: for localhost, signed, and out of date.
    """

    authority: Path
    localhost: Path
    other: Path
    alone: Path
    expired: Path


def make_certificates(folder: Path) -> Certificates:
    """Make them with openssl; each file but the authority's holds the key too."""

    def openssl(*arguments: str) -> None:
        try:
            subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True, timeout=60)
        except FileNotFoundError:
            pytest.skip("needs openssl: apt install openssl")

    def request(name: str) -> list[str]:
        return ["req", "-newkey", "rsa:2048", "-nodes", "-keyout", f"{name}.key", "-subj", f"/CN={name}"]

    openssl(
        *request("authority"),
        "-x509",
        "-days",
        "2",
        "-out",
        "authority.pem",
        "-addext",
        "basicConstraints=critical,CA:TRUE",
    )
    here = "subjectAltName=DNS:localhost,IP:127.0.0.1"
    openssl(*request("alone"), "-x509", "-days", "2", "-out", "alone.crt", "-addext", here)
    for name, names, days in (
        ("localhost", here, ["-days", "2"]),
        ("other", "subjectAltName=DNS:camera.example", ["-days", "2"]),
        ("expired", here, ["-days", "0"]),  # which has run out at once
    ):
        (folder / f"{name}.ext").write_text(names)
        openssl(*request(name), "-out", f"{name}.csr")
        signed = ["-CA", "authority.pem", "-CAkey", "authority.key", "-CAcreateserial", "-extfile", f"{name}.ext"]
        openssl("x509", "-req", "-in", f"{name}.csr", "-out", f"{name}.crt", *days, *signed)
    for name in ("localhost", "other", "alone", "expired"):
        (folder / f"{name}.pem").write_bytes(
            (folder / f"{name}.crt").read_bytes() + (folder / f"{name}.key").read_bytes()
        )
    return Certificates(*(folder / f"{name}.pem" for name in Certificates._fields))


def server_context(certificate: Path) -> ssl.SSLContext:
    """TLS for a server with this certificate and key."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


class TlsFront:
    """A port that speaks TLS and hands on to another that does not.

    Args:
        port: of the server behind.
        certificate: with its key.

    Attributes:
        port: where it listens.
    """

    def __init__(self, port: int, certificate: Path) -> None:
        self._behind = port
        self._context = server_context(certificate)
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._socket.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._socket.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, plain: socket.socket) -> None:
        with suppress(OSError, ValueError):
            outside = self._context.wrap_socket(plain, server_side=True)
            inside = socket.create_connection(("127.0.0.1", self._behind))
            threading.Thread(target=self._carry, args=(inside, outside), daemon=True).start()
            self._carry(outside, inside)

    @staticmethod
    def _carry(source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError, ValueError):
            while content := source.recv(65536):
                target.sendall(content)
        for one in (source, target):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Listen no more."""
        self._socket.close()
