"""What a second process changes in training, and what it costs: one process of two threads beside two of one.

    python benchmarks/processes.py --data camvid --epochs 8 --plot docs/processes.png

Both train Fast-SCNN on a CPU, from the same seed, with the same whole batch. Of the seconds of an epoch those are
taken in which nothing was evaluated, the first left out.
"""

from __future__ import annotations

import argparse
import csv
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Curve:
    """One training.

    Attributes:
        losses: mean loss of each epoch.
        mious: (epoch, val mIoU in per cent) where it was evaluated.
        epoch_s: median seconds of an epoch.
    """

    losses: Sequence[float]
    mious: Sequence[tuple[int, float]]
    epoch_s: float


def main() -> None:
    """Train twice, print the table, draw the curves."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--size", default="240x180", help="pixels that pictures are resized to")
    parser.add_argument("--plot", type=Path, help="draw the curves into this .png")
    args = parser.parse_args()

    width, height = args.size.split("x")
    training = [
        *(
            "train",
            "--data",
            str(args.data),
            "--epochs",
            str(args.epochs),
            "--eval-every",
            str(max(2, args.epochs // 2)),
        ),
        *("--width", width, "--height", height, "--device", "cpu"),
    ]
    alone = [sys.executable, "-m", "edgeseg", *training, "--threads", "2"]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m"]
    curves = {
        "1 process, 2 threads": _trained(alone),
        "2 processes, 1 thread each": _trained([*torchrun, "edgeseg", *training, "--threads", "1"]),
    }
    print("| | seconds an epoch | loss of the epochs | val mIoU |")
    print("| --- | ---: | --- | ---: |")
    for name, curve in curves.items():
        losses = ", ".join(f"{loss:.3f}" for loss in curve.losses)
        print(f"| {name} | {curve.epoch_s:.1f} | {losses} | {curve.mious[-1][1]:.1f} % |")
    if args.plot:
        _plot(curves, args.plot)


def _trained(command: Sequence[str]) -> Curve:
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "run"
        subprocess.run([*command, "--output", str(output)], check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
        with (output / "metrics.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
    measured = [(int(row["epoch"]), 100 * float(row["val_miou"])) for row in rows if row["val_miou"]]
    seconds = [float(row["seconds"]) for row in rows[1:] if not row["val_miou"]]
    return Curve([float(row["train_loss"]) for row in rows], measured, statistics.median(seconds))


def _plot(curves: dict[str, Curve], path: Path) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure((9, 3.2), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    for (name, curve), style in zip(curves.items(), ("-", "--"), strict=True):
        left.plot(range(1, len(curve.losses) + 1), curve.losses, style, label=name)
        right.plot(*zip(*curve.mious, strict=True), style, marker=".", label=name)
    left.set(xlabel="epoch", ylabel="training loss")
    right.set(xlabel="epoch", ylabel="val mIoU (%)")
    left.legend(frameon=False)
    for axes in (left, right):
        axes.grid(alpha=0.3)
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    main()
