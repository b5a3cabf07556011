"""Times the dense CRF beside pydensecrf, turn by turn in one process, and compares both with exact sums.

    pip install pydensecrf2
    pip install -e . -C cmake.define.EDGESEG_BENCH=ON     # builds the exact reference
    python benchmarks/dense_crf.py --data camvid --threads 1 2 --plot docs/dense_crf.png --cache runs/exact
        --exact build/*/kernels/bench/libedgeseg_dense_crf_exact.so
    python benchmarks/dense_crf.py --data camvid --steady 1000

Machines drift, so the ratio is the number to quote: the median, over images and rounds, of pydensecrf's time over ours
for the same image in the same round. Milliseconds are means over the images of the best and of the median round.

The exact marginals of a 480x360 frame take minutes; ``--cache`` keeps them for the next time.
"""

from __future__ import annotations

import argparse
import ctypes
import hashlib
import importlib
import json
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edgeseg._native import dense_crf_isa
from edgeseg.data.dataset import Dataset, read_image
from edgeseg.data.sampling import spread
from edgeseg.refine.crf import CrfParams, DenseCrf, Quality
from edgeseg.runtime.real_time import processor_name

PEER = "pydensecrf"


@dataclass(frozen=True)
class Problem:
    """(C, H, W) float32 probabilities and the (H, W, 3) uint8 image they are of."""

    name: str
    probabilities: NDArray[np.float32]
    image: NDArray[np.uint8]


Call = Callable[[Problem], NDArray[Any]]


@dataclass(frozen=True)
class Entry:
    """One implementation with a number of threads."""

    name: str
    threads: int
    labels: Call  # what is timed
    marginals: Call  # what is compared


@dataclass(frozen=True)
class Difference:
    """From the exact marginals, means over the images."""

    labels_percent: float
    mean_dq: float
    p99_dq: float


@dataclass(frozen=True)
class Row:
    """A line of the table."""

    name: str
    threads: int
    best_ms: float
    median_ms: float
    times_faster: float
    difference: Difference | None


