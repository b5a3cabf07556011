"""The pipeline: every frame accounted for, and an orderly end however it ends."""

from __future__ import annotations

import itertools
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import edgeseg.video  # noqa: F401 - before PyAV, as it explains

# isort: split
import av
import numpy as np
import pytest
from PIL import Image

from edgeseg.errors import EdgesegError, ModelError, SinkError, SourceError
from edgeseg.types import Frame, Result
from edgeseg.video import capture as capture_module
from edgeseg.video import pipeline as module
from edgeseg.video.pipeline import Pipeline
from edgeseg.video.sinks.base import NullSink, ReaderGone, ResultSkipped, SinkClosed
from edgeseg.video.sinks.jsonl import JsonLinesSink
from edgeseg.video.sinks.mask import MaskSink
from edgeseg.video.sinks.mp4 import Mp4Sink
from edgeseg.video.sinks.per_stream import PerStream
from edgeseg.video.sources.base import StreamInfo
from edgeseg.video.sources.image import ImageSource
from edgeseg.video.sources.one_pass import OnePassSource
from edgeseg.video.stage import Score
from edgeseg.video.status import StreamStatus
from edgeseg.video.telemetry import Report


class Frames(OnePassSource):
    """Numbered pictures; at ``fails_at`` it raises instead."""

    def __init__(
        self, count: int | None, *, live: bool = False, period_s: float = 0.0, fails_at: int | None = None
    ) -> None:
        super().__init__(StreamInfo("frames:", live, 64, 48, 25.0, count))
        self._period_s = period_s
        self._fails_at = fails_at
        self.released = 0

    def _frames(self) -> Iterator[Frame]:
        index = 0
        while self.info.frame_count is None or index < self.info.frame_count:
            if index == self._fails_at:
                raise SourceError("the tape tore")
            time.sleep(self._period_s)
            picture = np.full((48, 64, 3), index % 256, dtype=np.uint8)
            yield Frame(picture, index, time.monotonic(), pts_s=index / 25)
            index += 1

    def _release(self) -> None:
        self.released += 1


class Work:
    """A stage that takes its time, and fails at the result of that number among those it gets."""

    def __init__(self, *, seconds: float = 0.0, fails_at: int | None = None, error: Exception | None = None) -> None:
        self._seconds = seconds
        self._count = itertools.count()
        self._fails_at = fails_at
        self._error = error or ModelError("the engine broke", "Mend it")

    def __call__(self, result: Result) -> Result:
        time.sleep(self._seconds)
        if next(self._count) == self._fails_at:
            raise self._error
        result.latency_ms["work"] = self._seconds * 1000
        return result


class Shelf:
    """A sink that keeps the indices, takes its time, and fails at the result of that number among those it gets."""

    def __init__(self, *, seconds: float = 0.0, fails_at: int | None = None, error: Exception | None = None) -> None:
        self.indices: list[int] = []
        self.closed = 0
        self._seconds = seconds
        self._count = itertools.count()
        self._fails_at = fails_at
        self._error = error or SinkError("the shelf fell")

    def write(self, result: Result) -> None:
        time.sleep(self._seconds)
        if next(self._count) == self._fails_at:
            raise self._error
        self.indices.append(result.frame.index)

    def close(self) -> None:
        self.closed += 1


def _assert_accounted(report: Report) -> None:
    assert report.frames_in == report.processed + report.dropped


def _assert_ended(source: Frames, *sinks: Shelf) -> None:
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("edgeseg")]
    assert source.released > 0
    assert all(sink.closed for sink in sinks)


def test_a_file_is_processed_frame_by_frame_in_order() -> None:
    source, first, second = Frames(50), Shelf(), Shelf(seconds=0.002)
    report = Pipeline(source, [Work(seconds=0.001)], [first, second]).run()
    assert first.indices == second.indices == list(range(50))
    assert (report.frames_in, report.processed, report.dropped) == (50, 50, 0)
    _assert_ended(source, first, second)


