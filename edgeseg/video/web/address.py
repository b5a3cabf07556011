"""Where the page is served: ``--web``'s address, who may reach it, and the socket."""

from __future__ import annotations

import ipaddress
import os
import re
import socket
from pathlib import Path

from edgeseg.errors import InputError, SinkError
from edgeseg.settings import SettingError

LOCAL = "127.0.0.1"
"""Where the page is served if no host is given: to this machine alone."""

SHORTEST_TOKEN = 16
"""Characters of a token, at least."""

_KEPT_BYTES = 256 * 1024  # that the kernel holds for one viewer: more would only be pictures grown old
_FEWEST_CHARACTERS = 5  # different ones, of a token
_SILENT_S = 30  # until the kernel asks a peer that says nothing whether it is still there


def parse_address(text: str) -> tuple[str, int]:
    """``HOST:PORT``, ``[IPv6]:PORT`` or ``PORT`` alone (this machine) as host and port.

    Raises:
        InputError: anything else.
    """
    match = re.fullmatch(r"(?:\[(?P<v6>[0-9a-fA-F:.]+)\]:|(?P<host>[^\s:/\[\]]+):|:)?(?P<port>\d{1,5})", text, re.ASCII)
    if match is None or int(match["port"]) > 65535:
        raise InputError(
            f"{text!a} is no address for a page", f"Write host and port, such as {LOCAL}:8080, or a port alone"
        )
    return match["v6"] or match["host"] or LOCAL, int(match["port"])


def is_local(host: str) -> bool:
    """Whether only this machine can reach what is served at ``host``; a name other than localhost counts as not."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_token(token: str) -> None:
    """Refuse a token that could be guessed, or that could not be sent as it is.

    Raises:
        InputError: it has fewer than 16 characters or fewer than 5 different ones, begins or ends with a blank, or
            holds what cannot be printed.
    """
    make = 'Make one: python3 -c "import secrets; print(secrets.token_urlsafe())"'
    if not token.strip():
        raise InputError("the token of the page is empty", make)
    if len(token) < SHORTEST_TOKEN:
        raise InputError(f"the token of the page has {len(token)} of at least {SHORTEST_TOKEN} characters", make)
    if len(set(token)) < _FEWEST_CHARACTERS:
        raise InputError("the token of the page repeats itself", make)
    if token != token.strip() or not token.isprintable():
        raise InputError("the token of the page has a blank at an end, or a character that cannot be printed", make)


def read_token(file: Path) -> str:
    """The token that a file holds: its first line, without the blanks around it.

    Raises:
        InputError: it cannot be read, or is no text.
    """
    try:
        with file.open("rb") as opened:
            return opened.read(4096).decode().partition("\n")[0].strip()
    except OSError as error:
        what = f"the token in {file} cannot be read ({error.strerror})"
        raise SettingError(what, "Correct {web_token_file}") from None
    except UnicodeDecodeError:
        raise InputError(f"{file} is no text", "Write the token into it as its only line") from None


def check_bind(host: str, token: str | None) -> None:
    """Refuse to show the page to others without a token.

    Raises:
        InputError: another machine could reach ``host`` and there is no token, or it is not one of
            :func:`check_token`.
    """
    if token is not None:
        check_token(token)
    elif not is_local(host):
        raise InputError(
            f"the page at {host} could be seen by everyone on the network",
            f"Give a token of {SHORTEST_TOKEN} or more characters, or serve it to this machine alone, at {LOCAL}",
        )


def open_socket(host: str, port: int) -> socket.socket:
    """A bound TCP socket; port 0 takes a free one.

    Raises:
        InputError: the port is none.
        SinkError: no such host here, the port is taken, or not allowed.
    """
    if not 0 <= port <= 65535:
        raise InputError(f"the port of the page is {port}", "Use 1 to 65535, or 0 for a free one")
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, ValueError) as error:  # a name that cannot be one is a ValueError
        reason = error.strerror if isinstance(error, OSError) else "not a host name"
        raise SinkError(f"no page at {host!a}: {reason}", f"Use an address of this machine, or {LOCAL}") from None
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
            f"no page at {host}:{port}: {reason.lower()}", "Choose another address or port for the page"
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