def unary(labels: NDArray[np.uint8], classes: int, seed: int) -> NDArray[np.float32]:
    """What a network of stride 8 with a poor eye might say: noisy logits on 8x8 cells, upsampled, through softmax."""
    height, width = labels.shape
    if height % 8 or width % 8:
        raise SystemExit(f"the labels are {width}x{height}; sides must be multiples of 8")
    known = np.where(labels < classes, labels, 0)
    cells = np.eye(classes, dtype=np.float32)[known].reshape(height // 8, 8, width // 8, 8, classes).mean(axis=(1, 3))
    noise = np.random.default_rng(seed).normal(0, 2, cells.shape).astype(np.float32)
    logits = np.asarray(cv2.resize(4 * cells + noise, (width, height), interpolation=cv2.INTER_LINEAR))
    powers = np.exp(logits - logits.max(axis=2, keepdims=True))
    return np.ascontiguousarray((powers / powers.sum(axis=2, keepdims=True)).transpose(2, 0, 1), dtype=np.float32)


def problems_of(data: Path, count: int) -> list[Problem]:
    """``count`` images of the split val, spread evenly by name."""
    dataset = Dataset.load(data)
    samples = dataset.split("val").samples()
    problems = []
    for number, sample in enumerate(spread(samples, count)):
        probabilities = unary(sample.read_labels(), dataset.num_classes, number)
        problems.append(Problem(sample.image.stem, probabilities, read_image(sample.image)))
    if len({problem.probabilities.shape for problem in problems}) != 1:
        raise SystemExit(f"the images of {data} differ in size")
    return problems


def pydensecrf_entry(params: CrfParams) -> Entry:
    """As its own example does it; it has one thread."""
    try:
        densecrf = importlib.import_module("pydensecrf.densecrf")
    except ImportError as error:
        raise SystemExit(f"pydensecrf cannot be imported ({error}): pip install pydensecrf2") from None

    def infer(problem: Problem) -> Any:
        classes, height, width = problem.probabilities.shape
        crf = densecrf.DenseCRF2D(width, height, classes)
        crf.setUnaryEnergy(-np.log(problem.probabilities.clip(1e-5)).reshape(classes, -1))
        crf.addPairwiseGaussian(sxy=params.spatial_sigma_px, compat=params.spatial_weight)
        crf.addPairwiseBilateral(
            sxy=params.bilateral_sigma_xy_px,
            srgb=params.bilateral_sigma_rgb,
            rgbim=problem.image,
            compat=params.bilateral_weight,
        )
        return crf.inference(params.iterations)

    return Entry(
        PEER,
        1,
        lambda problem: np.argmax(infer(problem), axis=0).reshape(problem.image.shape[:2]),
        lambda problem: np.array(infer(problem)).reshape(problem.probabilities.shape),
    )


def edgeseg_entry(params: CrfParams, quality: Quality, threads: int, shape: tuple[int, ...]) -> Entry:
    """One DenseCrf for all frames, as in a stream."""
    classes, height, width = shape
    crf = DenseCrf(height, width, classes, params, quality=quality, threads=threads)
    return Entry(
        f"edgeseg {quality}",
        threads,
        lambda problem: crf.labels(problem.probabilities, problem.image),
        lambda problem: crf.marginals(problem.probabilities, problem.image),
    )


def times_ms(entries: Sequence[Entry], problems: Sequence[Problem], repeats: int) -> NDArray[np.float64]:
    """(entries, images, repeats) milliseconds; the entries take turns, after a call each to warm up."""
    for entry in entries:
        entry.labels(problems[0])
    times = np.empty((len(entries), len(problems), repeats))
    for repeat in range(repeats):
        for p, problem in enumerate(problems):
            for e, entry in enumerate(entries):
                start_s = time.perf_counter()
                entry.labels(problem)
                times[e, p, repeat] = (time.perf_counter() - start_s) * 1000
    return times


class ExactReference:
    """Exact marginals from the library that kernels/bench builds.

    Args:
        params: one bilateral and one spatial term, Potts.
        library: path of libedgeseg_dense_crf_exact.so.
        cache: folder that keeps results, by what they were computed from; None for none.
    """

    def __init__(self, params: CrfParams, library: Path, cache: Path | None) -> None:
        self._params = params
        self._function = ctypes.CDLL(str(library.resolve())).edgeseg_dense_crf_exact
        self._function.restype = None
        self._cache = cache

    def __call__(self, problem: Problem) -> NDArray[np.float32]:
        """(C, H, W) float32 marginals."""
        if self._cache is None:
            return self._compute(problem)
        text = json.dumps([self._params.to_dict(), problem.probabilities.shape]).encode()
        content = hashlib.sha256(text + problem.probabilities.tobytes() + problem.image.tobytes()).hexdigest()
        path = self._cache / f"{content}.npy"
        if not path.is_file():
            self._cache.mkdir(parents=True, exist_ok=True)
            np.save(path, self._compute(problem))
        marginals: NDArray[np.float32] = np.load(path)
        return marginals

    def _compute(self, problem: Problem) -> NDArray[np.float32]:
        print(f"exact marginals of {problem.name}: this takes minutes", flush=True)
        bilateral = np.array([term.row() for term in self._params.bilateral_terms], dtype=np.float32)
        spatial = np.array([term.row() for term in self._params.spatial_terms], dtype=np.float32)
        marginals = np.empty_like(problem.probabilities)
        probabilities, image = np.ascontiguousarray(problem.probabilities), np.ascontiguousarray(problem.image)
        self._function(
            *map(ctypes.c_int, probabilities.shape),
            _pointer(probabilities),
            _pointer(image),
            _pointer(bilateral),
            ctypes.c_int(len(bilateral)),
            _pointer(spatial),
            ctypes.c_int(len(spatial)),
            None,  # Potts
            ctypes.c_int(self._params.iterations),
            ctypes.c_int(0),  # all cores
            _pointer(marginals),
        )
        return marginals


def _pointer(array: NDArray[Any]) -> ctypes.c_void_p:
    return array.ctypes.data_as(ctypes.c_void_p)


def difference(entry: Entry, problems: Sequence[Problem], exact: Sequence[NDArray[np.float32]]) -> Difference:
    """How far from exact an entry comes."""
    figures = []
    for problem, expected in zip(problems, exact, strict=True):
        marginals = entry.marginals(problem)
        dq = np.abs(marginals - expected)
        unlike = marginals.argmax(axis=0) != expected.argmax(axis=0)
        figures.append((100 * unlike.mean(), dq.mean(), np.percentile(dq, 99)))
    return Difference(*map(float, np.mean(figures, axis=0)))


def compare(problems: Sequence[Problem], params: CrfParams, args: argparse.Namespace) -> list[Row]:
    """The table's rows, pydensecrf's first."""
    shape = problems[0].probabilities.shape
    qualities: tuple[Quality, ...] = ("fast", "accurate")
    entries = [pydensecrf_entry(params)]
    entries += [edgeseg_entry(params, quality, threads, shape) for quality in qualities for threads in args.threads]
    differences: dict[str, Difference] = {}
    if args.exact:
        reference = ExactReference(params, args.exact, args.cache)
        exact = [reference(problem) for problem in problems]
        for entry in entries:
            if entry.name not in differences:  # the number of threads changes roundings alone
                differences[entry.name] = difference(entry, problems, exact)
    times = times_ms(entries, problems, args.repeats)
    return [
        Row(
            entry.name,
            entry.threads,
            float(times[e].min(axis=1).mean()),
            float(np.median(times[e], axis=1).mean()),
            float(np.median(times[0] / times[e])),
            differences.get(entry.name),
        )
        for e, entry in enumerate(entries)
    ]


def print_table(rows: Sequence[Row]) -> None:
    """As Markdown."""
    titles = ["implementation", "threads", "best ms", "median ms", f"times faster than {PEER}"]
    if rows[0].difference:
        titles += ["labels unlike exact", "mean abs dQ", "p99 abs dQ"]
    print(f"| {' | '.join(titles)} |\n| --- |{' ---: |' * (len(titles) - 1)}")
    for row in rows:
        cells = [row.name, f"{row.threads}", f"{row.best_ms:.1f}", f"{row.median_ms:.1f}", f"{row.times_faster:.2f}"]
        if row.difference:
            cells += [f"{row.difference.labels_percent:.2f} %"]
            cells += [f"{row.difference.mean_dq:.5f}", f"{row.difference.p99_dq:.4f}"]
        print(f"| {' | '.join(cells)} |")


def plot(rows: Sequence[Row], title: str, path: Path) -> None:
    """Accuracy over time: a point for each implementation and number of threads."""
    import matplotlib as mpl

    mpl.use("Agg")  # before pyplot: there may be no display
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 4), constrained_layout=True)
    styles = dict(zip(dict.fromkeys(row.name for row in rows), ("tab:gray", "tab:blue", "tab:green"), strict=True))
    for name, color in styles.items():
        points = [
            (row.median_ms, row.difference.labels_percent, row.threads)
            for row in rows
            if row.name == name and row.difference
        ]
        times, labels, _ = zip(*points, strict=True)
        axes.plot(times, labels, color=color, marker="o", markersize=8, linewidth=1.5, alpha=0.9)
        for time_ms, percent, threads in points:
            axes.annotate(f"{threads}", (time_ms, percent), (0, 9), textcoords="offset points", ha="center", fontsize=9)
        slowest = max(points)
        side = -1 if slowest[0] == max(row.median_ms for row in rows) else 1
        axes.annotate(
            name,
            slowest[:2],
            (12 * side, -4),
            textcoords="offset points",
            ha="right" if side < 0 else "left",
            color=color,
            fontweight="bold",
        )
    axes.set(
        title=title,
        xlabel="ms a frame, median; the numbers at the points are threads",
        ylabel="labels unlike exact inference (%)",
    )
    axes.set_xlim(0, 1.08 * max(row.median_ms for row in rows))
    axes.set_ylim(0, 1.2 * max(row.difference.labels_percent for row in rows if row.difference))
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=150)
    plt.close(figure)