def test_a_slow_sink_holds_a_file_back() -> None:
    """Back-pressure: a reader that ran ahead without limit would fill the memory with a long film."""
    source = Frames(None)
    most_ahead = 0

    class Watch(Shelf):
        def write(self, result: Result) -> None:
            nonlocal most_ahead
            super().write(result)
            most_ahead = max(most_ahead, pipeline.report().frames_in - len(self.indices))
            if len(self.indices) == 20:
                raise SinkClosed

    pipeline = Pipeline(source, [Work()], [Watch(seconds=0.005)])
    _assert_accounted(pipeline.run())
    assert most_ahead <= 10


def test_a_live_source_drops_old_frames_and_hands_over_the_latest() -> None:
    source, shelf = Frames(None, live=True, period_s=0.002), Shelf()
    behind: list[int] = []

    class Look(Work):
        def __call__(self, result: Result) -> Result:
            behind.append(pipeline.report().frames_in - 1 - result.frame.index)
            return super().__call__(result)

    pipeline = Pipeline(source, [Look(seconds=0.05)], [shelf], max_frames=200)
    report = pipeline.run()
    assert report.frames_in == 200
    assert report.dropped > 100
    assert report.processed == len(shelf.indices) + report.sinks[0].dropped
    assert shelf.indices == sorted(shelf.indices)
    _assert_accounted(report)
    # Were frames queued instead, the stage would fall further behind with each, up to the whole run.
    assert sorted(behind)[len(behind) // 2] <= 10


def test_max_frames() -> None:
    shelf = Shelf()
    assert Pipeline(Frames(None), [], [shelf], max_frames=7).run().frames_in == 7
    assert shelf.indices == list(range(7))


def test_without_sinks_and_stages() -> None:
    assert Pipeline(Frames(5), [], []).run().processed == 5
    assert Pipeline(Frames(0), [], [NullSink()]).run().processed == 0


@pytest.mark.parametrize("live", [False, True])
def test_a_source_that_fails_has_its_good_frames_finished(live: bool) -> None:
    source, shelf = Frames(None, live=live, period_s=0.01, fails_at=8), Shelf()
    pipeline = Pipeline(source, [Work(seconds=0.001)], [shelf])
    with pytest.raises(SourceError, match="the tape tore"):
        pipeline.run()
    report = pipeline.report()
    assert report.frames_in == 8
    assert shelf.indices[-1] == 7
    _assert_accounted(report)
    _assert_ended(source, shelf)


def test_a_stage_that_fails_ends_a_film_and_is_named() -> None:
    source, shelf = Frames(None, period_s=0.001), Shelf(seconds=0.005)
    pipeline = Pipeline(source, [Work(seconds=0.002, fails_at=5)], [shelf])
    with pytest.raises(ModelError, match=r"^Work failed at frame 5: the engine broke. Mend it"):
        pipeline.run()
    report = pipeline.report()
    (sink,) = report.sinks
    assert report.processed == sink.written + sink.dropped == 5
    assert shelf.indices == [0, 1, 2, 3, 4]
    assert report.failed == "Work failed at frame 5: the engine broke"
    assert not sink.failed
    _assert_accounted(report)
    _assert_ended(source, shelf)


@pytest.mark.parametrize("error", [ModelError("the engine broke"), ValueError("odd"), MemoryError()], ids=repr)
@pytest.mark.parametrize("ahead", [False, True], ids=["stage", "network"])
def test_a_live_frame_that_a_stage_fails_on_is_lost_alone_and_told_once(error: Exception, ahead: bool) -> None:
    told: list[str] = []
    bad = {3, 4, 9}

    class Picky(Work):
        def begin(self, results: list[Result]) -> None:
            if ahead and any(result.frame.index in bad for result in results):
                raise error

        def __call__(self, result: Result) -> Result:
            if not ahead and result.frame.index in bad:
                raise error
            return super().__call__(result)

    source, shelf = Frames(20, live=True), Shelf()
    pipeline = Pipeline(source, [Picky()], [shelf], drop_policy="none", tell=told.append)
    report = pipeline.run()
    assert shelf.indices == [index for index in range(20) if index not in bad]
    assert (report.processed, report.dropped, report.failed) == (17, 3, "")
    assert list(report.faults.values()) == [3]
    assert len(told) == 1
    assert "frame 3: Picky failed" in told[0]
    _assert_accounted(report)
    _assert_ended(source, shelf)


def test_reasons_that_never_repeat_fill_neither_memory_nor_log() -> None:
    told: list[str] = []

    class Chatty(Work):
        def __call__(self, result: Result) -> Result:
            raise ValueError(f"{result.frame.index} is not what I like")

    pipeline = Pipeline(Frames(100, live=True), [Chatty()], [], drop_policy="none", tell=told.append)
    report = pipeline.run()
    assert sum(report.faults.values()) == report.dropped == 100
    assert len(report.faults) == len(told) == 11


def test_a_live_stream_that_no_stage_takes_a_frame_of_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capture_module, "_HOPELESS_S", 0.2)

    class Broken(Work):
        def __call__(self, result: Result) -> Result:
            if result.stream == "bad":
                raise ModelError("the engine broke", "Mend it")
            return super().__call__(result)

    told: list[str] = []
    good, bad = Frames(None, live=True, period_s=0.005), Frames(None, live=True, period_s=0.005)
    shelf = Shelf()

    def stop_when_given_up(status: Sequence[StreamStatus]) -> None:
        if any(stream.failed for stream in status) and len(shelf.indices) > 50:
            pipeline.stop()

    pipeline = Pipeline(
        [good, bad], [Broken()], [shelf], names=["good", "bad"], tell=told.append, watch=stop_when_given_up
    )
    with pytest.raises(ModelError, match=r"bad: Broken failed at frame \d+: the engine broke"):
        pipeline.run()
    whole = pipeline.report()
    well, ill = whole.streams
    assert ill.processed == 0
    assert "Broken failed" in ill.failed
    assert well.processed == len(shelf.indices) + whole.sinks[0].dropped
    assert len(shelf.indices) > 50
    assert not well.failed
    assert len(told) == 2
    for report in (well, ill):
        _assert_accounted(report)


