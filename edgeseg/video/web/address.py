"""Where the page is served: ``--web``'s address, who may reach it, and the socket."""

from __future__ import annotations

import ipaddress
import os
import re
import socket

from edgeseg.errors import InputError, SinkError

LOCAL = "127.0.0.1"
"""Where the page is served if no host is given: to this machine alone."""

_KEPT_BYTES = 256 * 1024  # that the kernel holds for one viewer: more would only be pictures grown old
_SILENT_S = 30  # until the kernel asks a peer that says nothing whether it is still there


def parse_address(text: str) -> tuple[str, int]:
    """``HOST:PORT``, ``[IPv6]:PORT`` or ``PORT`` alone (this machine) as host and port.

    Raises:
        InputError: anything else.
    """
    match = re.fullmatch(r"(?:\[(?P<v6>[0-9a-fA-F:.]+)\]:|(?P<host>[^\s:/\[\]]+):|:)?(?P<port>\d{1,5})", text, re.ASCII)
    if match is None or int(match["port"]) > 65535:
        raise InputError(f"--web is {text!r}", f"Write host and port, such as {LOCAL}:8080, or a port alone")
    return match["v6"] or match["host"] or LOCAL, int(match["port"])


def is_local(host: str) -> bool:
    """Whether only this machine can reach what is served at ``host``; a name other than localhost counts as not."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_bind(host: str, token: str | None) -> None:
    """Refuse to show the page to others without a token.

    Raises:
        InputError: another machine could reach ``host`` and there is no token, or the token is blank.
    """
    if token is not None and not token.strip():
        raise InputError("--web-token is empty", "Choose one that is hard to guess")
    if token is None and not is_local(host):
        raise InputError(
            f"the page at {host} could be seen by everyone on the network",
            f"Give --web-token TOKEN, or serve it to this machine alone (--web {LOCAL}:PORT)",
        )


def open_socket(host: str, port: int) -> socket.socket:
    """A bound TCP socket; port 0 takes a free one.

    Raises:
        SinkError: no such host here, the port is taken, or not allowed.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:  # gaierror is one
        raise SinkError(f"no page at {host}: {error.strerror}", f"Use an address of this machine, or {LOCAL}") from None
    family, kind, protocol, _, where = min(found, key=lambda one: one[0] != socket.AF_INET)
    listening = socket.socket(family, kind, protocol)
    try:
        # What is set here holds for the viewers' connections as well.
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _KEPT_BYTES)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if hasattr(socket, "TCP_KEEPIDLE"):
            listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _SILENT_S)
        listening.bind(where)
        listening.listen(128)
        listening.setblocking(False)
    except OSError as error:
        listening.close()
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise SinkError(
            f"no page at {host}:{port}: {reason.lower()}", "Choose another address or port with --web"
        ) from None
    return listening


def url_of(listening: socket.socket) -> str:
    """The address to type into a browser; where all of the machine's are served, the one other machines know."""
    host, port = listening.getsockname()[:2]
    if ipaddress.ip_address(host).is_unspecified:
        host = _outward_host(listening.family) or LOCAL
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


def _outward_host(family: int) -> str | None:
    """The address that others know of this machine; None where it has no network. Nothing is sent."""
    elsewhere = "2001:db8::1" if family == socket.AF_INET6 else "192.0.2.1"  # reserved for documentation
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((elsewhere, 9))
            return str(probe.getsockname()[0])
        except OSError:
            return None
