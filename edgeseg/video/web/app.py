"""The addresses that are served, as a Starlette application."""

from __future__ import annotations

import json
import time
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

import anyio
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.types import Scope
from starlette.websockets import WebSocket

from edgeseg.video.web.access import Guard
from edgeseg.video.web.assets import ASSETS
from edgeseg.video.web.hub import Hub, ViewerStalled
from edgeseg.video.web.live import show_live
from edgeseg.video.web.metrics import Metrics
from edgeseg.video.web.mjpeg import MjpegResponse
from edgeseg.video.web.monitor import Monitor

CONNECTION = "edgeseg.connection"
"""The server's entry in an ASGI scope: the connection by which a request came."""

_FILES = {
    "/": ("index.html", "text/html"),
    "/app.js": ("app.js", "text/javascript"),
    "/style.css": ("style.css", "text/css"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
}
_PICTURE_WITHIN_S = 3.0
_SAME_NEWS_S = 0.5

T = TypeVar("T")


class _Lately(Generic[T]):
    """What a function said; asked once for all who ask at about the same time, however many they are."""

    def __init__(self, ask: Callable[[], T]) -> None:
        self._ask = ask
        self._said: tuple[float, T] | None = None

    def __call__(self) -> T:
        now_s = time.monotonic()
        if self._said is None or now_s - self._said[0] > _SAME_NEWS_S:
            self._said = now_s, self._ask()
        return self._said[1]


class App:
    """What answers the requests.

    Args:
        monitor: asked for the figures, and for the hub of the pictures.
        stall_s: a viewer that takes nothing for so many seconds is dropped.
    """

    def __init__(self, monitor: Monitor, stall_s: float) -> None:
        self._hub: Hub = monitor.hub
        self._metrics = Metrics(monitor)
        self._stall_s = stall_s
        self._ailments = _Lately(monitor.ailments)
        self._news = _Lately(lambda: json.dumps(monitor.document(), allow_nan=False))

    def guarded(self, host: str, port: int, token: str | None) -> Starlette:
        """The application behind its :class:`Guard`."""
        files = [Route(path, _file(name, media_type)) for path, (name, media_type) in _FILES.items()]
        app = Starlette(
            routes=[
                *files,
                Route("/healthz", self._health),
                Route("/metrics", self._figures),
                Route("/status.json", self._status),
                Route("/snapshot.jpg", self._snapshot),
                Route("/stream.mjpg", self._mjpeg),
                WebSocketRoute("/live", self._live),
            ],
            middleware=[Middleware(Guard, host=host, port=port, token=token)],
        )
        app.router.redirect_slashes = False
        return app

    async def _health(self, request: Request) -> Response:
        ailments = self._ailments()
        answer = {"status": "unhealthy" if ailments else "ok"}
        if ailments and request.scope["edgeseg.trusted"]:
            answer["reason"] = "; ".join(ailments)
        return JSONResponse(answer, 503 if ailments else 200)

    async def _figures(self, _request: Request) -> Response:
        return Response(self._metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    async def _status(self, _request: Request) -> Response:
        return Response(self._news(), media_type="application/json")

    async def _snapshot(self, request: Request) -> Response:
        viewer = self._hub.join("overlay", request.query_params.get("stream"))
        picture = None
        try:
            with anyio.move_on_after(_PICTURE_WITHIN_S):
                picture = await viewer.next()
        finally:
            viewer.leave()
        if picture is None:
            return PlainTextResponse("There is no picture yet.\n", 503, headers={"Retry-After": "1"})
        return Response(picture.data, media_type="image/jpeg")

    async def _mjpeg(self, request: Request) -> Response:
        request.scope[CONNECTION].stay()
        return MjpegResponse(self._hub, request.query_params.get("stream"), self._stall_s, self._drop)

    async def _live(self, socket: WebSocket) -> None:
        socket.scope[CONNECTION].stay()
        try:
            await show_live(socket, self._hub, self._news, self._stall_s)
        except ViewerStalled:
            await self._drop(socket.scope)

    async def _drop(self, scope: Scope) -> None:
        self._hub.dropped += 1
        scope[CONNECTION].cut()
        await anyio.sleep(0)  # in which the protocol learns of it


def _file(name: str, media_type: str) -> Callable[[Request], Awaitable[Response]]:
    content = (ASSETS / name).read_bytes()

    async def answer(_request: Request) -> Response:
        return Response(content, media_type=media_type, headers={"Cache-Control": "no-cache"})

    return answer