@pytest.mark.parametrize("ahead", [False, True], ids=["stage", "network"])
def test_a_frame_of_one_film_of_three_ends_this_one_alone(ahead: bool) -> None:
    def fail(results: list[Result]) -> None:
        for result in results:
            if (result.stream, result.frame.index) == ("b", 5):
                raise ModelError("the engine broke")

    class Picky(Work):
        def begin(self, results: list[Result]) -> None:
            if ahead:
                fail(results)

        def __call__(self, result: Result) -> Result:
            if not ahead:
                fail([result])
            return super().__call__(result)

    shelf = Shelf()
    pipeline = Pipeline([Frames(300), Frames(300), Frames(300)], [Picky()], [shelf], names=["a", "b", "c"])
    with pytest.raises(ModelError, match="b: Picky failed at frame 5: the engine broke"):
        pipeline.run()
    a, b, c = pipeline.report().streams
    assert (a.processed, b.processed, c.processed) == (300, 5, 300)
    assert len(shelf.indices) == 605
    for report in (a, b, c):
        _assert_accounted(report)


@pytest.mark.parametrize("live", [False, True])
def test_a_sink_that_fails_is_given_up_and_the_other_misses_nothing(live: bool) -> None:
    told: list[str] = []
    source, good, bad = Frames(300, live=live), Shelf(), Shelf(seconds=0.01, fails_at=3)
    pipeline = Pipeline(source, [Work()], [good, bad], drop_policy="none", tell=told.append)
    with pytest.raises(SinkError, match="the shelf fell"):
        pipeline.run()
    report = pipeline.report()
    assert good.indices == list(range(300))
    assert bad.indices == [0, 1, 2]
    well, ill = report.sinks
    assert (well.written, well.dropped, well.failed) == (300, 0, "")
    assert (ill.written, ill.dropped, ill.failed) == (3, 297, "the shelf fell")
    assert told == ["lost: the shelf fell; the rest goes on"]
    _assert_accounted(report)
    _assert_ended(source, good, bad)


