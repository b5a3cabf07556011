"""mIoU over milliseconds of models that see the same classes, on ONNX Runtime's CPU, in turns in one run.

    python benchmarks/tradeoff.py --data camvid --threads 1 --plot docs/street_models.png
    python benchmarks/tradeoff.py fast_scnn-camvid-int8 runs/enet/model.onnx --data camvid --beside yolo26n-sem.onnx

Without models: all that ship for the data's classes. What lies ``--beside`` is any ONNX file with one input, of floats
(N, 3, H, W) or bytes (N, H, W, 3): it is timed on noise, and has no accuracy here.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgeseg import weights
from edgeseg.artifact.onnx import read_spec
from edgeseg.data.dataset import Dataset
from edgeseg.evaluation.evaluate import evaluate
from edgeseg.files.whole import written_whole
from edgeseg.runtime.registry import open_backend
from edgeseg.segmenter import Segmenter
from edgeseg_export.timing import medians_ms

INK, INT8, FLOAT, BESIDE = "#333333", "#c2410c", "#2563eb", "#8a8a8a"


@dataclass(frozen=True)
class Point:
    """One model.

    Attributes:
        name: as it was given.
        precision: ``fp32``, or as its spec has it; empty for what has no spec.
        ms: median milliseconds of a frame in the network.
        miou: 0..1; None for what has none here.
    """

    name: str
    precision: str
    ms: float
    miou: float | None


def shipped_for(dataset: Dataset) -> list[str]:
    """The names of the shipped models with the data's classes."""
    return [model.name for model in weights.shipped() if read_spec(model.path).class_names == tuple(dataset.names)]


def runner_beside(path: Path, threads: int | None, size: tuple[int, int]) -> Callable[[], object]:
    """A run of a network that is none of edgeseg's, on noise; ``size`` (height, width) where its own is left open."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or 0
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    (taken,) = session.get_inputs()
    is_bytes = taken.type == "tensor(uint8)"
    open_shape = (1, *size, 3) if is_bytes else (1, 3, *size)
    shape = [n if isinstance(n, int) else given for n, given in zip(taken.shape, open_shape, strict=True)]
    noise = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8 if is_bytes else np.float32)
    return lambda: session.run(None, {taken.name: noise})


def measure(models: Sequence[str], beside: Sequence[Path], data: Path, threads: int | None, rounds: int) -> list[Point]:
    """The points, in the order of the arguments."""
    dataset = Dataset.load(data)
    names = list(models) or shipped_for(dataset)
    with ExitStack() as opened:
        runs: list[Callable[[], object]] = []
        specs = []
        for name in names:
            engine = open_backend(weights.find(name), backend="ort", threads=threads)
            opened.callback(engine.close)
            picture = np.random.default_rng(0).integers(0, 256, (1, *engine.spec.input_size, 3), np.uint8)
            runs.append(lambda engine=engine, picture=picture: engine.infer(picture))  # type: ignore[misc]
            specs.append(engine.spec)
        runs += [runner_beside(path, threads, specs[0].input_size if specs else (360, 480)) for path in beside]
        ms = medians_ms(runs, rounds)
    points = []
    for name, spec, taken in zip(names, specs, ms, strict=False):
        with closing(Segmenter.open(name, backend="ort")) as segmenter:
            points.append(Point(name, spec.precision, taken, evaluate(segmenter, dataset).confusion.miou()))
    return points + [Point(path.stem, "", taken, None) for path, taken in zip(beside, ms[len(names) :], strict=True)]


def plot(points: Sequence[Point], title: str, to: Path) -> None:
    """A PNG: a dot for a model, a line for what has no accuracy here."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    figure = Figure(figsize=(7.2, 4.2), dpi=130, layout="tight")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for point in points:
        if point.miou is None:
            axes.axvline(point.ms, color=BESIDE, linestyle="--", linewidth=1)
            axes.text(point.ms, 0.03, f" {point.name}", color=BESIDE, fontsize=8, transform=axes.get_xaxis_transform())
            continue
        colour, below = (INT8, 5) if point.precision.startswith("int8") else (FLOAT, -12)
        axes.plot(point.ms, 100 * point.miou, "o", color=colour)
        axes.annotate(
            point.name, (point.ms, 100 * point.miou), (4, below), textcoords="offset points", fontsize=7, color=INK
        )
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda ms, _: f"{ms:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("ms a frame in the network")
    axes.set_ylabel("mIoU, %")
    axes.set_title(title, fontsize=9)
    axes.grid(visible=True, which="both", linewidth=0.3)
    axes.margins(x=0.16, y=0.12)
    with written_whole(to, make_folders=True) as part:
        figure.savefig(part, format="png")


def main() -> None:
    """Print a row for each model, the fastest first, and draw them where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", help="shipped models' names, or ONNX files; all that ship if left out")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--beside", type=Path, nargs="+", default=[], metavar="ONNX", help="timed alone")
    parser.add_argument("--threads", type=int, help="all cores if left out")
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--plot", type=Path, metavar="PNG")
    options = parser.parse_args()
    points = measure(options.models, options.beside, options.data, options.threads, options.rounds)
    fastest = min(point.ms for point in points)
    print("| model | ms | times the fastest | mIoU |\n|---|---:|---:|---:|")
    for point in sorted(points, key=lambda point: point.ms):
        miou = "" if point.miou is None else f"{100 * point.miou:.1f}"
        print(f"| {point.name} | {point.ms:.2f} | {point.ms / fastest:.2f} | {miou} |")
    if options.plot:
        threads = f"{options.threads or 'all'} thread{'' if options.threads == 1 else 's'}"
        plot(points, f"{options.data.name}, val; ONNX Runtime's CPU, {threads}", options.plot)


if __name__ == "__main__":
    main()
