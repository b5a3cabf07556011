"""uvicorn on a thread of its own, beside the pipeline, behind a :class:`Door`."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from typing import Any

import h11
import uvicorn

from edgeseg.video.web.app import CONNECTION
from edgeseg.video.web.door import Door, Limits
from edgeseg.video.web.notices import BENEATH, Notices
from edgeseg.video.web.protocols import Http, Live

_FAREWELL_S = 1.0  # for viewers to take leave
_LARGEST_HEAD = 16 * 1024  # bytes of a request, its headers included
_LARGEST_MESSAGE = 4096  # bytes that a viewer may send: it says "next"
_KEEP_ALIVE_S = 5  # for a connection that has its answer


class Server:
    """Serves an ASGI application at a bound socket, from the constructor until close.

    It installs no signal handlers, leaves uvicorn's own loggers as they are, and writes nothing but the tracebacks of
    bugs and, seldom, that connections are turned away.

    Args:
        app: the application. Each scope has, as ``edgeseg.connection``, the
            :class:`edgeseg.video.web.door.Connection` it came by.
        listening: taken over.
        limits: of connections and times.
    """

    def __init__(self, app: Any, listening: socket.socket, limits: Limits) -> None:
        self._app = app
        config = uvicorn.Config(
            self._with_connection,
            http=Http,
            ws=Live,
            h11_max_incomplete_event_size=_LARGEST_HEAD,
            timeout_keep_alive=_KEEP_ALIVE_S,
            ws_max_size=_LARGEST_MESSAGE,
            ws_per_message_deflate=False,  # pictures are compressed already, and a viewer's "next" must not be a bomb
            lifespan="off",
            interface="asgi3",
            log_config=None,
            log_level=None,
            proxy_headers=False,
            server_header=False,
            timeout_graceful_shutdown=3,
        )
        config.load()  # here, where a package that is missing can be told
        self._server = _Server(config, limits)
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._server.serve(sockets=[listening])), name="edgeseg-web", daemon=True
        )
        self._thread.start()

    @property
    def refused(self) -> int:
        """Connections turned away."""
        door = self._server.door
        return 0 if door is None else door.refused

    def close(self) -> None:
        """End all connections within two seconds. Calling it twice is harmless."""
        self._server.should_exit = True
        self._thread.join()

    async def _with_connection(self, scope: Any, receive: Any, send: Any) -> None:
        assert self._server.door is not None
        connection = self._server.door.connection(scope["client"], scope["server"])
        if connection is None:
            return
        scope[CONNECTION] = connection
        connection.begin()
        try:
            await self._app(scope, receive, send)
        except h11.LocalProtocolError:  # the rest of its request was none, and uvicorn has said so already
            connection.cut()
            await asyncio.sleep(0)  # in which the protocol learns of it
        finally:
            connection.end()


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, limits: Limits) -> None:
        super().__init__(config)
        self._limits = limits
        self.door: Door | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(_log_of_loop)
        assert sockets is not None
        [listening] = sockets

        def serve() -> asyncio.Protocol:
            make: Any = self.config.http_protocol_class
            protocol: asyncio.Protocol = make(
                config=self.config, server_state=self.server_state, app_state={}, _loop=loop
            )
            return protocol

        self.servers = []
        self.door = Door(listening, serve, self._limits, Notices())
        self.door.open()
        self.started = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        assert self.door is not None
        self.door.close()
        asyncio.get_running_loop().call_later(_FAREWELL_S, self.door.cut_all)
        with contextlib.suppress(asyncio.CancelledError):
            await super().shutdown(sockets)


def _log_of_loop(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    BENEATH.error("%s", context["message"], exc_info=context.get("exception"))