def test_how_a_sink_failed_is_told_while_the_run_goes_on() -> None:
    class Page(Shelf):
        def follow(self, status: Callable[[], Sequence[StreamStatus]], sinks: Callable[[], object]) -> None:
            self.sinks = sinks

        def write(self, result: Result) -> None:
            super().write(result)
            if any(report.failed for report in pipeline.sink_reports()):
                raise SinkClosed

    page, bad = Page(), Shelf(fails_at=2)
    pipeline = Pipeline(Frames(None, period_s=0.001), [], [page, bad])
    with pytest.raises(SinkError, match="the shelf fell"):
        pipeline.run()
    assert page.sinks == pipeline.sink_reports


@pytest.mark.parametrize("live", [False, True])
def test_without_a_sink_left_the_run_ends(live: bool) -> None:
    source, first, second = Frames(None, live=live), Shelf(fails_at=3), Shelf(seconds=0.02, fails_at=0)
    pipeline = Pipeline(source, [Work()], [first, second])
    with pytest.raises(SinkError, match="the shelf fell"):
        pipeline.run()
    _assert_accounted(pipeline.report())
    _assert_ended(source, first, second)


def test_what_counts_what_it_sees_goes_on_without_a_sink() -> None:
    score = Score(3)
    pipeline = Pipeline(Frames(50), [Work(), score], [Shelf(fails_at=0)])
    with pytest.raises(SinkError):
        pipeline.run()
    assert pipeline.report().processed == 50


def test_all_that_was_lost_is_named_at_the_end() -> None:
    sources = [Frames(30), Frames(30, fails_at=5)]
    sinks = [Shelf(), Shelf(fails_at=2, error=SinkError("the disk is full", "Free some space")), Shelf(fails_at=4)]
    pipeline = Pipeline(sources, [Work()], sinks, names=["a", "b"])
    with pytest.raises(EdgesegError) as caught:
        pipeline.run()
    for lost in ("the tape tore", "the disk is full", "the shelf fell"):
        assert lost in str(caught.value)
    assert len(sinks[0].indices) == 35


def test_one_stream_of_a_sink_for_each_is_given_up_alone() -> None:
    shelves = {"a": Shelf(), "b": Shelf(fails_at=2)}
    other = Shelf()
    sources = [Frames(100), Frames(100)]
    pipeline = Pipeline(sources, [], [PerStream(shelves.__getitem__, ["a", "b"]), other], names=["a", "b"])
    with pytest.raises(SinkError, match="the shelf fell"):
        pipeline.run()
    assert shelves["a"].indices == list(range(100))
    assert shelves["b"].indices == [0, 1]
    assert shelves["b"].closed
    assert len(other.indices) == 200
    each, whole = pipeline.report().sinks
    assert (each.written, each.dropped, each.failed) == (102, 98, "the shelf fell")
    assert (whole.written, whole.dropped, whole.failed) == (200, 0, "")


def test_a_sink_for_each_stream_that_has_lost_all_is_lost() -> None:
    shelves = {"a": Shelf(fails_at=1), "b": Shelf(fails_at=2)}
    sources = [Frames(None), Frames(None)]
    pipeline = Pipeline(sources, [], [PerStream(shelves.__getitem__)], names=["a", "b"])
    with pytest.raises(SinkError):
        pipeline.run()
    _assert_ended(sources[0], *shelves.values())


