"""uvicorn on a thread of its own, beside the pipeline."""

from __future__ import annotations

import asyncio
import socket
import threading
from typing import Any

import uvicorn

from edgeseg.video.web.app import HANG_UP

_FAREWELL_S = 1.0  # for viewers to take leave
_LARGEST_MESSAGE = 4096  # bytes that a viewer may send: it says "next"


class Server:
    """Serves an ASGI application at a bound socket, from the constructor until close.

    It installs no signal handlers and writes nothing but the tracebacks of bugs.

    Args:
        app: the application. Each scope has, as ``edgeseg.hang_up``, a coroutine function that cuts the connection at
            once: closing it politely would wait for a peer that does not read.
        listening: taken over.
    """

    def __init__(self, app: Any, listening: socket.socket) -> None:
        self._app = app
        config = uvicorn.Config(
            self._with_hang_up,
            http="h11",
            ws="websockets-sansio",
            ws_max_size=_LARGEST_MESSAGE,
            ws_per_message_deflate=False,  # pictures are compressed already
            lifespan="off",
            interface="asgi3",
            log_config=None,
            log_level="error",
            access_log=False,  # addresses may hold the token
            proxy_headers=False,
            server_header=False,
            timeout_graceful_shutdown=3,
        )
        config.load()  # here, where a package that is missing can be told
        self._server = _Server(config)
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._server.serve(sockets=[listening])), name="edgeseg-web", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """End all connections within two seconds. Calling it twice is harmless."""
        self._server.should_exit = True
        self._thread.join()

    async def _with_hang_up(self, scope: Any, receive: Any, send: Any) -> None:
        async def hang_up() -> None:
            self._server.cut(scope["client"])
            await asyncio.sleep(0)  # in which the protocol learns of it

        scope[HANG_UP] = hang_up
        await self._app(scope, receive, send)


class _Server(uvicorn.Server):
    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        asyncio.get_running_loop().call_later(_FAREWELL_S, self._cut_all)
        await super().shutdown(sockets)

    def cut(self, client: tuple[str, int]) -> None:
        """Cut the connection of one client."""
        for connection in list(self.server_state.connections):
            if getattr(connection, "client", None) == client:
                connection.transport.abort()

    def _cut_all(self) -> None:
        for connection in list(self.server_state.connections):
            connection.transport.abort()