class MallocInfo(ctypes.Structure):
    """What glibc's mallinfo2 returns; mmapped and in use are what counts here."""

    _names = ("arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost")
    _fields_ = tuple((name, ctypes.c_size_t) for name in _names)


def memory_mib() -> tuple[float, float]:
    """Resident memory of this process, and what malloc has handed out; NaN where this system does not say."""
    statm = Path("/proc/self/statm")
    resident = int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") if statm.exists() else float("nan")
    mallinfo = getattr(ctypes.CDLL(None), "mallinfo2", None)
    allocated = float("nan")
    if mallinfo is not None:
        mallinfo.restype = MallocInfo
        info = mallinfo()
        allocated = info.uordblks + info.hblkhd
    return resident / 2**20, allocated / 2**20


def run_steady(problems: Sequence[Problem], params: CrfParams, frames: int, threads: int) -> None:
    """Many frames through one DenseCrf: what its memory is before and after."""
    classes, height, width = problems[0].probabilities.shape
    crf = DenseCrf(height, width, classes, params, threads=threads)
    for problem in (*problems, *problems):
        crf.labels(problem.probabilities, problem.image)
    before = memory_mib()
    for frame in range(frames):
        problem = problems[frame % len(problems)]
        crf.labels(problem.probabilities, problem.image)
    after = memory_mib()
    print(f"{frames} frames of {width}x{height}, {classes} classes, {threads} threads")
    for what, then, now in zip(("resident", "allocated by malloc"), before, after, strict=True):
        print(f"  {what:<20} {then:8.2f} MiB before, {now:8.2f} MiB after ({now - then:+.3f})")


