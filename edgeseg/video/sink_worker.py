"""One sink behind a queue of its own, so that it neither holds up nor brings down the others."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Collection, Sequence

from edgeseg.errors import EdgesegError, in_one_line
from edgeseg.types import Result
from edgeseg.video.faults import located
from edgeseg.video.queues import BoundedQueue
from edgeseg.video.sinks.base import ResultSkipped, Sink, SinkClosed, StreamSinkFailed, Window
from edgeseg.video.status import StreamStatus
from edgeseg.video.telemetry import LatencyHistogram, SinkReport

_FRAMES_AHEAD = 2


class SinkWorker:
    """Writes results into a sink, on a thread of its own or on the caller's, and closes it at the end.

    Args:
        sink: what is written to.
        streams: whose results come.
        latest_wins: whether a new result takes the place of one that waits; else the stages wait.
        on_closed: called when the person closed the sink.
        on_error: told of what the sink raised, once it is given up, or once that part of it is which serves a stream.
    """

    def __init__(
        self,
        sink: Sink,
        *,
        streams: Collection[str] = ("",),
        latest_wins: bool,
        on_closed: Callable[[], None],
        on_error: Callable[[BaseException], None],
    ) -> None:
        self.sink = sink
        self.name = type(sink).__name__
        self.waiting: BoundedQueue[Result] = BoundedQueue(1 if latest_wins else _FRAMES_AHEAD, latest_wins=latest_wins)
        self.thread = threading.Thread(target=self.run, name=f"edgeseg-{self.name}", daemon=True)
        self.write_ms = LatencyHistogram()
        self.age_ms = LatencyHistogram()
        self._written = 0
        self._lost = 0
        self._last_s = 0.0
        self._live_streams = set(streams)
        self._reasons: list[str] = []
        self._on_closed = on_closed
        self._on_error = on_error

    @property
    def last_s(self) -> float:
        """``time.monotonic()`` of the end of the last write; 0 before the first."""
        return self._last_s

    @property
    def has_failed(self) -> bool:
        """Whether it takes nothing any more, of any stream."""
        return not self._live_streams

    def run(
        self, idle: Callable[[], None] | None = None, status: Callable[[], Sequence[StreamStatus]] | None = None
    ) -> None:
        """Write until there is no more, and close.

        Args:
            idle: called now and then while nothing comes, on the main thread.
            status: what a window is shown then.
        """
        window = self.sink if isinstance(self.sink, Window) else None
        try:
            while True:
                try:
                    result = self.waiting.get(None if idle is None else _IDLE_EVERY_S)
                except queue.Empty:
                    if idle is not None:
                        idle()
                    if window is not None and status is not None:
                        window.idle(status())
                    continue
                if result is None:
                    return
                self._write(result)
                if idle is not None:
                    idle()
        except SinkClosed:
            self._on_closed()
        except Exception as error:
            self._lost += 1
            self._live_streams.clear()
            self._fail(error)
        finally:
            self.waiting.abandon()
            self.close()

    def _write(self, result: Result) -> None:
        if result.stream not in self._live_streams:
            self._lost += 1
            return
        start_s = time.monotonic()
        try:
            self.sink.write(result)
        except (SinkClosed, EdgesegError):
            raise  # an EdgesegError's message names the output
        except ResultSkipped:
            self._lost += 1
            return
        except StreamSinkFailed as failure:
            self._lost += 1
            self._live_streams.discard(result.stream)
            self._fail(failure.error)
            return
        except Exception as error:
            raise located(error, self.sink, result) from error
        done_s = self._last_s = time.monotonic()
        self._written += 1
        self.write_ms.add((done_s - start_s) * 1000)
        self.age_ms.add((done_s - result.frame.captured_s) * 1000)

    def close(self) -> None:
        """Finish the output."""
        try:
            self.sink.close()
        except Exception as error:
            if not self.has_failed:  # else it was told already
                self._fail(error)

    def _fail(self, error: Exception) -> None:
        self._reasons.append(in_one_line(error))
        self._on_error(error)

    def report(self) -> SinkReport:
        """What became of the results."""
        dropped = self.waiting.dropped + self._lost
        return SinkReport(self.name, self._written, dropped, self.write_ms.summary(), "; ".join(self._reasons))


_IDLE_EVERY_S = 0.05
"""So that a window answers, and a signal's handler runs, while no frame comes."""
