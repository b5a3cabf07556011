"""Times the kernels beside what one would write with OpenCV and NumPy, in one process and turn by turn.

    python benchmarks/kernels.py [--threads 1] [--rounds 100]

Machines drift, so the ratio is the number to quote, never the milliseconds.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from edgeseg._native import build_info, overlay, upsample_argmax

Call = Callable[[], object]


def region_logits(classes: int, height: int, width: int) -> NDArray[np.float32]:
    """(1, C, h, w) logits whose winners make regions with borders between them, as a network's do."""
    coarse = np.random.default_rng(0).standard_normal((classes, 6, 8), dtype=np.float32)
    planes = [cv2.resize(plane, (width, height), interpolation=cv2.INTER_CUBIC) for plane in coarse]
    return np.stack(planes)[None].astype(np.float32)


def median_ms(calls: dict[str, Call], rounds: int) -> dict[str, float]:
    """Median milliseconds of each call, the calls taking turns."""
    times_ms: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            start_s = time.perf_counter()
            call()
            times_ms[name].append((time.perf_counter() - start_s) * 1000)
    return {name: statistics.median(values) for name, values in times_ms.items()}


def compare(title: str, ours: Call, peers: dict[str, Call], rounds: int) -> None:
    """Print our median time, and each peer's with the ratio."""
    median = median_ms({"edgeseg": ours, **peers}, rounds)
    print(title)
    for name, time_ms in median.items():
        print(f"  {name:<34} {time_ms:8.3f} ms  {time_ms / median['edgeseg']:6.1f} x")


def compare_upsample_argmax(
    title: str, logits: NDArray[np.float32], height: int, width: int, args: argparse.Namespace
) -> None:
    """Labels at frame size from logits at the network's stride."""
    out = np.empty((1, height, width), np.uint8)

    def opencv_planes() -> NDArray[np.uint8]:
        full = np.stack([cv2.resize(plane, (width, height)) for plane in logits[0]])
        labels: NDArray[np.uint8] = full.argmax(axis=0).astype(np.uint8)
        return labels

    def opencv_interleaved() -> NDArray[np.uint8]:
        full = cv2.resize(np.ascontiguousarray(logits[0].transpose(1, 2, 0)), (width, height))
        labels: NDArray[np.uint8] = full.argmax(axis=-1).astype(np.uint8)
        return labels

    def ours() -> NDArray[np.uint8]:
        return upsample_argmax(logits, height, width, args.threads, out)

    differ = np.mean(ours()[0] != opencv_planes())
    compare(
        f"upsample_argmax, {title}: {logits.shape[1:]} to {height}x{width} (labels unlike OpenCV's: {differ:.4%})",
        ours,
        {"OpenCV resize by plane + argmax": opencv_planes, "OpenCV resize interleaved + argmax": opencv_interleaved},
        args.rounds,
    )


def compare_overlay(height: int, width: int, args: argparse.Namespace) -> None:
    """The picture with the colours over it."""
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    colors = rng.integers(0, 256, (256, 3), dtype=np.uint8)
    labels = upsample_argmax(region_logits(11, height // 8, width // 8), height, width)[0]
    out = np.empty_like(image)
    compare(
        f"overlay, {height}x{width}",
        lambda: overlay(image, labels, colors, 0.4, args.threads, out),
        {"colors[labels] + OpenCV addWeighted": lambda: cv2.addWeighted(image, 0.6, colors[labels], 0.4, 0)},
        args.rounds,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Times the kernels beside OpenCV and NumPy.")
    parser.add_argument("--threads", type=int, default=1, help="for edgeseg and for OpenCV (default: 1)")
    parser.add_argument("--rounds", type=int, default=100)
    args = parser.parse_args()
    cv2.setNumThreads(args.threads)

    print(f"{build_info()}\nmedian of {args.rounds}, {args.threads} threads; x: time relative to edgeseg")
    compare_upsample_argmax("regions", region_logits(11, 45, 60), 360, 480, args)
    noise = np.random.default_rng(0).standard_normal((1, 11, 45, 60), dtype=np.float32)
    compare_upsample_argmax("noise, the worst case", noise, 360, 480, args)
    compare_upsample_argmax("regions", region_logits(19, 135, 240), 1080, 1920, args)
    compare_overlay(360, 480, args)
    compare_overlay(1080, 1920, args)


if __name__ == "__main__":
    main()