def test_a_reader_that_goes_away_ends_the_run_in_good_order_where_there_is_nothing_else() -> None:
    gone = ReaderGone("nobody reads the pipe any more")
    report = Pipeline(Frames(None), [], [Shelf(fails_at=3, error=gone)]).run()
    assert report.sinks[0].written == 3
    other = Shelf()
    pipeline = Pipeline(Frames(100), [], [Shelf(fails_at=3, error=gone), other])
    with pytest.raises(SinkError, match="nobody reads the pipe"):
        pipeline.run()
    assert other.indices == list(range(100))


def test_a_result_that_a_sink_leaves_out_counts_as_dropped_there() -> None:
    class Choosy(Shelf):
        def write(self, result: Result) -> None:
            if result.frame.index % 2:
                raise ResultSkipped
            super().write(result)

    report = Pipeline(Frames(10), [], [Choosy()]).run()
    (sink,) = report.sinks
    assert (sink.written, sink.dropped, sink.failed) == (5, 5, "")


def test_a_network_that_never_returns_is_left_behind_and_the_files_are_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_DRAIN_S", 0.2)
    monkeypatch.setattr(module, "_STUCK_S", 0.5)
    inside, freed = threading.Event(), threading.Event()

    class Endless(Work):
        def begin(self, results: list[Result]) -> None:
            if results[0].frame.index == 10:
                inside.set()
                freed.wait(60)

    path = tmp_path / "out.mp4"
    pipeline = Pipeline(Frames(None), [Endless()], [Mp4Sink(path)])
    stopper = threading.Thread(target=lambda: (inside.wait(60), pipeline.stop()))
    stopper.start()
    with pytest.raises(ModelError, match="Endless does not return, and was left behind"):
        pipeline.run()
    assert pipeline.left_behind
    report = pipeline.report()
    _assert_accounted(report)
    assert report.processed == 10
    with av.open(str(path)) as container:
        assert sum(1 for _ in container.decode(video=0)) == 10
    freed.set()
    stopper.join()


def test_outputs_that_are_inputs_or_each_other_are_refused_before_the_run(tmp_path: Path) -> None:
    film = tmp_path / "film.mp4"
    film.write_bytes(b"mine")
    (tmp_path / "link.mp4").symlink_to(film)
    os.link(film, tmp_path / "hard.mp4")
    source = Frames(1)
    for name in ("film.mp4", "link.mp4", "hard.mp4", "x/../film.mp4"):
        (tmp_path / "x").mkdir(exist_ok=True)
        with pytest.raises(SinkError, match="would be lost"):
            Pipeline(source, [], [Mp4Sink(tmp_path / name)], inputs=[film])
    with pytest.raises(SinkError, match="an output of this run"):
        Pipeline(source, [], [Mp4Sink(tmp_path / "new.mp4"), Mp4Sink(tmp_path / "x" / ".." / "new.mp4")])
    with pytest.raises(SinkError, match=r"lies in .*, where this run would write"):
        Pipeline(source, [], [MaskSink(tmp_path)], inputs=[film])
    images = ImageSource(_picture(tmp_path / "images" / "a.png").parent)
    for sink in (MaskSink(tmp_path / "images"), JsonLinesSink(tmp_path / "images" / "a.png")):
        with pytest.raises(SinkError):
            Pipeline(images, [], [sink])
    assert film.read_bytes() == b"mine"


def _picture(path: Path) -> Path:
    path.parent.mkdir(exist_ok=True)
    Image.new("RGB", (64, 48)).save(path)
    return path


def test_a_bug_keeps_its_cause_and_names_its_place() -> None:
    for pipeline, message in (
        (Pipeline(Frames(9), [Work(fails_at=3, error=KeyError("x"))], []), "Work failed at frame 3"),
        (Pipeline(Frames(9), [], [Shelf(fails_at=3, error=KeyError("x"))]), "Shelf failed at frame 3"),
    ):
        with pytest.raises(RuntimeError, match=message) as caught:
            pipeline.run()
        assert isinstance(caught.value.__cause__, KeyError)
        _assert_accounted(pipeline.report())


