"""What every source adapter shares: one pass over the frames, and a close that may come from another thread."""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import replace

from edgeseg.types import Frame
from edgeseg.video.sources.base import StreamInfo
from edgeseg.video.status import SourceState

_LONGEST_NAP_S = 0.05


class OnePassSource(ABC):
    """A Source that is its own iterator, as an open file is.

    An adapter writes ``_frames`` and ``_release``; neither runs while the other does.
    """

    def __init__(self, info: StreamInfo) -> None:
        self._info = info
        self._reading = threading.Lock()
        self._closed = False  # a plain bool: close may be called by a signal handler, which must not wait for a lock
        self._iterator: Iterator[Frame] | None = None
        self._state = SourceState("connecting")

    @property
    def info(self) -> StreamInfo:
        """What is known before the first frame."""
        return self._info

    @property
    def state(self) -> SourceState:
        """How it stands right now."""
        return self._state

    @abstractmethod
    def _frames(self) -> Iterator[Frame]:
        """Yield the frames, looking at ``self._closed`` wherever it waits long."""

    @abstractmethod
    def _release(self) -> None:
        """Give back the device or file; may be called more than once."""

    def _leave_out(self, why: str) -> None:
        """A frame of a live source cannot be used; the source goes on."""
        self._state = replace(self._state, left_out=self._state.left_out + 1, left_out_for=why)

    def _nap(self, seconds: float) -> None:
        """Wait, but hardly longer than until close: naps look at a flag, for which no signal handler needs a lock."""
        until_s = time.monotonic() + seconds
        while not self._closed and (left_s := until_s - time.monotonic()) > 0:
            time.sleep(min(left_s, _LONGEST_NAP_S))

    def __iter__(self) -> Iterator[Frame]:
        return self

    def __next__(self) -> Frame:
        frame: Frame | None = None
        try:
            with self._reading:
                if not self._closed:
                    self._iterator = self._iterator or self._frames()
                    frame = next(self._iterator, None)
        except BaseException:
            self.close()
            raise
        if frame is None or self._closed:
            self.close()
            raise StopIteration
        if self._state.condition == "connecting":
            self._state = self._state.now("running")
        return frame

    def close(self) -> None:
        """Release the device or file and end the iteration soon. Calling it twice is harmless."""
        self._closed = True
        if self._state.condition != "ended":
            self._state = self._state.now("ended")
        # If a frame is being read, the reading thread sees the flag when it is done and comes here itself.
        if self._reading.acquire(blocking=False):
            try:
                self._release()
            finally:
                self._reading.release()
