"""Prints how old the frames of a live stream are when they leave the pipeline, ten seconds by ten seconds.

    /usr/bin/python3 tests/support/rtsp_server.py 8554 640x480 25 &
    python benchmarks/stream_age.py rtsp://127.0.0.1:8554/street --stage-ms 150

A stage that takes longer than a frame lets frames be dropped, not wait: their age must stay under two frame times and
the stage's own, however long it runs. The exit code is 1 where the middle of the last third is older.
"""

from __future__ import annotations

import argparse
import sys
import time

import numpy as np

from edgeseg.types import Result
from edgeseg.video.pipeline import Pipeline
from edgeseg.video.sources.registry import open_source

WINDOW_S = 10.0


class Slow:
    """A stage that takes its time."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def __call__(self, result: Result) -> Result:
        time.sleep(self._seconds)
        return result


class Ages:
    """A sink that keeps when each frame came and how old it was."""

    def __init__(self) -> None:
        self.rows: list[tuple[float, float]] = []

    def write(self, result: Result) -> None:
        now_s = time.monotonic()
        self.rows.append((now_s, now_s - result.frame.captured_s))

    def close(self) -> None:
        """Nothing to finish."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", help="a live source")
    parser.add_argument("--stage-ms", type=float, default=150.0, help="what the stage takes")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--fps", type=float, default=None, help="of the source, where it does not tell")
    args = parser.parse_args()

    source = open_source(args.source)
    fps = args.fps or source.info.fps
    if not fps:
        raise SystemExit(f"{source.info.uri} does not tell its rate: give --fps")
    ages = Ages()
    start_s = time.monotonic()

    def stop_in_time(_status: object) -> None:
        if time.monotonic() - start_s > args.seconds:
            pipeline.stop()

    pipeline = Pipeline(source, [Slow(args.stage_ms / 1000)], [ages], watch=stop_in_time)
    report = pipeline.run()

    bound_ms = 2000 / fps + args.stage_ms
    ends_s, ages_s = np.array(ages.rows).T
    windows = ((ends_s - start_s) // WINDOW_S).astype(int)
    print(f"{report.frames_in} frames in = {report.processed} processed + {report.dropped} dropped")
    print("| from, s | frames | age, median ms | 95 % ms | longest ms |\n| ---: | ---: | ---: | ---: | ---: |")
    for window in np.unique(windows):
        in_ms = ages_s[windows == window] * 1000
        median, most, longest = np.median(in_ms), np.percentile(in_ms, 95), in_ms.max()
        print(f"| {window * WINDOW_S:.0f} | {len(in_ms)} | {median:.0f} | {most:.0f} | {longest:.0f} |")
    within = float(np.mean(ages_s * 1000 < bound_ms))
    print(f"two frame times and the stage: {bound_ms:.0f} ms; {within:.1%} of the frames were younger")
    sys.exit(float(np.median(ages_s[-len(ages_s) // 3 :])) * 1000 >= bound_ms)


if __name__ == "__main__":
    main()
