"""The page's WebSocket: pictures as binary messages, how the run stands as text.

The viewer answers each picture with ``next`` when it has drawn it, and is sent no more than two ahead of that: what is
under way to a slow phone stays bounded, and new. ``show NAME`` chooses a stream, ``show`` alone all of them.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

from starlette.websockets import WebSocket, WebSocketDisconnect

from edgeseg.video.web.hub import Hub, Viewer, stalled_after

_AHEAD = 2
_NEWS_S = 1.0


class _Gone(Exception):  # noqa: N818 - not an error: viewers come and go
    """The viewer has gone."""


async def show_live(socket: WebSocket, hub: Hub, news: Callable[[], str], stall_s: float) -> None:
    """Serve one viewer until it goes.

    Args:
        socket: not accepted yet.
        hub: has the pictures.
        news: how the run stands, as JSON; sent once a second.
        stall_s: raises when the viewer takes nothing for so many seconds.

    Raises:
        ViewerStalled: and the connection is to be cut.
    """
    try:
        await _said(socket.accept())
    except _Gone:
        return
    viewer = hub.join("layers", socket.query_params.get("stream"))
    room = asyncio.Semaphore(_AHEAD)
    parts = [
        asyncio.create_task(_listen(socket, viewer, room)),
        asyncio.create_task(_send_pictures(socket, viewer, room, stall_s)),
        asyncio.create_task(_send_news(socket, news, stall_s)),
    ]
    try:
        done, _ = await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
        for part in done:
            with contextlib.suppress(_Gone):
                part.result()
    finally:
        viewer.leave()
        for part in parts:
            part.cancel()
        await asyncio.gather(*parts, return_exceptions=True)
    if hub.is_closed:
        with contextlib.suppress(_Gone), stalled_after(stall_s):
            await _said(socket.close(1001, "edgeseg ends"))


async def _said(saying: Awaitable[None]) -> None:
    """Wait until it is sent; raise _Gone for a viewer that has gone, for which each version raises something else.

    Starlette has WebSocketDisconnect, and lets uvicorn's OSError through while it accepts; a socket that the other
    side closed a moment ago is a RuntimeError, of Starlette or of uvicorn.
    """
    try:
        await saying
    except (WebSocketDisconnect, OSError, RuntimeError):
        raise _Gone from None


async def _listen(socket: WebSocket, viewer: Viewer, room: asyncio.Semaphore) -> None:
    while True:
        message = await socket.receive()
        if message["type"] == "websocket.disconnect":
            return
        verb, _, name = (message.get("text") or "").partition(" ")
        if verb == "next":
            room.release()
        elif verb == "show":
            viewer.look_at(name or None)


async def _send_pictures(socket: WebSocket, viewer: Viewer, room: asyncio.Semaphore, stall_s: float) -> None:
    while True:
        with stalled_after(stall_s):
            await room.acquire()  # if nothing is under way there is room
        picture = await viewer.next()
        if picture is None:
            return
        with stalled_after(stall_s):
            await _said(socket.send_bytes(picture.data))


async def _send_news(socket: WebSocket, news: Callable[[], str], stall_s: float) -> None:
    while True:
        with stalled_after(stall_s):
            await _said(socket.send_text(news()))
        await asyncio.sleep(_NEWS_S)