def main() -> None:
    parser = argparse.ArgumentParser(description="The dense CRF beside pydensecrf and exact sums.")
    parser.add_argument("--data", type=Path, required=True, help="CamVid: a folder with dataset.yaml and the split val")
    parser.add_argument("--images", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=20, help="rounds over all images (default: 20)")
    parser.add_argument("--threads", type=int, nargs="+", default=[1], help="for edgeseg; pydensecrf has one")
    parser.add_argument(
        "--params",
        type=float,
        nargs=5,
        default=(80, 13, 10, 3, 3),
        metavar=("SXY", "SRGB", "WEIGHT", "SXY", "WEIGHT"),
        help="of the bilateral and the spatial term (default: pydensecrf's own example, 80 13 10 3 3)",
    )
    parser.add_argument("--exact", type=Path, help="libedgeseg_dense_crf_exact.so; see above")
    parser.add_argument("--cache", type=Path, help="folder that keeps exact marginals")
    parser.add_argument("--plot", type=Path, help="PNG of accuracy over time; needs --exact")
    parser.add_argument("--json", type=Path, help="file for the figures")
    parser.add_argument("--steady", type=int, metavar="FRAMES", help="memory over so many frames, and nothing else")
    args = parser.parse_args()
    if args.plot and not args.exact:
        parser.error("--plot needs --exact")

    params = CrfParams(*args.params)
    problems = problems_of(args.data, args.images)
    if args.steady:
        run_steady(problems, params, args.steady, args.threads[0])
        return
    classes, height, width = problems[0].probabilities.shape
    title = f"Dense CRF, {width}x{height}, {classes} classes, {params.iterations} iterations"
    if params != CrfParams():
        title += f", parameters {' '.join(f'{value:g}' for value in args.params)}"
    print(f"{title}; {args.images} images, {args.repeats} rounds; {processor_name()}, {dense_crf_isa()}")
    rows = compare(problems, params, args)
    print_table(rows)
    if args.plot:
        plot(rows, title, args.plot)
    if args.json:
        setting = {"title": title, "cpu": processor_name(), "isa": dense_crf_isa(), "repeats": args.repeats}
        images = [problem.name for problem in problems]
        report = {**setting, "images": images, "rows": [asdict(row) for row in rows]}
        args.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
