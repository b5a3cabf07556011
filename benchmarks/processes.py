"""What a second process changes in training, and what it costs: one process of two threads beside two of one.

    python benchmarks/processes.py --data camvid --epochs 8 --plot docs/processes.png

Both train Fast-SCNN on a CPU in float32, from the same seed, with the same whole batch. The seconds are the median of
the epochs between the first and the last, which evaluates.
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
        miou: of the validation split after the last, in per cent.
        epoch_s: median seconds of an epoch.
    """

    losses: Sequence[float]
    miou: float
    epoch_s: float


def main() -> None:
    """Train twice, print the table, draw the curves."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=8, help="three or more")
    parser.add_argument("--size", default="240x180", help="pixels that pictures are resized to")
    parser.add_argument("--plot", type=Path, help="draw the curves into this .png")
    args = parser.parse_args()

    width, height = args.size.split("x")
    training = f"train --epochs {args.epochs} --eval-every {args.epochs} --width {width} --height {height}".split()
    training += ["--device", "cpu", "--amp", "off", "--data", str(args.data)]
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
        print(f"| {name} | {curve.epoch_s:.1f} | {losses} | {curve.miou:.1f} % |")
    if args.plot:
        _plot(curves, args.plot)


def _trained(command: Sequence[str]) -> Curve:
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "run"
        subprocess.run([*command, "--output", str(output)], check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
        with (output / "metrics.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
    losses = [float(row["train_loss"]) for row in rows]
    seconds = [float(row["seconds"]) for row in rows[1:-1]]
    return Curve(losses, 100 * float(rows[-1]["val_miou"]), statistics.median(seconds))


def _plot(curves: dict[str, Curve], path: Path) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure((6, 3.2), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for (name, curve), style in zip(curves.items(), ("-", "--"), strict=True):
        axes.plot(range(1, len(curve.losses) + 1), curve.losses, style, label=name)
    axes.set(xlabel="epoch", ylabel="training loss")
    axes.legend(frameon=False)
    axes.grid(alpha=0.3)
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    main()
