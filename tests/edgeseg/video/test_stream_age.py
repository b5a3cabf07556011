"""The age of a live stream's frames: it must not grow, however slow what comes after is."""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np
import pytest
from stream_servers import RtspServer

from edgeseg.types import Result
from edgeseg.video.pipeline import Pipeline
from edgeseg.video.sources.registry import open_source

pytestmark = pytest.mark.any_python

STAGE_S = 0.15
RUN_S = 10.0


@pytest.fixture
def rtsp() -> Iterator[RtspServer]:
    """An RTSP server."""
    server = RtspServer()
    yield server
    server.kill()


@pytest.mark.parametrize("slow", ["stage", "sink"])
def test_the_age_of_frames_does_not_grow(rtsp: RtspServer, slow: str) -> None:
    """The newest frame wins: at most one frame time it waits, then the slow part takes its time.

    ``benchmarks/stream_age.py`` measures how long that is. Here the middle of the last third is looked at, with room
    for a busy machine, but none for frames that wait in a queue: those would be seven seconds old by then.
    """
    ages_s: list[float] = []

    def nap(result: Result) -> Result:
        if slow == "stage":
            time.sleep(STAGE_S)
        return result

    class Sink:
        def write(self, result: Result) -> None:
            if slow == "sink":
                time.sleep(STAGE_S)
            ages_s.append(time.monotonic() - result.frame.captured_s)

        def close(self) -> None:
            """Nothing to finish."""

    start_s = time.monotonic()

    def stop_in_time(_status: object) -> None:
        if time.monotonic() - start_s > RUN_S:
            pipeline.stop()

    pipeline = Pipeline(open_source(rtsp.uri()), [nap], [Sink()], watch=stop_in_time)
    report = pipeline.run()
    assert report.dropped + sum(sink.dropped for sink in report.sinks) > 0
    last_s = ages_s[-len(ages_s) // 3 :]
    assert float(np.median(last_s)) < 1.0
