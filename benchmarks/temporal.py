"""What smoothing over time does to flicker and mIoU, on frames that follow each other and have labels.

    python benchmarks/temporal.py --data camvid
    python benchmarks/temporal.py --data camvid --every 3    as a camera of 5 frames a second would see it
    python benchmarks/temporal.py --video hall.mp4 --model people    of a camera that stands still, without labels

Flicker: of the pixels that are labelled in two successive frames, and there alike, the fraction whose predicted label
changes. CamVid's val split is a sequence at 15 Hz. The networks' outputs are the same for every row. Of a video without
labels: of the pixels that look alike in two successive frames, by no more than 8 of 255 in each channel.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edgeseg.data.dataset import Dataset
from edgeseg.evaluation.metrics import ConfusionMatrix
from edgeseg.refine.temporal import TemporalSmoother
from edgeseg.segmenter import Segmenter
from edgeseg.types import ImageU8, Inference, LabelsU8
from edgeseg.video.sources.registry import open_source

_RATE_HZ = 15.0

_STILL = 8

Smooth = Callable[[Inference, float], NDArray[np.float32]]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    pictures = parser.add_mutually_exclusive_group(required=True)
    pictures.add_argument("--data", type=Path)
    pictures.add_argument("--video", type=Path)
    parser.add_argument("--split", default="val")
    parser.add_argument("--model")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--every", type=int, default=1, help="smooth only one frame in so many")
    args = parser.parse_args()

    cv2.setNumThreads(args.threads)
    with Segmenter.open(args.model, backend="ort", threads=args.threads) as segmenter:
        if args.video:
            _print_video(args.video, args.every, segmenter)
            return
        dataset = Dataset.load(args.data)
        frames: list[tuple[Inference, LabelsU8]] = []
        for sample in dataset.split(args.split).samples():
            image, labels = dataset.read(sample)
            frames.append((segmenter.infer([image])[0], labels))
        rows: dict[str, Smooth] = {"none": lambda inference, _: _logits(inference)}
        for weight in (0.3, 0.5, 0.7):
            rows[f"moving average, weight {weight}"] = _MovingAverage(weight)
        for memory_s in (0.1, 0.23, 0.4, 0.7):
            rows[f"along the motion, memory {memory_s} s"] = _along_motion(TemporalSmoother(memory_s))
        print("| smoothing | mIoU | first half | second half | flicker | first half | second half | ms |")
        print("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
        for name, smooth in rows.items():
            print(_measure(name, smooth, frames[:: args.every], _RATE_HZ / args.every, segmenter))


def _print_video(video: Path, every: int, segmenter: Segmenter) -> None:
    """The table for a video: its flicker where the picture holds still, and how much of it that is."""
    rows: dict[str, Smooth] = {"none": lambda inference, _: _logits(inference)}
    rows["along the motion, memory 0.23 s"] = _along_motion(TemporalSmoother(0.23))
    changed, still_pixels, all_pixels = dict.fromkeys(rows, 0), 0, 0
    before: tuple[ImageU8, dict[str, LabelsU8]] | None = None
    source = open_source(str(video))
    with closing(source):
        rate_hz = source.info.fps or _RATE_HZ
        for frame in itertools.islice(source, 0, None, every):
            inference = segmenter.infer([frame.rgb_u8])[0]
            labels = {
                name: _labels(segmenter, inference, smooth(inference, frame.index / rate_hz))
                for name, smooth in rows.items()
            }
            if before is not None:
                still = cv2.absdiff(frame.rgb_u8, before[0]).max(axis=2) <= _STILL
                still_pixels, all_pixels = still_pixels + int(still.sum()), all_pixels + still.size
                for name in rows:
                    changed[name] += int((still & (labels[name] != before[1][name])).sum())
            before = frame.rgb_u8, labels
    print("| smoothing | flicker |\n| --- | ---: |")
    for name, count in changed.items():
        print(f"| {name} | {100 * count / still_pixels:.3f}% |")
    print(f"\n{100 * still_pixels / all_pixels:.1f} % of the pixels hold still.")


def _measure(
    name: str, smooth: Smooth, frames: list[tuple[Inference, LabelsU8]], rate_hz: float, segmenter: Segmenter
) -> str:
    predicted: list[LabelsU8] = []
    times_ms = []
    for index, (inference, _) in enumerate(frames):
        start_s = time.perf_counter()
        output = smooth(inference, index / rate_hz)
        times_ms.append((time.perf_counter() - start_s) * 1000)
        predicted.append(_labels(segmenter, inference, output))
    truth = [labels for _, labels in frames]
    half = len(frames) // 2
    parts = (slice(0, None), slice(0, half), slice(half, None))
    mious = [100 * _miou(predicted[part], truth[part], segmenter.spec.num_classes) for part in parts]
    flickers = [100 * _flicker(predicted[part], truth[part]) for part in parts]
    cells = [*(f"{miou:.2f}%" for miou in mious), *(f"{flicker:.2f}%" for flicker in flickers)]
    return f"| {name} | {' | '.join(cells)} | {statistics.median(times_ms):.2f} |"


def _labels(segmenter: Segmenter, inference: Inference, smoothed: NDArray[np.float32]) -> LabelsU8:
    return segmenter.finish(Inference(inference.input_u8, smoothed, inference.placement, {})).labels


def _miou(predicted: list[LabelsU8], truth: list[LabelsU8], num_classes: int) -> float:
    return ConfusionMatrix.of(num_classes, zip(truth, predicted, strict=True)).miou()


def _flicker(predicted: list[LabelsU8], truth: list[LabelsU8]) -> float:
    changed = count = 0
    for index in range(1, len(truth)):
        still = (truth[index] == truth[index - 1]) & (truth[index] != 255)
        changed += int((still & (predicted[index] != predicted[index - 1])).sum())
        count += int(still.sum())
    return changed / count


class _MovingAverage:
    """The same without motion: an exponential moving average at each place."""

    def __init__(self, weight: float) -> None:
        self._weight = weight
        self._past: NDArray[np.float32] | None = None

    def __call__(self, inference: Inference, _: float) -> NDArray[np.float32]:
        scores = np.exp(_logits(inference) - _logits(inference).max(axis=1, keepdims=True))
        now = scores / scores.sum(axis=1, keepdims=True)
        self._past = now if self._past is None else self._weight * self._past + (1 - self._weight) * now
        return np.log(np.maximum(self._past, 1e-6))


def _along_motion(smoother: TemporalSmoother) -> Smooth:
    return lambda inference, time_s: smoother(_logits(inference), inference.input_u8, time_s)


def _logits(inference: Inference) -> NDArray[np.float32]:
    return np.asarray(inference.output, np.float32)


if __name__ == "__main__":
    main()
