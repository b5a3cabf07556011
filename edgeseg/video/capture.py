"""One source on a thread of its own, and what became of its frames."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable
from itertools import islice

from edgeseg.errors import in_one_line
from edgeseg.types import Frame, Result
from edgeseg.video.queues import BoundedQueue
from edgeseg.video.sources.base import Source
from edgeseg.video.status import StreamStatus
from edgeseg.video.telemetry import Histograms, Report

_FRAMES_AHEAD = 2
_FPS_WINDOW_S = 5.0
_HOPELESS_FRAMES = 10
_HOPELESS_S = 10.0
_MOST_REASONS = 10
_OTHER_REASONS = "other reasons"


class Capture:
    """Reads a source as fast as it delivers, or as there is room for its frames; keeps the stream's account.

    Attributes:
        failed: why the stream has ended before its time, in one line; else empty.
        given_up: whether that was for a stage.

    Args:
        name: of the stream.
        source: read on this capture's thread.
        latest_wins: whether a new frame takes the place of one that waits; else the source waits.
        changed: of the fan-in that takes the frames.
        max_frames: read no more than these; None reads all.
        on_error: told of what reading raised, on the capture's thread.
    """

    def __init__(
        self,
        name: str,
        source: Source,
        *,
        latest_wins: bool,
        changed: threading.Condition,
        max_frames: int | None,
        on_error: Callable[[BaseException], None],
    ) -> None:
        self.name = name
        self.source = source
        self.waiting: BoundedQueue[Result] = BoundedQueue(
            1 if latest_wins else _FRAMES_AHEAD, latest_wins=latest_wins, changed=changed
        )
        self.thread = threading.Thread(target=self._read, name=f"edgeseg-capture {name}".strip(), daemon=True)
        self._max_frames = max_frames
        self._on_error = on_error
        self.failed = ""
        self.given_up = False
        self._last_wanted = math.inf
        self.hops = Histograms()
        self._processed = 0
        self._lost = 0
        self._counting = threading.Lock()  # of what several threads lose
        self._recent_ms: dict[str, float] = {}
        self._done_s: deque[float] = deque(maxlen=1000)
        self._faults: dict[str, int] = {}
        self._stumbles = 0  # in a row
        self._stumbling_since_s = 0.0

    def _read(self) -> None:
        try:
            frames = islice(self.source, self._max_frames)
            while True:
                start_s = time.perf_counter()
                frame: Frame | None = next(frames, None)
                capture_ms = (time.perf_counter() - start_s) * 1000
                if frame is None:
                    return
                if not self.waiting.put(Result(frame, latency_ms={"capture": capture_ms}, stream=self.name)):
                    return
        except BaseException as error:
            if not self.given_up:
                self.failed = in_one_line(error)
                self._on_error(error)
        finally:
            self.waiting.end()

    def count(self, result: Result) -> None:
        """One more has passed all stages."""
        self._processed += 1
        self._stumbles = 0
        self.hops.add(result.latency_ms)
        self._recent_ms = dict(result.latency_ms)
        self._done_s.append(time.monotonic())

    def lose(self) -> None:
        """One more was taken and not finished: too old when its turn came, or with a stage that failed."""
        with self._counting:
            self._lost += 1

    def stumble(self, reason: str) -> bool:
        """A stage failed on a frame, which was lost; says whether this reason is new."""
        now_s = time.monotonic()
        self._stumbling_since_s = self._stumbling_since_s if self._stumbles else now_s
        self._stumbles += 1
        if reason not in self._faults and len(self._faults) >= _MOST_REASONS:
            reason = _OTHER_REASONS  # who sends the pictures may be the author of the messages
        is_new = reason not in self._faults
        self._faults[reason] = self._faults.get(reason, 0) + 1
        return is_new

    @property
    def is_hopeless(self) -> bool:
        """Whether stages have failed on every frame for so long that no other will pass them."""
        return self._stumbles >= _HOPELESS_FRAMES and time.monotonic() - self._stumbling_since_s >= _HOPELESS_S

    def give_up(self, reason: str, frame: Frame) -> None:
        """End the stream at this frame: those before it are finished, those that wait are dropped."""
        self.failed = reason
        self.given_up = True
        self._last_wanted = frame.index
        self.waiting.abandon()
        self.source.close()

    def wants(self, frame: Frame) -> bool:
        """Whether a frame is to pass the stages: not where it follows the one at which the stream was given up."""
        return frame.index <= self._last_wanted

    def settle(self) -> None:
        """Count what has not come back from the stages as dropped: the run is over, and left them behind."""
        self._lost = self.waiting.given - self.waiting.dropped - self._processed

    def status(self) -> StreamStatus:
        """How it stands; asked from any thread."""
        report = self.report()
        now_s = time.monotonic()
        recent = [done_s for done_s in self._done_s.copy() if now_s - done_s <= _FPS_WINDOW_S]
        span_s = now_s - recent[0] if len(recent) > 1 else 0.0
        return StreamStatus(
            stream=self.name,
            uri=report.uri,
            state=self.source.state,
            frames_in=report.frames_in,
            processed=report.processed,
            dropped=report.dropped,
            fps=(len(recent) - 1) / span_s if span_s > 0 else 0.0,
            latency=report.latency,
            recent_ms=self._recent_ms,
            failed=self.failed,
            faults=self._faults.copy(),
        )

    def report(self) -> Report:
        """The account of this stream alone; how long it ran is the pipeline's to say."""
        return Report(
            uri=self.source.info.uri,
            frames_in=self.waiting.given,
            processed=self._processed,
            dropped=self.waiting.dropped + self._lost,
            elapsed_s=0.0,
            latency=self.hops.summary(),
            stream=self.name,
            failed=self.failed,
            faults=self._faults.copy(),
            left_out=self.source.state.left_out,
            left_out_for=self.source.state.left_out_for,
        )
