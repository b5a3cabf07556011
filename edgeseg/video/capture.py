"""One source on a thread of its own, and what became of its frames."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from itertools import islice

from edgeseg.types import Frame, Result
from edgeseg.video.handover import Handover
from edgeseg.video.source import Source
from edgeseg.video.status import StreamStatus
from edgeseg.video.telemetry import Histograms, Report

_FRAMES_AHEAD = 2
_FPS_WINDOW_S = 5.0


class Capture:
    """Reads a source as fast as it delivers, or as there is room for its frames; keeps the stream's account.

    Args:
        name: of the stream.
        source: read on this capture's thread.
        latest_wins: whether a new frame takes the place of one that waits; else the source waits.
        changed: of the junction that takes the frames.
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
        self.waiting: Handover[Result] = Handover(
            1 if latest_wins else _FRAMES_AHEAD, latest_wins=latest_wins, changed=changed
        )
        self.thread = threading.Thread(target=self._read, name=f"edgeseg-capture {name}".strip(), daemon=True)
        self._max_frames = max_frames
        self._on_error = on_error
        self.hops = Histograms()
        self._processed = 0
        self._lost = 0
        self._recent_ms: dict[str, float] = {}
        self._done_s: deque[float] = deque(maxlen=1000)

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
            self._on_error(error)
        finally:
            self.waiting.end()

    def count(self, result: Result) -> None:
        """One more has passed all stages."""
        self._processed += 1
        self.hops.add(result.latency_ms)
        self._recent_ms = dict(result.latency_ms)
        self._done_s.append(time.monotonic())

    def lose(self) -> None:
        """One more was taken and not finished: too old when its turn came, or with a stage that failed."""
        self._lost += 1

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
        )
