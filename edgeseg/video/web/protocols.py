"""uvicorn's protocols, held to the limits of a page that strangers may reach.

What a peer sends that is no HTTP or no WebSocket ends its connection without a word in the log; what is kept for a peer
that does not read, or that never ends its message, is bounded.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from edgeseg.video.web.notices import BENEATH

_MOST_KEPT = 16 * 2**20  # bytes for a peer that does not read: two pictures are far less
_MOST_PARTS = 64  # of one message


class Http(H11Protocol):
    """One connection that speaks HTTP/1."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.logger = BENEATH
        self.access_log = False  # addresses may hold the token

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin, unless the peer has gone already."""
        super().connection_made(transport)
        if self.client is None or self.server is None:
            transport.abort()

    def data_received(self, data: bytes) -> None:
        """Take what came."""
        try:
            super().data_received(data)
        except Exception:
            _cut(self.transport)


class Live(WebSocketsSansIOProtocol):
    """One connection that speaks WebSocket."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.logger = BENEATH
        self.conn.logger = BENEATH
        self._parts = 0

    def data_received(self, data: bytes) -> None:
        """Take what came."""
        if self.client is None or self.server is None:  # the peer has gone already
            self.transport.abort()
            return
        try:
            super().data_received(data)
        except Exception:
            _cut(self.transport)
        if self.conn.handshake_exc is not None and not self.handshake_initiated:  # uvicorn would wait for more
            self.transport.abort()
        if self.transport.get_write_buffer_size() > _MOST_KEPT:  # pings are answered, whether or not it reads
            self.transport.abort()

    def handle_cont(self, event: Any) -> None:
        """Take a part of a message."""
        super().handle_cont(event)
        self._parts = 0 if event.fin else self._parts + 1
        if self._parts > _MOST_PARTS:  # empty ones are endless within any limit of bytes
            self.transport.abort()

    def pause_writing(self) -> None:
        """The peer does not read fast enough: who sends waits."""
        self.writable.clear()

    def resume_writing(self) -> None:
        """The peer has caught up."""
        self.writable.set()

    def connection_lost(self, exc: Exception | None) -> None:
        """The peer has gone: who waits to send is told."""
        super().connection_lost(exc)
        self.writable.set()


def _cut(transport: asyncio.Transport) -> None:
    BENEATH.debug("cut a connection that broke the protocol", exc_info=True)
    transport.abort()
