"""The door of the page: takes connections one by one, turns away those that are too many, ends those that ask nothing.

Whoever reaches the port may open connections without end, and each costs the process a descriptor that a recording may
need. So they are counted as they are accepted, and one too many is closed before anything is made of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import ipaddress
import math
import os
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from edgeseg.video.web.notices import Notices

_AT_ONCE = 16  # accepted before the others of the event loop have their turn
_LOOK_AROUND_S = 0.5
_PAUSE_S = 0.2  # until accepting is tried again after the system refused
_EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_TOO_MANY = (
    b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Type: text/plain\r\nContent-Length: 22\r\n"
    b"Retry-After: 10\r\n\r\nToo many connections.\n"
)


def descriptors_allowed() -> int:
    """How many files and sockets this process may have open; a modest guess where the system does not say."""
    if sys.platform == "win32":
        return 512
    import resource

    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 1024 if soft == resource.RLIM_INFINITY else soft


@dataclass(frozen=True)
class Limits:
    """What the door lets through.

    Attributes:
        connections: in all; by default 256, or a quarter of the descriptors that the process may have.
        per_address: from one address; this machine's own are only held to the former, since a proxy may speak for many.
        head_s: seconds in which a whole request must have come, from the start or from the end of the last answer.
        answer_s: seconds that an answer may take which is no stream.
    """

    connections: int = field(default_factory=lambda: max(8, min(256, descriptors_allowed() // 4)))
    per_address: int = 32
    head_s: float = 10.0
    answer_s: float = 30.0


class Connection:
    """One that was let in; put into each ASGI scope.

    Attributes:
        address: whom it counts for; see :func:`address_of`.
        is_cut: whether it was cut, and its descriptor will be free in a moment.
        due_s: ``time.monotonic()`` when it is cut if nothing changes.
    """

    def __init__(self, socket_: socket.socket, address: str, limits: Limits) -> None:
        self.socket = socket_
        self.address = address
        self._limits = limits
        self._transport: asyncio.Transport | None = None
        self._requests = 0
        self.is_cut = False
        self.due_s = time.monotonic() + limits.head_s

    @property
    def is_closed(self) -> bool:
        """Whether its descriptor is free again."""
        return self.socket.fileno() == -1

    @property
    def is_idle(self) -> bool:
        """Whether it has asked for nothing yet, or has its answer."""
        return self._requests == 0

    def connected(self, transport: asyncio.Transport) -> None:
        """It is served from now on."""
        self._transport = transport
        if self.is_cut:
            transport.abort()

    def begin(self) -> None:
        """A request is being answered."""
        self._requests += 1
        self.due_s = time.monotonic() + self._limits.answer_s

    def stay(self) -> None:
        """The answer is a stream: it may last, and looks itself after a viewer that takes nothing."""
        self.due_s = math.inf

    def end(self) -> None:
        """The request is answered."""
        self._requests -= 1
        self.due_s = time.monotonic() + self._limits.head_s

    def cut(self) -> None:
        """Close it without waiting for the peer."""
        self.is_cut = True
        if self._transport is not None:
            self._transport.abort()


class Door:
    """Accepts connections on the running event loop, from ``open`` until ``close``.

    Args:
        listening: a socket that listens and does not block.
        receive: makes what serves one connection.
        limits: what is let through.
        notices: told of those turned away.

    Attributes:
        refused: connections turned away.
    """

    def __init__(
        self, listening: socket.socket, receive: Callable[[], asyncio.Protocol], limits: Limits, notices: Notices
    ) -> None:
        self._listening = listening
        self._receive = receive
        self._limits = limits
        self._notices = notices
        self._connections: dict[tuple[str, int, str, int], Connection] = {}  # the oldest first
        self._arriving: set[asyncio.Task[None]] = set()
        self._reserve: int | None = None
        self._loop = asyncio.get_running_loop()
        self._look: asyncio.TimerHandle | None = None
        self._is_open = False
        self.refused = 0

    def open(self) -> None:
        """Accept from now on."""
        self._is_open = True
        self._refill()
        self._loop.add_reader(self._listening, self._accept)
        self._look_around()

    def close(self) -> None:
        """Accept no more; those that are in stay."""
        self._is_open = False
        self._loop.remove_reader(self._listening)
        if self._look is not None:
            self._look.cancel()
        if self._reserve is not None:
            os.close(self._reserve)
            self._reserve = None

    def connection(self, client: tuple[str, int], server: tuple[str, int]) -> Connection | None:
        """The one between these two addresses; None once it has gone."""
        return self._connections.get(client + server)

    def cut_all(self) -> None:
        """Close all without waiting for anybody."""
        for connection in self._connections.values():
            connection.cut()

    def _accept(self) -> None:
        for _ in range(_AT_ONCE):
            try:
                arrived, _ = self._listening.accept()
            except (BlockingIOError, InterruptedError):
                return
            except ConnectionAbortedError:
                continue
            except OSError as error:
                can_turn_away = error.errno in _EXHAUSTED and self._reserve is not None
                if can_turn_away and not self._turn_one_away():
                    return  # nobody waits: a system without descriptors says so before it looks
                self._notices.tell("no connection to the page can be accepted: %s", os.strerror(error.errno or 0))
                if can_turn_away:
                    continue
                self._pause()
                return
            try:
                self._welcome(arrived)
            except OSError:  # gone already
                arrived.close()

    def _welcome(self, arrived: socket.socket) -> None:
        arrived.setblocking(False)
        peer, own = arrived.getpeername()[:2], arrived.getsockname()[:2]
        address = address_of(peer[0])
        self._forget_closed()
        from_here = is_this_machine(peer[0], own[0])
        standing = [one for one in self._connections.values() if not one.is_cut]
        alike = sum(one.address == address for one in standing)
        if not from_here and alike >= self._limits.per_address:
            self._refuse(arrived, f"{address} has {alike}")
        elif len(standing) >= self._limits.connections and not self._make_room(standing):
            self._refuse(arrived, f"there are {len(standing)}")
        else:
            connection = Connection(arrived, address, self._limits)
            self._connections[peer + own] = connection
            task = self._loop.create_task(self._let_in(connection))
            self._arriving.add(task)
            task.add_done_callback(self._arriving.discard)

    async def _let_in(self, connection: Connection) -> None:
        try:
            transport, _ = await self._loop.connect_accepted_socket(self._receive, connection.socket)
        except OSError:  # gone already
            connection.socket.close()
        else:
            connection.connected(transport)

    def _refuse(self, arrived: socket.socket, why: str) -> None:
        self.refused += 1
        self._notices.tell("connections to the page are turned away: %s", why)
        with contextlib.suppress(OSError):
            arrived.send(_TOO_MANY)
            arrived.recv(65536)  # what is not read when it is closed would take the answer with it
        arrived.close()

    def _make_room(self, standing: list[Connection]) -> bool:
        """Cut the oldest connection that asks for nothing; whether there was one."""
        oldest = next((connection for connection in standing if connection.is_idle), None)
        if oldest is None:
            return False
        oldest.cut()
        self._notices.tell("connections to the page that ask for nothing are cut: there are %d", len(standing))
        return True

    def _turn_one_away(self) -> bool:
        """Close a connection without a descriptor to spare, by that kept for it; whether one was waiting."""
        assert self._reserve is not None
        os.close(self._reserve)
        self._reserve = None
        try:
            self._listening.accept()[0].close()
        except OSError:
            return False
        finally:
            self._refill()
        self.refused += 1
        return True

    def _refill(self) -> None:
        if self._reserve is None:
            with contextlib.suppress(OSError):
                self._reserve = os.open(os.devnull, os.O_RDONLY)

    def _pause(self) -> None:
        def resume() -> None:
            if self._is_open:
                self._loop.add_reader(self._listening, self._accept)

        self._loop.remove_reader(self._listening)
        self._loop.call_later(_PAUSE_S, resume)

    def _look_around(self) -> None:
        now_s = time.monotonic()
        self._forget_closed()
        for connection in self._connections.values():
            if now_s > connection.due_s:
                connection.cut()
        self._refill()
        self._notices.sum_up()
        self._look = self._loop.call_later(_LOOK_AROUND_S, self._look_around)

    def _forget_closed(self) -> None:
        for key in [key for key, connection in self._connections.items() if connection.is_closed]:
            del self._connections[key]


def address_of(host: str) -> str:
    """Whom an IP address stands for: itself, or of IPv6 the network of 64 bits, since one subscriber has all of it."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((address, 64), strict=False))


def is_this_machine(peer: str, own: str) -> bool:
    """Whether a connection that comes from ``peer`` to ``own`` was made on this machine."""
    return peer == own or peer.removeprefix("::ffff:") == "127.0.0.1" or peer == "::1"
