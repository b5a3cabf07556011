"""The overlay as MJPEG, for an ``<img>``, VLC or ffmpeg."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from edgeseg.video.web.hub import Hub, ViewerStalled, stalled_after

_BOUNDARY = "edgeseg-frame"


class MjpegResponse(Response):
    """One JPEG after the other until the viewer goes.

    Args:
        hub: has the pictures.
        stream: which; None for whatever comes.
        stall_s: a viewer that takes nothing for so many seconds is dropped.
        drop: what drops it.
    """

    def __init__(self, hub: Hub, stream: str | None, stall_s: float, drop: Callable[[Scope], Awaitable[None]]) -> None:
        super().__init__(media_type=f"multipart/x-mixed-replace; boundary={_BOUNDARY}")
        del self.headers["content-length"]
        self._hub = hub
        self._stream = stream
        self._stall_s = stall_s
        self._drop = drop

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one viewer."""
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        if scope["method"] == "HEAD":  # no pictures, and so none that could stall
            await send({"type": "http.response.body", "body": b"", "more_body": False})
            return
        parts = [asyncio.create_task(self._send_pictures(send)), asyncio.create_task(_listen(receive))]
        try:
            done, _ = await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
            for part in done:
                part.result()
        except ViewerStalled:
            await self._drop(scope)
        finally:
            for part in parts:
                part.cancel()
            await asyncio.gather(*parts, return_exceptions=True)

    async def _send_pictures(self, send: Send) -> None:
        viewer = self._hub.join("overlay", self._stream)
        try:
            while (picture := await viewer.next()) is not None:
                jpeg = picture.data
                head = f"--{_BOUNDARY}\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
                body = b"".join((head.encode(), jpeg, b"\r\n"))
                with stalled_after(self._stall_s):
                    await send({"type": "http.response.body", "body": body, "more_body": True})
            with stalled_after(self._stall_s):
                await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            viewer.leave()


async def _listen(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
