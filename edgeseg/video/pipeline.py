"""The streaming pipeline: one thread captures, one runs the stages, the calling thread writes to the sinks.

    source ─▶ capture thread ─▶ Handover ─▶ processing thread ─▶ Handover ─▶ calling thread ─▶ sinks
                              live: the latest wins,             bounded,
                              file: the reader waits             the stages wait

Whatever fails, each thread ends: a failing capture ends the first hand-over, so that the good frames before it are
finished; a failing stage abandons it and ends the second; a failing sink abandons both. The first error is raised on
the calling thread once the threads have ended and the sinks are closed.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from edgeseg.errors import EdgesegError
from edgeseg.types import Frame, Result
from edgeseg.video.handover import Handover
from edgeseg.video.sink import Sink, SinkClosed
from edgeseg.video.source import Source
from edgeseg.video.stage import Score, Stage
from edgeseg.video.telemetry import LatencyHistogram, Report

_FRAMES_AHEAD = 2
_JOIN_S = 15.0  # a camera that fell silent holds its thread until the driver's timeout, ten seconds


@dataclass(frozen=True)
class _Captured:
    frame: Frame
    capture_ms: float


class Pipeline:
    """Runs every frame of a source through the stages into the sinks.

    It owns the source and the sinks: both are closed when the run is over, however it ends.

    Args:
        source: where frames come from.
        stages: what is done to each, in order.
        sinks: where each result goes, in order.
        max_frames: take no more than these from the source; None takes all.
    """

    def __init__(
        self, source: Source, stages: Sequence[Stage], sinks: Sequence[Sink], *, max_frames: int | None = None
    ) -> None:
        self._source = source
        self._stages = stages
        self._sinks = sinks
        self._max_frames = max_frames
        live = source.info.live
        self._captured: Handover[_Captured] = Handover(1 if live else _FRAMES_AHEAD, latest_wins=live)
        self._finished: Handover[Result] = Handover(_FRAMES_AHEAD)
        self._histograms: dict[str, LatencyHistogram] = {}
        self._processed = 0
        self._lost_in_stage = 0  # the frame that was with a stage, or a sink, when it failed
        self._lost_in_sink = 0
        self._elapsed_s = 0.0
        self._errors: list[BaseException] = []

    def run(self) -> Report:
        """Process until the source ends, :meth:`stop` is called or something fails; call it once.

        Returns:
            the report; where this raises instead, :meth:`report` gives it for the frames before the failure.

        Raises:
            EdgesegError: of the source, a stage (the message names it) or a sink.
            RuntimeError: any other exception of a stage or sink, which is its cause.
        """
        threads = [
            threading.Thread(target=self._capture, name="edgeseg-capture", daemon=True),
            threading.Thread(target=self._process, name="edgeseg-process", daemon=True),
        ]
        start_s = time.monotonic()
        try:
            for thread in threads:
                thread.start()
            self._write_all(start_s)
        finally:
            self._captured.abandon()
            self._finished.abandon()
            self._source.close()
            for thread in threads:
                if thread.ident is not None:
                    thread.join(_JOIN_S)
            for sink in self._sinks:
                self._close(sink)
        if self._errors:
            raise self._errors[0]
        return self.report()

    def stop(self) -> None:
        """End the run in good order: frames already captured are finished. Safe in a signal handler."""
        self._captured.end()
        self._source.close()

    def report(self) -> Report:
        """The figures so far."""
        score = next((stage for stage in self._stages if isinstance(stage, Score) and stage.frames), None)
        return Report(
            uri=self._source.info.uri,
            frames_in=self._captured.given,
            processed=self._processed,
            dropped=self._captured.dropped + self._finished.dropped + self._lost_in_stage + self._lost_in_sink,
            elapsed_s=self._elapsed_s,
            latency={name: histogram.summary() for name, histogram in self._histograms.items()},
            miou=score.confusion.miou() if score else None,
            scored=score.frames if score else 0,
        )

    def _capture(self) -> None:
        try:
            frames = islice(self._source, self._max_frames)
            while True:
                start_s = time.perf_counter()
                frame = next(frames, None)
                capture_ms = (time.perf_counter() - start_s) * 1000
                if frame is None or not self._captured.put(_Captured(frame, capture_ms)):
                    return
        except BaseException as error:
            self._errors.append(error)
        finally:
            self._captured.end()

    def _process(self) -> None:
        try:
            while (captured := self._captured.get()) is not None:
                result = Result(captured.frame, latency_ms={"capture": captured.capture_ms})
                for stage in self._stages:
                    try:
                        result = stage(result)
                    except Exception as error:
                        raise _located(error, stage, captured.frame) from error
                if not self._finished.put(result):
                    return
        except BaseException as error:
            self._lost_in_stage += 1
            self._errors.append(error)
            self._captured.abandon()
        finally:
            self._finished.end()

    def _write_all(self, start_s: float) -> None:
        sinks = list(self._sinks)
        while (result := self._finished.get()) is not None:
            write_s = time.monotonic()
            try:
                for sink in tuple(sinks):
                    try:
                        sink.write(result)
                    except SinkClosed:
                        sinks.remove(sink)
                        self.stop()
                    except EdgesegError:
                        raise  # its message names the output
                    except Exception as error:
                        raise _located(error, sink, result.frame) from error
            except BaseException as error:
                self._lost_in_sink += 1
                if not isinstance(error, Exception):
                    raise  # a second Ctrl-C
                self._errors.append(error)
                return
            done_s = time.monotonic()
            self._processed += 1
            self._elapsed_s = done_s - start_s
            self._measure(result.latency_ms)
            self._measure({"sink": (done_s - write_s) * 1000})
            self._measure({"end to end": (done_s - result.frame.captured_s) * 1000})

    def _measure(self, latency_ms: Mapping[str, float]) -> None:
        for hop, ms in latency_ms.items():
            self._histograms.setdefault(hop, LatencyHistogram()).add(ms)

    def _close(self, sink: Sink) -> None:
        try:
            sink.close()
        except Exception as error:
            self._errors.append(error)


def _located(error: Exception, part: Stage | Sink, frame: Frame) -> Exception:
    """The error with the part and the frame in its message: the user's stay the user's, a bug becomes RuntimeError."""
    where = f"{type(part).__name__} failed at frame {frame.index}"
    if isinstance(error, EdgesegError):
        return type(error)(f"{where}: {error.what}", error.remedy)
    return RuntimeError(where)
