"""One sink behind a hand-over of its own, so that it neither holds up nor brings down the others."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence

from edgeseg.errors import EdgesegError
from edgeseg.types import Result
from edgeseg.video.handover import Handover
from edgeseg.video.sink import Sink, SinkClosed, Window
from edgeseg.video.status import StreamStatus
from edgeseg.video.telemetry import LatencyHistogram, SinkReport

_FRAMES_AHEAD = 2


class Outlet:
    """Writes results into a sink, on a thread of its own or on the caller's, and closes it at the end.

    Args:
        sink: what is written to.
        latest_wins: whether a new result takes the place of one that waits; else the stages wait.
        on_closed: called when the person closed the sink.
        on_error: told of what the sink raised.
    """

    def __init__(
        self,
        sink: Sink,
        *,
        latest_wins: bool,
        on_closed: Callable[[], None],
        on_error: Callable[[BaseException], None],
    ) -> None:
        self.sink = sink
        self.name = type(sink).__name__
        self.waiting: Handover[Result] = Handover(1 if latest_wins else _FRAMES_AHEAD, latest_wins=latest_wins)
        self.thread = threading.Thread(target=self.run, name=f"edgeseg-{self.name}", daemon=True)
        self.write_ms = LatencyHistogram()
        self.age_ms = LatencyHistogram()
        self._written = 0
        self._lost = 0
        self._last_s = 0.0
        self._on_closed = on_closed
        self._on_error = on_error

    @property
    def last_s(self) -> float:
        """``time.monotonic()`` of the end of the last write; 0 before the first."""
        return self._last_s

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
            self._on_error(error)
        finally:
            self.waiting.abandon()
            self.close()

    def _write(self, result: Result) -> None:
        start_s = time.monotonic()
        try:
            self.sink.write(result)
        except (SinkClosed, EdgesegError):
            raise  # an EdgesegError's message names the output
        except Exception as error:
            raise RuntimeError(f"{self.name} failed at frame {result.frame.index}") from error
        done_s = self._last_s = time.monotonic()
        self._written += 1
        self.write_ms.add((done_s - start_s) * 1000)
        self.age_ms.add((done_s - result.frame.captured_s) * 1000)

    def close(self) -> None:
        """Finish the output."""
        try:
            self.sink.close()
        except Exception as error:
            self._on_error(error)

    def report(self) -> SinkReport:
        """What became of the results."""
        return SinkReport(self.name, self._written, self.waiting.dropped + self._lost, self.write_ms.summary())


_IDLE_EVERY_S = 0.05
"""So that a window answers, and a signal's handler runs, while no frame comes."""
