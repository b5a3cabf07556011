"""How much of the bare engine's speed the whole pipeline keeps, and how old a live frame is when it leaves.

    python benchmarks/pipeline.py --source drive.mp4 --threads 1

The engine alone, the pipeline with nothing behind it, and the pipeline with overlay and mp4 take turns on the same
frames, round after round, so that the ratios hold on a machine whose speed drifts. Frames are decoded beforehand and
given from memory: decoding is the source's, and runs on a thread of its own.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np

from edgeseg.runtime.backend import Backend
from edgeseg.runtime.choose import choose
from edgeseg.runtime.preprocess import to_input
from edgeseg.runtime.registry import open_backend
from edgeseg.segmenter import Segmenter
from edgeseg.types import Frame, ImageU8
from edgeseg.video.pipeline import Pipeline
from edgeseg.video.sinks.base import NullSink, Sink
from edgeseg.video.sinks.mp4 import Mp4Sink
from edgeseg.video.sources.base import StreamInfo
from edgeseg.video.sources.one_pass import OnePassSource
from edgeseg.video.sources.registry import open_source
from edgeseg.video.stage import Overlay, Segment, Stage
from edgeseg.video.telemetry import Report


class MemorySource(OnePassSource):
    """Pictures given again and again, as fast as they are taken or at the pace of a camera.

    Args:
        pictures: (H, W, 3) uint8 RGB each, of one size.
        count: how many frames to give.
        fps: the pace of a live source; None for a file's, which waits.
    """

    def __init__(self, pictures: Sequence[ImageU8], count: int, fps: float | None = None) -> None:
        height, width = pictures[0].shape[:2]
        super().__init__(StreamInfo("memory:", fps is not None, width, height, fps or 30.0, count))
        self._pictures = pictures
        self._fps = fps

    def _frames(self) -> Iterator[Frame]:
        start_s = time.monotonic()
        assert self.info.frame_count is not None
        for index, picture in zip(range(self.info.frame_count), itertools.cycle(self._pictures), strict=False):
            if self._fps is not None:
                time.sleep(max(0.0, start_s + index / self._fps - time.monotonic()))
            yield Frame(picture, index, time.monotonic(), pts_s=index / (self._fps or 30.0))

    def _release(self) -> None:
        """Nothing is held."""


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", default="synthetic:?frames=100", help="a video, images or synthetic:")
    parser.add_argument("--model", help="as edgeseg run takes it")
    parser.add_argument("--backend", default="auto")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads of the engine")
    parser.add_argument("--size", default="480x360", help="of the frames, width first")
    parser.add_argument("--pictures", type=int, default=100, help="different frames")
    parser.add_argument("--frames", type=int, default=500, help="frames a round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--fps", type=float, default=30.0, help="of the live run")
    args = parser.parse_args()

    width, height = map(int, args.size.split("x"))
    source = open_source(args.source)
    frames = itertools.islice(source, args.pictures)
    pictures = [np.asarray(cv2.resize(frame.rgb_u8, (width, height)), np.uint8) for frame in frames]
    source.close()
    choice = choose(args.model, args.backend)
    backend = open_backend(choice.path, backend=choice.backend, threads=args.threads)
    segmenter = Segmenter(backend, args.threads)
    print(
        f"{choice.path.stem}, {choice.backend}, {args.threads} thread(s); {len(pictures)} pictures of {width}x{height}"
    )

    bare: list[float] = []
    null: list[float] = []
    mp4: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        for number in range(args.rounds + 1):
            rates = (
                _bare(backend, pictures, args.frames),
                _run(segmenter, MemorySource(pictures, args.frames), [], NullSink()).fps,
                _run(
                    segmenter,
                    MemorySource(pictures, args.frames),
                    [Overlay(threads=args.threads)],
                    Mp4Sink(Path(folder, f"{number}.mp4"), 30.0),
                ).fps,
            )
            if number:  # the first round warms up
                for rate, rounds in zip(rates, (bare, null, mp4), strict=True):
                    rounds.append(rate)
    print(f"{'':22}{'fps':>8}{'of bare':>10}   median of {args.rounds} rounds")
    for name, rounds in (("bare engine", bare), ("pipeline, null sink", null), ("overlay and mp4", mp4)):
        ratio = statistics.median(rate / alone for rate, alone in zip(rounds, bare, strict=True))
        print(f"{name:22}{statistics.median(rounds):8.1f}{ratio:10.3f}")

    report = _run(segmenter, MemorySource(pictures, args.frames, args.fps), [Overlay(threads=args.threads)], NullSink())
    hops = {name: hop for name, hop in report.latency.items() if name not in ("capture", "end to end")}
    stages_ms = sum(hop.p50_ms for hop in hops.values())
    age = report.latency["end to end"]
    print(
        f"live at {args.fps:g} fps: {report.processed} processed, {report.dropped} dropped; end to end p50 "
        f"{age.p50_ms:.1f}, p99 {age.p99_ms:.1f} ms; sum of the stages' medians {stages_ms:.1f} ms, frame time "
        f"{1000 / args.fps:.1f} ms"
    )


def _bare(backend: Backend, pictures: Sequence[ImageU8], count: int) -> float:
    """Frames per second of the engine alone, on inputs prepared beforehand."""
    inputs = [to_input(picture, backend.spec.input_size) for picture in pictures]
    start_s = time.perf_counter()
    for _, images in zip(range(count), itertools.cycle(inputs), strict=False):
        backend.infer(images)
    return count / (time.perf_counter() - start_s)


def _run(segmenter: Segmenter, source: MemorySource, stages: Sequence[Stage], sink: Sink) -> Report:
    return Pipeline(source, [Segment(segmenter), *stages], [sink]).run()


if __name__ == "__main__":
    main()
