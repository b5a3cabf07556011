"""Fuzz for longer: python tests/fuzz/run.py --minutes 60 [--target images …] [--seed 1]; exit code 1 with findings."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "support")]

from fuzzing import fuzz, report  # noqa: E402
from targets import TARGETS  # noqa: E402


def main() -> None:
    """Run the targets, each for its share of the time or for a number of inputs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--target", action="append", choices=sorted(TARGETS), help="all if left out")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, help="for all targets together")
    parser.add_argument("--count", type=int, help="inputs for each target")
    parser.add_argument("--keep", type=Path, default=Path("runs/fuzz"), help="folder for inputs that found something")
    args = parser.parse_args()
    names = args.target or sorted(TARGETS)
    seconds = None if args.minutes is None else 60 * args.minutes / len(names)
    outcomes = []
    for name in names:
        with tempfile.TemporaryDirectory() as folder:
            outcomes.append(fuzz(TARGETS[name], Path(folder), seed=args.seed, count=args.count, seconds=seconds))
        report(outcomes[-1:], args.keep)
    total = sum(outcome.count for outcome in outcomes)
    found = sum(len(outcome.findings) for outcome in outcomes)
    print(f"{total} inputs, {found} findings")
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
