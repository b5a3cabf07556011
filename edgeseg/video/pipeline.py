"""The streaming pipeline: every source and every sink on a thread of its own, the model and the stages between them.

    source ─▶ capture thread ─┐ FanIn            BoundedQueue            ┌ BoundedQueue ─▶ worker thread ─▶ sink
    source ─▶ capture thread ─┴─▶ inference thread ─────▶ stages' thread ┴ BoundedQueue ─▶ calling thread ─▶ window

While one frame passes the stages, the network is at work on the next. What has come from several streams meanwhile
goes through it together.

What fails is given up, and the rest goes on. A source that fails ends its own stream: the good frames before it are
finished. A stage that fails on a frame of a live stream costs that frame alone, until it has failed on all for ten
seconds; of another stream it ends the stream. A sink that fails misses what comes from then on, the others nothing.
The run ends early only where nothing is left to do. What was lost is told at once, and raised on the calling thread
once the threads have ended and the sinks are closed.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from edgeseg.errors import InputError, ModelError, SinkError, in_one_line
from edgeseg.run_config import DropPolicy
from edgeseg.types import Result
from edgeseg.video.account import account
from edgeseg.video.capture import Capture
from edgeseg.video.faults import Faults, Tell, located, log_fault
from edgeseg.video.queues import BoundedQueue, FanIn
from edgeseg.video.sink_worker import SinkWorker
from edgeseg.video.sinks.base import Follower, Sink, Window
from edgeseg.video.sinks.outputs import keep_outputs_apart
from edgeseg.video.sources.base import Source
from edgeseg.video.sources.sources_file import named
from edgeseg.video.stage import Score, Stage
from edgeseg.video.status import StreamStatus
from edgeseg.video.telemetry import Report, SinkReport

Watch = Callable[[Sequence[StreamStatus]], None]
"""Told on the calling thread, some times a second, how the streams stand."""

_WATCH_EVERY_S = 0.2
_POLL_S = 0.05
_EARLY = 0.95
_JOIN_S = 15.0  # a camera that fell silent holds its thread until the driver's timeout, ten seconds
_DRAIN_S = 15.0  # for a sink to take what has passed the stages, once the run is ending
_CLOSE_S = 60.0  # a long video is copied once when it is closed
_STUCK_S = 20.0  # without a step of the network or the stages, once the run is ending; longer than a sink holds them up
_INTERRUPTED_S = 5.0  # of patience where the calling thread was interrupted, as by a KeyboardInterrupt


class Pipeline:
    """Runs every frame of its sources through the stages into the sinks.

    It owns the sources and the sinks: all are closed when the run is over, however it ends.

    Args:
        source: where frames come from; several share the stages, and with them the model.
        stages: what is done to each frame, in order. If the first has a method ``begin``, as
            :class:`edgeseg.video.stage.Segment` does, it is given what is waiting on the inference thread.
        sinks: where each result goes. A :class:`edgeseg.video.sinks.base.Window` is served on the calling thread, a
            :class:`edgeseg.video.sinks.base.Follower` is told whom to ask how the streams stand.
        names: of the streams, where there are several; their URIs if left out.
        max_frames: take no more than these from each source; None takes all.
        drop_policy: None for ``latest`` where a source is live and ``none`` where it is not.
        max_latency_ms: frames older than this when their turn comes are dropped.
        watch: told how the streams stand while they run.
        tell: told at once, on any thread, what was lost; goes to the log ``edgeseg`` if left out.
        inputs: files and folders that the run reads beside its sources, such as the model and the labels: no sink may
            write over them, nor over the sources.

    Raises:
        InputError: no source, or names that are not their own.
        SinkError: an output that is an input, or another output.
    """

    def __init__(
        self,
        source: Source | Sequence[Source],
        stages: Sequence[Stage],
        sinks: Sequence[Sink],
        *,
        names: Sequence[str] | None = None,
        max_frames: int | None = None,
        drop_policy: DropPolicy | None = None,
        max_latency_ms: float | None = None,
        watch: Watch | None = None,
        tell: Tell = log_fault,
        inputs: Sequence[str | Path] = (),
    ) -> None:
        sources = list(source) if isinstance(source, Sequence) else [source]
        if names is None:
            names = [""] if len(sources) == 1 else list(named([one.info.uri for one in sources]))
        if not sources or len(set(names)) != len(sources):
            raise InputError(f"{len(sources)} sources with the names {', '.join(names)}", "Give each its own name")
        keep_outputs_apart(sinks, sources, inputs)
        changed = threading.Condition()
        latest = [s.info.live if drop_policy is None else drop_policy == "latest" for s in sources]
        self._captures = [
            Capture(name, one, latest_wins=wins, changed=changed, max_frames=max_frames, on_error=self._lost_part)
            for name, one, wins in zip(names, sources, latest, strict=True)
        ]
        self._by_name = {capture.name: capture for capture in self._captures}
        self._fan_in = FanIn([capture.waiting for capture in self._captures], changed)
        self._inferred: BoundedQueue[Result] = BoundedQueue(1)
        self._stages = stages
        self._sink_workers = [
            SinkWorker(sink, streams=names, latest_wins=all(latest), on_closed=self.stop, on_error=self._lost_part)
            for sink in sinks
        ]
        for sink in sinks:
            if isinstance(sink, Follower):
                sink.follow(self.status, self.sink_reports)
        self._max_latency_ms = max_latency_ms
        self._watch = watch
        self._watched_s = 0.0
        self._start_s = self._last_s = self._step_s = 0.0
        self._ending_s = 0.0
        self._is_fresh = all(latest)
        self._infer_s = self._stages_s = 0.0  # a frame takes there, lately
        self._at: dict[str, str] = {}  # what the inference thread and the stages' thread are in, by name
        self._faults = Faults(tell)
        self._stuck: list[threading.Thread] = []

    def run(self) -> Report:
        """Process until the sources end, :meth:`stop` is called or nothing is left to do; call it once.

        Returns:
            the report; where this raises instead, :meth:`report` gives it all the same.

        Raises:
            EdgesegError: once all is done, where a source, a stage or a sink failed; the message names all that was
                lost. Sinks whose readers went away are no error where they were all there was.
            RuntimeError: any other exception of a stage or sink, which is its cause.
        """
        window = next((worker for worker in self._sink_workers if isinstance(worker.sink, Window)), None)
        threaded = [worker for worker in self._sink_workers if worker is not window]
        inferring = threading.Thread(target=self._infer, name="edgeseg-infer", daemon=True)
        processing = threading.Thread(target=self._process, name="edgeseg-process", daemon=True)
        threads = [*(capture.thread for capture in self._captures), *(worker.thread for worker in threaded)]
        self._start_s = self._last_s = time.monotonic()
        patience_s = _INTERRUPTED_S
        try:
            for thread in (*threads, inferring, processing):
                thread.start()
            if window is not None:
                window.run(self._look, self.status)
            self._wait_for(inferring, processing)
            patience_s = _CLOSE_S
        finally:
            for capture in self._captures:
                capture.waiting.abandon()
                capture.source.close()
            for worker in self._sink_workers:
                worker.waiting.end()
            deadline_s = time.monotonic() + patience_s
            for worker in threaded:
                self._wait_for_close(worker, deadline_s)
            for thread in (inferring, processing, *(capture.thread for capture in self._captures)):
                if thread.ident is not None and thread not in self._stuck:
                    thread.join(_JOIN_S)
            if self.left_behind:
                for capture in self._captures:
                    capture.settle()
            if window is not None and inferring.ident is None:
                window.close()
        error = self._faults.sum_up()
        if error is not None and not (self._faults.only_readers_gone and self._is_unheard):
            raise error
        return self.report()

    def stop(self) -> None:
        """End the run in good order: frames already captured are finished. Safe in a signal handler."""
        self._ending_s = self._ending_s or time.monotonic()
        for capture in self._captures:
            capture.waiting.end()
            capture.source.close()

    def status(self) -> list[StreamStatus]:
        """How each stream stands; asked from any thread."""
        return [capture.status() for capture in self._captures]

    def sink_reports(self) -> list[SinkReport]:
        """What became of the results at each sink so far; asked from any thread."""
        return [worker.report() for worker in self._sink_workers]

    @property
    def left_behind(self) -> bool:
        """Whether a thread did not come back from what it is in: the process is better left than cleaned up."""
        return bool(self._stuck)

    def report(self) -> Report:
        """The figures so far."""
        last_s = max(self._last_s, *(worker.last_s for worker in self._sink_workers), self._start_s)
        return account(self._captures, self._sink_workers, self._stages, last_s - self._start_s)

    def _infer(self) -> None:
        """Give the frames that are waiting to the first stage's ``begin``, and then to the other stages one by one."""
        begin = getattr(self._stages[0], "begin", None) if self._stages else None
        batch: list[Result] = []
        try:
            while True:
                self._wait_for_turn(begin is not None)
                taken = [result for _, result in self._fan_in.take()]
                if not taken:
                    return
                start_s = time.monotonic()
                batch = [result for result in taken if not self._is_stale(result)]
                if begin is not None and batch:
                    self._begin(begin, batch)
                self._infer_s = _smooth(self._infer_s, time.monotonic() - start_s)
                while batch:
                    if not self._inferred.put(batch[0]):
                        return
                    batch.pop(0)
        except BaseException as error:
            self._fail(error)
        finally:
            self._lose(batch)
            self._inferred.end()

    def _begin(self, begin: Callable[[Sequence[Result]], None], batch: list[Result]) -> None:
        """All frames together; where that fails each by itself, and those that fail again are taken out."""
        stage = self._stages[0]
        try:
            with self._inside(stage):
                begin(batch)
        except Exception as error:
            for result in list(batch):
                try:
                    if len(batch) == 1:
                        raise error
                    with self._inside(stage):
                        begin([result])
                except Exception as its_own:
                    batch.remove(result)
                    self._stumble(its_own, stage, result)

    def _wait_for_turn(self, works_ahead: bool) -> None:
        """Until it is time to take a frame: one taken sooner would only grow old before the stages."""
        if not self._is_fresh:
            return
        if not works_ahead:
            self._inferred.wait_for_taker()
            return
        # The stages have just begun with the frame before; this one is to be ready when they have done.
        self._inferred.wait_for_room()
        time.sleep(min(max(_EARLY * self._stages_s - self._infer_s, 0.0), 1.0))

    def _process(self) -> None:
        result: Result | None = None
        try:
            while (result := self._inferred.get()) is not None:
                start_s = time.monotonic()
                done = self._pass_stages(result)
                if done is None:
                    continue
                self._by_name[done.stream].count(done)
                self._last_s = time.monotonic()
                self._stages_s = _smooth(self._stages_s, self._last_s - start_s)
                for worker in self._sink_workers:
                    worker.waiting.put(done)
        except BaseException as error:
            self._fail(error)
            self._inferred.end()
            self._lose([one for one in (result, self._inferred.pop()) if one is not None])
        finally:
            for worker in self._sink_workers:
                worker.waiting.end()

    def _pass_stages(self, result: Result) -> Result | None:
        """What has become of it, or None where it was lost."""
        if not self._by_name[result.stream].wants(result.frame):
            self._lose([result])
            return None
        for stage in self._stages:
            try:
                with self._inside(stage):
                    result = stage(result)
            except Exception as error:
                self._stumble(error, stage, result)
                return None
        return result

    @contextmanager
    def _inside(self, stage: Stage) -> Iterator[None]:
        """Note where a thread is, should it not come back."""
        name = threading.current_thread().name
        self._at[name] = type(stage).__name__
        try:
            yield
        finally:
            self._step_s = time.monotonic()
            self._at.pop(name, None)

    def _stumble(self, error: Exception, stage: Stage, result: Result) -> None:
        """A stage failed on this frame: it is lost, and with it a stream that is not live or does not get better."""
        capture = self._by_name[result.stream]
        capture.lose()
        if capture.given_up:
            return
        reason = f"{type(stage).__name__} failed ({in_one_line(error)})"
        is_new = capture.stumble(reason)
        if not capture.source.info.live or capture.is_hopeless:
            failure = located(error, stage, result)
            capture.give_up(in_one_line(failure), result.frame)
            self._lost_part(failure)
        elif is_new:
            self._faults.lose_frame(reason, result)

    def _is_stale(self, result: Result) -> bool:
        age_ms = (time.monotonic() - result.frame.captured_s) * 1000
        if self._max_latency_ms is None or age_ms <= self._max_latency_ms:
            return False
        self._lose([result])
        return True

    def _lose(self, results: Sequence[Result]) -> None:
        for result in results:
            self._by_name[result.stream].lose()

    def _lost_part(self, error: BaseException) -> None:
        """A stream or a sink was given up; without sinks left the run ends, unless it counts what it sees."""
        unheard = self._is_unheard and not any(isinstance(stage, Score) for stage in self._stages)
        silent = all(capture.failed or capture.waiting.is_over for capture in self._captures)
        self._faults.add(error, goes_on=not (unheard or silent))
        if unheard:
            self._end()

    @property
    def _is_unheard(self) -> bool:
        """Whether there were sinks, and all have failed."""
        return bool(self._sink_workers) and all(worker.has_failed for worker in self._sink_workers)

    def _fail(self, error: BaseException) -> None:
        self._faults.add(error, goes_on=False)
        self._end()

    def _end(self) -> None:
        """End the run: what waits for the network is dropped."""
        self._ending_s = self._ending_s or time.monotonic()
        for capture in self._captures:
            capture.waiting.abandon()
            capture.source.close()

    def _wait_for(self, inferring: threading.Thread, processing: threading.Thread) -> None:
        """Until the last frame has passed the stages; not for long where a sink holds them up once the end is near."""
        while processing.is_alive():
            processing.join(_POLL_S)
            self._look()
            now_s = time.monotonic()
            if self._ending_s and now_s - self._ending_s > _DRAIN_S:
                for worker in self._sink_workers:
                    worker.waiting.abandon()
            if self._ending_s and now_s - max(self._ending_s, self._step_s) > _STUCK_S:
                self._leave_behind([thread for thread in (inferring, processing) if thread.is_alive()])
                return

    def _leave_behind(self, threads: list[threading.Thread]) -> None:
        """Go on without them: a native call that does not return cannot be ended."""
        self._stuck = threads
        part = next(iter(self._at.copy().values()), "a stage")
        what = f"{part} does not return, and was left behind"
        self._faults.add(ModelError(what, "See whether the model ends on each picture"), goes_on=False)

    def _wait_for_close(self, worker: SinkWorker, deadline_s: float) -> None:
        if worker.thread.ident is None:
            worker.close()  # the run ended before it began
            return
        while worker.thread.is_alive():
            worker.thread.join(_POLL_S)
            self._look()
            if time.monotonic() > deadline_s:
                what = f"{worker.name} does not finish, and was left behind"
                self._stuck.append(worker.thread)
                self._faults.add(SinkError(what, "See whether its disk or network answers"), goes_on=False)
                return

    def _look(self) -> None:
        now_s = time.monotonic()
        if self._watch is not None and now_s - self._watched_s >= _WATCH_EVERY_S:
            self._watched_s = now_s
            self._watch(self.status())


def _smooth(mean: float, value: float) -> float:
    return 0.8 * mean + 0.2 * value if mean else value