def test_an_error_of_close_is_told_and_the_other_sinks_are_closed() -> None:
    class Full(Shelf):
        def close(self) -> None:
            super().close()
            raise SinkError("the disk is full")

    source, other = Frames(3), Shelf()
    with pytest.raises(SinkError, match="the disk is full"):
        Pipeline(source, [], [Full(), other]).run()
    _assert_ended(source, other)


def test_stop_finishes_what_was_captured() -> None:
    source, shelf = Frames(None, period_s=0.001), Shelf()

    def stop_after_some(_: Sequence[StreamStatus]) -> None:
        if len(shelf.indices) > 5:
            pipeline.stop()

    pipeline = Pipeline(source, [Work(seconds=0.001)], [shelf], watch=stop_after_some)
    report = pipeline.run()
    assert report.processed == len(shelf.indices) > 5
    _assert_accounted(report)
    _assert_ended(source, shelf)


def test_a_closed_window_ends_the_run_in_good_order() -> None:
    source, other = Frames(None), Shelf()
    report = Pipeline(source, [], [Shelf(fails_at=4, error=SinkClosed()), other]).run()
    assert other.indices[:5] == [0, 1, 2, 3, 4]
    assert report.processed == len(other.indices)
    _assert_accounted(report)
    _assert_ended(source, other)


@pytest.mark.parametrize("part", ["source", "stage", "sink"])
def test_the_video_stays_readable_whatever_fails(tmp_path: Path, part: str) -> None:
    path = tmp_path / "out.mp4"
    pipeline = Pipeline(
        Frames(20, fails_at=9 if part == "source" else None),
        [Work(fails_at=9 if part == "stage" else None)],
        [Mp4Sink(path), Shelf(fails_at=9 if part == "sink" else None)],
    )
    with pytest.raises(EdgesegError):
        pipeline.run()
    with av.open(str(path)) as container:
        assert sum(1 for _ in container.decode(video=0)) == (20 if part == "sink" else 9)


def test_every_hop_is_reported_in_the_order_of_the_journey() -> None:
    report = Pipeline(Frames(10, period_s=0.005), [Work(seconds=0.01)], [Shelf(seconds=0.02)]).run()
    assert list(report.latency) == ["capture", "work", "sink", "end to end"]
    assert all(hop.count == 10 for hop in report.latency.values())
    assert report.latency["capture"].p50_ms >= 4.9
    assert report.latency["work"].p50_ms == pytest.approx(10, rel=0.02)
    assert report.latency["sink"].p50_ms >= 19.8
    assert report.latency["end to end"].p50_ms >= 29.7
    assert 0 < report.fps <= 50


@pytest.mark.parametrize("live", [False, True])
@pytest.mark.parametrize("index", [0, 1, 2])
def test_nothing_hangs_when_everything_fails_at_once(index: int, live: bool) -> None:
    for _ in range(10):
        source, shelf = Frames(9, fails_at=index, live=live), Shelf(fails_at=index)
        pipeline = Pipeline(source, [Work(fails_at=index)], [shelf])
        with pytest.raises(EdgesegError):
            pipeline.run()
        _assert_accounted(pipeline.report())
        _assert_ended(source, shelf)


class Ahead(Work):
    """A stage whose first half is done on the inference thread, for what is waiting together."""

    def __init__(self, *, seconds: float = 0.0, begins_badly_at: int | None = None) -> None:
        super().__init__()
        self.batches: list[list[str]] = []
        self._begin_s = seconds
        self._begins_badly_at = begins_badly_at

    def begin(self, results: list[Result]) -> None:
        if len(self.batches) == self._begins_badly_at:
            raise ModelError("the engine broke")
        self.batches.append([result.stream for result in results])
        time.sleep(self._begin_s)


