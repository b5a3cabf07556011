"""Where pictures meet viewers: each is encoded once, when somebody waits for it, on a thread of its own.

Results come from the pipeline's thread, which leaves the newest of each stream here and goes on. Viewers live on the
server's event loop. A viewer that is ready for a picture asks; the encoder makes those that are asked for, of the
newest results; whoever else asks before there is a newer result gets the same bytes.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

import anyio

from edgeseg.types import Result
from edgeseg.video.web.notices import Notices
from edgeseg.video.web.picture import Encoding, Kind


class ViewerStalled(Exception):  # noqa: N818 - not an error: viewers come and go
    """A viewer took nothing for too long."""


@contextmanager
def stalled_after(stall_s: float) -> Iterator[None]:
    """Raise ViewerStalled when what is awaited within takes longer."""
    try:
        # Not asyncio.wait_for: before Python 3.12 that may swallow a cancellation.
        with anyio.fail_after(stall_s):
            yield
    except TimeoutError:
        raise ViewerStalled from None


@dataclass(frozen=True)
class Picture:
    """A result encoded.

    Attributes:
        number: a higher one is newer, among all streams.
        encoded: how many pictures had been encoded with this one.
    """

    number: int
    encoded: int
    stream: str
    data: bytes


class _Newest(NamedTuple):
    number: int
    result: Result


class Viewer:
    """One who looks: at one stream, or at all of them in turn. Lives on the event loop; join with ``Hub.join``.

    Attributes:
        stream: the one looked at; None for all.
        asked: while it waits, how many pictures had been encoded when it asked; else None.
    """

    def __init__(self, hub: Hub, kind: Kind, stream: str | None) -> None:
        self.kind = kind
        self.stream = stream
        self._hub = hub
        self._arrived = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._seen: dict[str, int] = {}
        self.asked: int | None = None

    async def next(self) -> Picture | None:
        """The newest picture not seen yet; waits for one, and gives None once there will be no more."""
        while not self._hub.is_closed:
            self._arrived.clear()
            picture = self._hub.take(self)
            if picture is not None:
                self._seen[picture.stream] = picture.number
                return picture
            await self._arrived.wait()
        return None

    def look_at(self, stream: str | None) -> None:
        """Change to this stream, or with None to all."""
        self.stream = stream
        self.asked = None
        self._arrived.set()

    def leave(self) -> None:
        """Look no more. Calling it twice is harmless."""
        self._hub.leave(self)

    def wants(self, stream: str, kind: Kind, number: int) -> bool:
        """Whether it has yet to see this picture."""
        return kind == self.kind and self.stream in (None, stream) and number > self.last_seen(stream)

    def last_seen(self, stream: str) -> int:
        """The number of the picture it had last; 0 before the first."""
        return self._seen.get(stream, 0)

    def wake(self) -> None:
        """Let it look whether there is something new; called on any thread."""
        try:
            self._loop.call_soon_threadsafe(self._arrived.set)
        except RuntimeError:
            return  # the loop has ended, and the viewer with it


class Hub:
    """The newest result of each stream, its encodings, and those who wait for them.

    Args:
        encoding: how pictures are encoded.
        max_fps: no stream is encoded more often than this.

    Attributes:
        encoding: as given.
        dropped: viewers dropped because they took nothing.
        encoded: pictures encoded.
    """

    def __init__(self, encoding: Encoding, max_fps: float) -> None:
        self.encoding = encoding
        self._period_s = 1 / max_fps
        self._changed = threading.Condition()
        self._newest: dict[str, _Newest] = {}
        self._pictures: dict[tuple[str, Kind], Picture] = {}
        self._viewers: set[Viewer] = set()
        self._count = 0
        self._closed = False
        self._notices = Notices()  # of the thread that encodes
        self._broken: dict[tuple[str, Kind], int] = {}
        self.dropped = 0
        self.encoded = 0
        self._thread = threading.Thread(target=self._run, name="edgeseg-web-encode", daemon=True)
        self._thread.start()

    @property
    def is_closed(self) -> bool:
        """Whether there will be no more pictures."""
        return self._closed

    @property
    def viewers(self) -> int:
        """How many look."""
        return len(self._viewers)

    def offer(self, result: Result) -> None:
        """Leave the newest result of a stream."""
        with self._changed:
            self._count += 1
            self._newest[result.stream] = _Newest(self._count, result)
            self._changed.notify_all()

    def join(self, kind: Kind, stream: str | None = None) -> Viewer:
        """A viewer more; called on the event loop."""
        viewer = Viewer(self, kind, stream)
        with self._changed:
            self._viewers.add(viewer)
        return viewer

    def leave(self, viewer: Viewer) -> None:
        """A viewer fewer."""
        with self._changed:
            self._viewers.discard(viewer)

    def take(self, viewer: Viewer) -> Picture | None:
        """What the viewer should see next; if there is nothing, it is woken when there is."""
        with self._changed:
            fresh = [
                picture
                for (stream, kind), picture in self._pictures.items()
                if viewer.wants(stream, kind, picture.number)
                and (
                    picture.number == self._newest[stream].number
                    or (viewer.asked is not None and picture.encoded > viewer.asked)
                )
            ]
            if fresh:
                viewer.asked = None
                return min(fresh, key=lambda picture: viewer.last_seen(picture.stream))
            if viewer.asked is None:
                viewer.asked = self.encoded
            self._changed.notify_all()
            return None

    def close(self) -> None:
        """Encode no more, and tell the viewers. Calling it twice is harmless."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            viewers = list(self._viewers)
        for viewer in viewers:
            viewer.wake()
        self._thread.join()

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._closed and not (wanted := self._wanted()):
                    self._changed.wait()
                if self._closed:
                    return
            start_s = time.monotonic()
            for kind, newest in wanted:
                self._encode(kind, newest)
            with self._changed:
                self._changed.wait_for(lambda: self._closed, start_s + self._period_s - time.monotonic())

    def _wanted(self) -> list[tuple[Kind, _Newest]]:
        """The encodings that somebody waits for."""
        kinds: tuple[Kind, ...] = ("layers", "overlay")
        return [
            (kind, newest)
            for stream, newest in self._newest.items()
            for kind in kinds
            if not self._has(stream, kind, newest.number)
            and any(viewer.asked is not None and viewer.wants(stream, kind, newest.number) for viewer in self._viewers)
        ]

    def _has(self, stream: str, kind: Kind, number: int) -> bool:
        picture = self._pictures.get((stream, kind))
        return (picture is not None and picture.number == number) or self._broken.get((stream, kind)) == number

    def _encode(self, kind: Kind, newest: _Newest) -> None:
        stream = newest.result.stream
        try:
            data = self.encoding.encode(newest.result, kind)
        except Exception as error:  # of this picture: those after it, and other streams', are shown all the same
            self._broken[stream, kind] = newest.number
            self._notices.tell("a picture for the page could not be encoded: %.200r", error)
            return
        with self._changed:
            self.encoded += 1
            self._pictures[stream, kind] = Picture(newest.number, self.encoded, stream, data)
            waiting = [viewer for viewer in self._viewers if viewer.wants(stream, kind, newest.number)]
        for viewer in waiting:
            viewer.wake()
