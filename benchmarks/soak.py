"""Leaves `edgeseg run` running and watches from outside whether it grows: memory, descriptors, threads.

    python benchmarks/soak.py --minutes 30 --plot docs/soak.png -- 'synthetic:?frames=100000000' --save ...

What follows -- are the arguments of `edgeseg run`. The first tenth of the time is warm-up. The run is ended by SIGTERM
and must then exit with 0. Linux only: the figures come from /proc.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Sample:
    """What /proc says of the process.

    Attributes:
        minutes: since the start.
        rss_mib: resident memory in MiB.
        descriptors: open files, sockets, pipes.
        threads: of the process.
    """

    minutes: float
    rss_mib: float
    descriptors: int
    threads: int


def main() -> None:
    """Run, sample, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--every", type=float, default=5.0, help="seconds between samples")
    parser.add_argument("--plot", type=Path, help="draw the samples into this .png")
    parser.add_argument("run", nargs="+", help="the arguments of edgeseg run")
    args = parser.parse_args()

    process = subprocess.Popen(
        [sys.executable, "-m", "edgeseg", "run", *args.run],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    samples: list[Sample] = []
    start_s = time.monotonic()
    while time.monotonic() - start_s < 60 * args.minutes and process.poll() is None:
        time.sleep(args.every)
        if process.poll() is None:
            samples.append(_look(process.pid, (time.monotonic() - start_s) / 60))
    process.send_signal(signal.SIGTERM)
    report, _ = process.communicate(timeout=120)
    print(report)
    print(f"exit code {process.returncode}")
    settled = [sample for sample in samples if sample.minutes > args.minutes / 10]
    fifth = max(1, len(settled) // 5)
    begin, end = settled[:fifth], settled[-fifth:]
    first, last = (sum(sample.rss_mib for sample in part) / fifth for part in (begin, end))
    print(f"RSS {first:.1f} MiB after warm-up, {last:.1f} MiB at the end: {100 * (last / first - 1):+.2f} %")
    print(f"highest RSS {max(sample.rss_mib for sample in samples):.1f} MiB")
    for name in ("descriptors", "threads"):
        values = [getattr(sample, name) for sample in settled]
        print(f"{name}: {values[0]} after warm-up, {values[-1]} at the end, {min(values)} to {max(values)} between")
    if args.plot:
        _plot(samples, args.plot)


def _look(pid: int, minutes: float) -> Sample:
    resident = int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE
    return Sample(minutes, resident / 2**20, len(os.listdir(f"/proc/{pid}/fd")), len(os.listdir(f"/proc/{pid}/task")))


def _plot(samples: list[Sample], path: Path) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, (above, below) = plt.subplots(2, 1, sharex=True, figsize=(8, 4.5), height_ratios=(2, 1))
    minutes = [sample.minutes for sample in samples]
    above.plot(minutes, [sample.rss_mib for sample in samples])
    above.set_ylim(0, 1.15 * max(sample.rss_mib for sample in samples))
    above.set_ylabel("resident memory, MiB")
    below.step(minutes, [sample.descriptors for sample in samples], label="descriptors")
    below.step(minutes, [sample.threads for sample in samples], label="threads")
    below.set_ylim(0)
    below.set_xlabel("minutes")
    below.legend(loc="lower right")
    figure.tight_layout()
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