class Window(Shelf):
    """A sink that wants the calling thread, and to be looked after."""

    def __init__(self, *, closes_when_idle: bool = False) -> None:
        super().__init__()
        self.threads: set[str] = set()
        self.idled = 0
        self._closes = closes_when_idle

    def write(self, result: Result) -> None:
        self.threads.add(threading.current_thread().name)
        super().write(result)

    def idle(self, status: list[StreamStatus]) -> None:
        self.threads.add(threading.current_thread().name)
        self.idled += 1
        if self._closes:
            raise SinkClosed


def test_the_network_works_ahead_of_the_stages() -> None:
    """The stages go on with a frame only once the network has begun with the next."""
    begun = [threading.Event() for _ in range(20)]

    class Begins(Ahead):
        def begin(self, results: list[Result]) -> None:
            super().begin(results)
            begun[results[0].frame.index].set()

        def __call__(self, result: Result) -> Result:
            assert begun[min(result.frame.index + 1, 19)].wait(60)
            return super().__call__(result)

    ahead = Begins()
    assert Pipeline(Frames(20), [ahead], [Shelf()]).run().processed == 20
    assert ahead.batches == [[""]] * 20


def test_a_network_that_fails_is_named_and_the_frames_before_are_finished() -> None:
    source, shelf = Frames(None), Shelf()
    pipeline = Pipeline(source, [Ahead(begins_badly_at=5)], [shelf])
    with pytest.raises(ModelError, match="Ahead failed at frame 5: the engine broke"):
        pipeline.run()
    assert shelf.indices == [0, 1, 2, 3, 4]
    _assert_accounted(pipeline.report())
    _assert_ended(source, shelf)


def test_streams_are_served_in_turn_and_go_through_the_network_together() -> None:
    sources = [Frames(30), Frames(30), Frames(10)]
    ahead, shelf = Ahead(seconds=0.01), Shelf()
    report = Pipeline(sources, [ahead], [shelf], names=["a", "b", "c"]).run()
    assert [(one.stream, one.frames_in, one.processed) for one in report.streams] == [
        ("a", 30, 30),
        ("b", 30, 30),
        ("c", 10, 10),
    ]
    assert (report.frames_in, report.processed, report.uri) == (70, 70, "3 streams")
    assert all(len(set(batch)) == len(batch) for batch in ahead.batches)
    assert sum(len(batch) == 3 for batch in ahead.batches) >= 5
    assert {batch[0] for batch in ahead.batches} == {"a", "b", "c"}
    assert report.latency["end to end"].count == 70
    _assert_ended(sources[0], shelf)


def test_a_busy_stream_does_not_starve_another() -> None:
    sources = [Frames(None, live=True, period_s=0.001), Frames(None, live=True, period_s=0.02)]
    until_s = time.monotonic() + 60

    def stop_when_served(status: Sequence[StreamStatus]) -> None:
        if status[1].processed >= 20 or time.monotonic() > until_s:
            pipeline.stop()

    pipeline = Pipeline(sources, [Work(seconds=0.01)], [Shelf()], names=["busy", "calm"], watch=stop_when_served)
    busy, calm = pipeline.run().streams
    assert calm.processed >= 20
    assert busy.dropped > 0


def test_a_stream_that_fails_leaves_the_others_running() -> None:
    sources = [Frames(40, period_s=0.002), Frames(40, period_s=0.002, fails_at=5)]
    pipeline = Pipeline(sources, [Work()], [Shelf()], names=["good", "bad"])
    with pytest.raises(SourceError, match="the tape tore"):
        pipeline.run()
    good, bad = pipeline.report().streams
    assert (good.processed, bad.processed) == (40, 5)


def test_streams_need_names_of_their_own() -> None:
    assert [s.stream for s in Pipeline([Frames(1), Frames(1)], [], []).run().streams] == ["frames:", "frames: 2"]
    with pytest.raises(EdgesegError, match="its own name"):
        Pipeline([Frames(1), Frames(1)], [], [], names=["a", "a"])


