"""A live source that is lost and comes back."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from edgeseg.errors import SourceError
from edgeseg.run_config import OnLost
from edgeseg.types import Frame
from edgeseg.video.sources.base import OnChange, Source, SourceLostError, StreamInfo
from edgeseg.video.sources.one_pass import OnePassSource
from edgeseg.video.sources.timeline import Timeline
from edgeseg.video.status import Condition, SourceState


@dataclass(frozen=True)
class Backoff:
    """How long to wait before each attempt: exponential with full jitter, so that many do not come back at once.

    Attributes:
        first_s: the longest wait before the first attempt; it doubles with each.
        longest_s: and goes no further than this.
    """

    first_s: float = 0.5
    longest_s: float = 30.0

    def wait_s(self, attempt: int) -> float:
        """Seconds to wait before this attempt, counted from 0; a random part of the longest."""
        return random.uniform(0, min(self.longest_s, self.first_s * 2.0 ** min(attempt, 64)))


class ReconnectingSource(OnePassSource):
    """Opens a live source again whenever it fails or ends, and goes on as if it were one stream.

    Frame indices go on counting and presentation times go on growing, over a gap as long as by the clock. While it is
    away no frame comes; its state says since when, and why. What turns out not to be live is passed on as it is.

    Args:
        open_: opens it.
        uri: what to call it before it was opened, without credentials.
        on_lost: ``wait`` tries until it is back, and also where it is not there yet; ``exit`` raises. None waits once
            it has been there, so that a wrong address is told at once.
        on_change: told when it is lost and when it is back, by the thread that iterates.
        backoff: the waits between attempts.

    Raises:
        SourceError: it cannot be opened; with ``wait`` only where waiting would not mend it.
    """

    def __init__(
        self,
        open_: Callable[[], Source],
        *,
        uri: str,
        on_lost: OnLost | None = None,
        on_change: OnChange | None = None,
        backoff: Backoff | None = None,
    ) -> None:
        self._open = open_
        self._on_lost = on_lost
        self._on_change = on_change
        self._backoff = backoff or Backoff()
        self._attempt = 0
        self._reconnects = 0
        self._has_flowed = False
        self._timeline = Timeline()
        self._inner: Source | None = None
        lost = None
        try:
            self._inner = open_()
        except SourceLostError as error:
            if on_lost != "wait":
                raise
            lost = error
        super().__init__(self._inner.info if self._inner else StreamInfo(uri, live=True))
        if lost:
            self._become("lost", lost.what)

    @property
    def state(self) -> SourceState:
        """How it stands right now; what was left out counts over all connections."""
        own, inner = self._state, self._inner
        if inner is None or not inner.state.left_out:
            return own
        theirs = inner.state
        return replace(own, left_out=own.left_out + theirs.left_out, left_out_for=theirs.left_out_for)

    def _frames(self) -> Iterator[Frame]:
        index = 0
        while (inner := self._inner or self._connect()) is not None:
            live = inner.info.live
            failure: SourceError = SourceLostError(f"{inner.info.uri} ended", "See whether the camera is on")
            try:
                for frame in inner:
                    self._flow()
                    pts_s = self._timeline.place(frame.pts_s, frame.captured_s) if live else frame.pts_s
                    yield replace(frame, index=index, pts_s=pts_s)
                    index += 1
            except SourceError as error:
                if not live or self._is_hopeless(error):
                    raise
                failure = error
            finally:
                inner.close()
                self._let_go_of(inner)
            if self._closed or not live:
                return
            if self._on_lost == "exit":
                raise failure
            self._timeline.interrupt()
            self._become("lost", failure.what)

    def _let_go_of(self, inner: Source) -> None:
        theirs = inner.state
        if theirs.left_out:
            self._state = replace(
                self._state, left_out=self._state.left_out + theirs.left_out, left_out_for=theirs.left_out_for
            )
        self._inner = None

    def _connect(self) -> Source | None:
        """Try until it opens; None once closed."""
        while not self._closed:
            self._nap(self._backoff.wait_s(self._attempt))
            self._attempt += 1
            if self._closed:
                break
            try:
                inner = self._inner = self._open()
            except SourceError as error:
                if self._is_hopeless(error):
                    raise
                self._become("lost", error.what)
                continue
            if not self._closed:  # else close may have come too early to see it
                self._info = inner.info
                return inner
            inner.close()
        return None

    def _is_hopeless(self, error: SourceError) -> bool:
        """Whether waiting does not mend it; once frames have come, it may: a camera that starts answers anything."""
        return not self._has_flowed and not isinstance(error, SourceLostError)

    def _flow(self) -> None:
        """A frame has come."""
        self._has_flowed = True
        self._attempt = 0
        if self._state.condition == "lost":
            self._reconnects += 1
            self._become("running")

    def _become(self, condition: Condition, reason: str = "") -> None:
        if self._closed:
            return
        before = self._state
        self._state = replace(before.now(condition, reason), reconnects=self._reconnects)
        if self._on_change is not None and condition != before.condition:
            self._on_change(self._state)

    def close(self) -> None:
        """Release the source and end the iteration, also while it is being waited for."""
        super().close()
        if (inner := self._inner) is not None:
            inner.close()

    def _release(self) -> None:
        if self._inner is not None:
            self._inner.close()
