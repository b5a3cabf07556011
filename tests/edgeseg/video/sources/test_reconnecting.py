"""A live source that is lost and comes back."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from itertools import islice, pairwise

import numpy as np
import pytest

from edgeseg.errors import SourceError
from edgeseg.run_config import OnLost
from edgeseg.types import Frame
from edgeseg.video.sources.base import SourceLostError, StreamInfo
from edgeseg.video.sources.one_pass import OnePassSource
from edgeseg.video.sources.reconnecting import Backoff, ReconnectingSource
from edgeseg.video.status import SourceState

FAST = Backoff(first_s=0.01, longest_s=0.02)


class Flaky(OnePassSource):
    """A camera that gives a few frames and then fails, or ends."""

    def __init__(self, frames: int, error: SourceError | None = None, *, live: bool = True) -> None:
        super().__init__(StreamInfo("camera:7", live=live, width=3, height=2))
        self._count = frames
        self._error = error
        self.released = False

    def _frames(self) -> Iterator[Frame]:
        for index in range(self._count):
            yield Frame(np.zeros((2, 3, 3), np.uint8), index, time.monotonic(), pts_s=index / 25)
        if self._error is not None:
            raise self._error

    def _release(self) -> None:
        self.released = True


class Camera:
    """Opens what the list says, one after the other; an error is raised instead."""

    def __init__(self, *outcomes: Flaky | SourceError) -> None:
        self.outcomes = list(outcomes)

    def __call__(self) -> Flaky:
        outcome = self.outcomes.pop(0)
        if isinstance(outcome, SourceError):
            raise outcome
        return outcome


def _reconnecting(camera: Camera, on_lost: OnLost | None = None, **more: object) -> ReconnectingSource:
    return ReconnectingSource(camera, uri="camera:7", on_lost=on_lost, backoff=FAST, **more)  # type: ignore[arg-type]


def test_it_goes_on_as_one_stream_over_failures_and_ends() -> None:
    unplugged, gone = SourceLostError("unplugged"), SourceLostError("not there")
    refused = SourceError("HTTP 404")  # while it starts a camera may answer anything
    first, second, third = Flaky(3, unplugged), Flaky(2), Flaky(4)
    states: list[SourceState] = []
    source = _reconnecting(Camera(first, gone, refused, second, third), on_change=states.append)
    assert source.state.condition == "connecting"
    frames = list(islice(source, 8))
    assert [frame.index for frame in frames] == list(range(8))
    times_s = [frame.pts_s for frame in frames if frame.pts_s is not None]
    assert len(times_s) == 8
    assert all(earlier < later for earlier, later in pairwise(times_s))
    assert times_s[:3] == pytest.approx([0, 0.04, 0.08])
    assert [(state.condition, state.reconnects) for state in states] == [
        ("lost", 0),
        ("running", 1),
        ("lost", 1),
        ("running", 2),
    ]
    assert states[0].reason == "unplugged"
    assert "ended" in states[2].reason
    assert first.released
    assert second.released
    source.close()
    assert third.released
    assert source.state.condition == "ended"


def test_while_it_is_lost_the_state_tells_the_latest_reason_and_since_when() -> None:
    outcomes: list[Flaky | SourceError] = [Flaky(1, SourceLostError("unplugged"))]
    outcomes += [SourceLostError("no answer") for _ in range(2000)]
    camera = Camera(*outcomes)
    told = threading.Event()
    source = _reconnecting(camera, on_change=lambda _: told.set())
    thread = threading.Thread(target=list, args=(source,), daemon=True)
    thread.start()
    assert told.wait(10)
    since_s = source.state.since_s
    while source.state.reason != "no answer":
        time.sleep(0.01)
    assert source.state.condition == "lost"
    assert source.state.since_s == since_s
    source.close()
    thread.join(10)
    assert not thread.is_alive()
    assert source.state.condition == "ended"


def test_exit_raises_what_happened() -> None:
    source = _reconnecting(Camera(Flaky(2, SourceLostError("unplugged"))), "exit")
    assert next(source).index == 0
    assert next(source).index == 1
    with pytest.raises(SourceError, match="unplugged"):
        next(source)
    assert list(source) == []
    with pytest.raises(SourceError, match="camera:7 ended"):
        list(_reconnecting(Camera(Flaky(2)), "exit"))


@pytest.mark.parametrize("on_lost", [None, "exit"])
def test_what_is_not_there_at_the_start_is_told_at_once(on_lost: OnLost | None) -> None:
    with pytest.raises(SourceLostError, match="not there"):
        _reconnecting(Camera(SourceLostError("not there")), on_lost)


def test_wait_waits_for_the_first_time_too_where_that_can_mend_it() -> None:
    states: list[SourceState] = []
    away = SourceLostError("not there")
    source = _reconnecting(Camera(away, away, Flaky(2)), "wait", on_change=states.append)
    assert source.info == StreamInfo("camera:7", live=True)
    assert [(state.condition, state.reason) for state in states] == [("lost", "not there")]
    assert next(source).index == 0
    assert source.info.width == 3
    assert states[-1].condition == "running"
    source.close()
    with pytest.raises(SourceError, match="wrong password"):
        _reconnecting(Camera(SourceError("wrong password")), "wait")
    with pytest.raises(SourceError, match="wrong password"):
        next(_reconnecting(Camera(away, SourceError("wrong password")), "wait"))
    with pytest.raises(SourceError, match="no colours"):
        next(_reconnecting(Camera(Flaky(0, SourceError("no colours")))))


def test_close_ends_a_long_wait_at_once() -> None:
    away = SourceLostError("not there")
    source = ReconnectingSource(
        Camera(*[away] * 50), uri="camera:7", on_lost="wait", backoff=Backoff(first_s=1000, longest_s=1000)
    )
    thread = threading.Thread(target=list, args=(source,), daemon=True)
    thread.start()
    time.sleep(0.2)
    source.close()
    thread.join(5)
    assert not thread.is_alive()


def test_what_is_not_live_is_passed_on_to_its_end() -> None:
    source = _reconnecting(Camera(Flaky(3, live=False)))
    assert not source.info.live
    assert len(list(source)) == 3
    with pytest.raises(SourceError, match="damaged"):
        list(_reconnecting(Camera(Flaky(3, SourceError("damaged"), live=False))))


def test_waits_double_up_to_the_longest_and_are_jittered() -> None:
    backoff = Backoff(first_s=0.5, longest_s=30)
    for attempt, longest_s in ((0, 0.5), (1, 1), (3, 4), (6, 30), (5000, 30)):
        waits_s = [backoff.wait_s(attempt) for _ in range(300)]
        assert max(waits_s) <= longest_s
        assert max(waits_s) > 0.8 * longest_s
        assert min(waits_s) < 0.2 * longest_s


class Spotty(Flaky):
    """A camera of whose pictures one is damaged."""

    def _frames(self) -> Iterator[Frame]:
        self._leave_out("a damaged picture")
        yield from super()._frames()


def test_what_was_counted_stays_when_it_ends() -> None:
    source = _reconnecting(Camera(Spotty(2), Flaky(2), Spotty(3)))
    seen = []
    for _ in islice(source, 7):
        seen.append((source.state.reconnects, source.state.left_out))
    source.close()
    assert source.state.condition == "ended"
    seen.append((source.state.reconnects, source.state.left_out))
    assert seen == sorted(seen)  # counters never go back
    assert seen[-1] == (2, 2)