def test_a_slow_sink_of_a_live_run_misses_frames_and_holds_up_no_other() -> None:
    enough = threading.Event()

    class Quick(Shelf):
        def write(self, result: Result) -> None:
            super().write(result)
            if len(self.indices) == 50:
                enough.set()
                pipeline.stop()

    class Slow(Shelf):
        def write(self, result: Result) -> None:
            assert enough.wait(60)  # which never comes if it holds up the other
            super().write(result)

    quick, slow = Quick(), Slow()
    pipeline = Pipeline(Frames(None, live=True, period_s=0.001), [Work()], [quick, slow])
    report = pipeline.run()
    assert len(quick.indices) >= 50
    assert 1 <= len(slow.indices) <= 10
    for sink in report.sinks:
        assert sink.written + sink.dropped == report.processed
    _assert_accounted(report)


def test_a_sink_that_never_comes_back_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_DRAIN_S", 0.3)
    monkeypatch.setattr(module, "_CLOSE_S", 2.0)
    freed = threading.Event()

    class Stuck(Shelf):
        def write(self, result: Result) -> None:
            pipeline.stop()
            freed.wait(60)

    source, other = Frames(None), Shelf()
    pipeline = Pipeline(source, [Work()], [other, Stuck()])
    with pytest.raises(SinkError, match="Stuck does not finish"):
        pipeline.run()
    assert other.closed
    _assert_accounted(pipeline.report())
    freed.set()


def test_frames_too_old_when_their_turn_comes_are_dropped() -> None:
    class Uneven(Frames):
        """Every second frame has been under way for an hour; the others are from the future."""

        def _frames(self) -> Iterator[Frame]:
            for frame in super()._frames():
                yield replace(frame, captured_s=frame.captured_s + (-3600 if frame.index % 2 else 3600))

    shelf = Shelf()
    report = Pipeline(Uneven(30), [Work()], [shelf], max_latency_ms=30.0).run()
    assert shelf.indices == list(range(0, 30, 2))
    assert (report.frames_in, report.dropped) == (30, 15)
    _assert_accounted(report)


def test_the_policy_can_be_turned_round() -> None:
    shelf = Shelf()
    live = Pipeline(Frames(50, live=True), [Work(seconds=0.002)], [shelf], drop_policy="none").run()
    assert shelf.indices == list(range(50))
    film = Pipeline(Frames(500), [Work(seconds=0.01)], [Shelf()], drop_policy="latest").run()
    assert live.dropped == 0
    assert film.dropped > 100


def test_a_window_is_served_on_the_calling_thread_and_looked_after() -> None:
    window, other = Window(), Shelf()
    Pipeline(Frames(5, live=True, period_s=0.2), [], [other, window], drop_policy="none").run()
    assert window.threads == {threading.current_thread().name}
    assert window.idled >= 5
    assert window.indices == list(range(5))
    assert window.closed == 1


def test_a_window_closed_while_nothing_comes_ends_the_run() -> None:
    source = Frames(None, live=True, period_s=0.5)
    Pipeline(source, [], [Window(closes_when_idle=True)]).run()
    _assert_ended(source)


def test_the_watch_sees_how_the_streams_stand() -> None:
    seen: list[StreamStatus] = []

    def watch(status: Sequence[StreamStatus]) -> None:
        seen.extend(status)
        if len(seen) >= 3 and status[0].processed > 20:
            pipeline.stop()

    pipeline = Pipeline(Frames(None, live=True, period_s=0.01), [Work(seconds=0.001)], [Shelf()], watch=watch)
    pipeline.run()
    running = [status for status in seen if status.state.condition == "running"]
    assert running[-1].frames_in >= running[-1].processed > 20
    assert 0 < running[-1].fps <= 100
    assert running[-1].recent_ms["work"] == 1.0
    assert running[-1].latency["work"].buckets[-1][1] == running[-1].latency["work"].count > 0
    assert pipeline.status()[0].state.condition == "ended"
