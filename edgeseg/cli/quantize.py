"""``edgeseg quantize``: from a float ONNX artifact to an INT8 one, with what that costs in accuracy."""

from __future__ import annotations

import math
from enum import Enum
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgeseg.errors import DatasetError, InputError, MissingDependencyError
from edgeseg.installing import pip_install

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType

    from edgeseg.data.dataset import Dataset
    from edgeseg.evaluation.evaluate import Evaluation
    from edgeseg.quantize.ptq import CalibratedModel
    from edgeseg.quantize.sensitivity import Sensitivity

EXAMPLES = """
edgeseg quantize model.onnx --data my_data
edgeseg quantize model.onnx --data my_data --target tensorrt --output model-trt.onnx
edgeseg quantize model.onnx --data my_data --max-drop 0.5 --auto-exclude
edgeseg compare model.onnx model-int8.onnx --data my_data --threads 1
"""

WORST_SHOWN = 5
"""Layers to name when too much is lost."""


class Target(str, Enum):
    """The engine the artifact is for."""

    cpu = "cpu"
    tensorrt = "tensorrt"


class Method(str, Enum):
    """How a range is chosen from the values that were seen."""

    percentile = "percentile"
    entropy = "entropy"
    minmax = "minmax"


def quantize(
    model: Annotated[str, typer.Argument(help="A shipped model's name, or a .onnx file; it must return logits.")],
    data: Annotated[Path, typer.Option(help="A dataset.yaml, or the folder that holds one: classes, images, labels.")],
    output: Annotated[
        Path | None, typer.Option(help="File to write \\[default: the model's name with -int8 or -int8-tensorrt].")
    ] = None,
    target: Annotated[
        Target, typer.Option(help="cpu: for ONNX Runtime's CPU kernels; tensorrt: in the form its parser takes.")
    ] = Target.cpu,
    method: Annotated[
        Method,
        typer.Option(help="Of a tensor's values: all but the outermost 0.01 %, the least divergence, or all of them."),
    ] = Method.percentile,
    images: Annotated[
        int, typer.Option(min=1, help="The most to calibrate on, spread evenly over the calibration split.")
    ] = 32,
    calibration_split: Annotated[
        str, typer.Option(help="The split of --data to calibrate and choose layers on.")
    ] = "train",
    split: Annotated[str, typer.Option(help="The split of --data to measure before and after on.")] = "val",
    max_drop: Annotated[
        float, typer.Option(min=0, help="Points of mIoU that may be lost; beyond it nothing is written.")
    ] = 1.0,
    auto_exclude: Annotated[
        bool, typer.Option("--auto-exclude", help="Leave the worst layers in float, as few as --max-drop allows.")
    ] = False,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads; all cores if left out.")] = None,
) -> None:
    """Quantize a model to INT8 after training: ONNX with Q/DQ pairs.

    Ranges come from images of the calibration split. The float and the INT8
    model are then measured on another split and shown side by side. If mIoU
    falls by more than --max-drop, the layers that hurt most are named,
    nothing is written and the exit code is 1.
    """
    if find_spec("onnx") is None:
        raise MissingDependencyError("the package onnx is not installed", f"Run: {pip_install('edgeseg[quantize]')}")

    import onnx
    from rich.console import Console

    from edgeseg.artifact.onnx import set_spec, spec_in
    from edgeseg.cli.progress import show_progress
    from edgeseg.data.dataset import Dataset
    from edgeseg.evaluation.evaluate import check_same_classes
    from edgeseg.files.whole import written_whole
    from edgeseg.quantize.calibrate import samples_of
    from edgeseg.quantize.exclude import exclude_worst
    from edgeseg.quantize.ptq import calibrate_model, check_quantizable
    from edgeseg.weights import find

    artifact = find(model)
    path = _output_path(model, output, target)
    dataset = Dataset.load(data)
    _keep_inputs(path, artifact, dataset, (split, calibration_split))
    check_same_classes(check_quantizable(artifact).class_names, dataset)
    samples = samples_of(dataset, calibration_split, images)
    files = [sample.image for sample in samples]

    console = Console(highlight=False, markup=False, soft_wrap=True)
    with written_whole(path, make_folders=True) as partial:
        calibrated = calibrate_model(artifact, files, target.value, method.value, show_progress, dataset.bit_depth)
        left_out: list[Sensitivity] = []
        if auto_exclude:
            left_out = exclude_worst(calibrated, dataset, samples, max_drop / 100, threads, show_progress)
        candidate = calibrated.quantize(set(calibrated.layers) - {one.layer for one in left_out})
        onnx.save(candidate, partial)
        before = _measure(artifact, dataset, split, threads, "measuring the float model")
        after = _measure(partial, dataset, split, threads, "measuring INT8")
        drop = 100 * (before.confusion.miou() - after.confusion.miou())
        if math.isnan(drop):
            raise DatasetError(f"no pixel of split {split} of {dataset.path} is labelled", "Choose another --split")
        console.print(render(before, after))
        console.print(
            f"\n{before.images} images of {split}; calibrated on {len(samples)} of {calibration_split} ({method.value})"
        )
        if auto_exclude:
            console.print(f"{len(left_out)} of {len(calibrated.layers)} layers are left in float")
            console.print(render_layers(left_out) if left_out else "")
        if drop > max_drop:
            console.print(f"\nmIoU falls by {drop:.2f}, more than --max-drop {max_drop:g}: nothing is written.")
            if not left_out:
                console.print("The layers that hurt most, each quantized alone:")
                console.print(_worst(calibrated, files, threads, dataset.bit_depth))
            console.print(f"Try {'a smaller --max-drop' if auto_exclude else '--auto-exclude'}, or another --method.")
            raise typer.Exit(1)
        set_spec(candidate, spec_in(candidate, path).with_metrics(val_miou=after.confusion.miou()))
        onnx.save(candidate, partial)
    console.print(
        f"{path}  {path.stat().st_size / 1e6:.2f} MB, INT8 for {target.value}\n"
        f"next: edgeseg compare {model} {path} --data {data} --split {split} --threads 1"
    )


def _output_path(model: str, output: Path | None, target: Target) -> Path:
    """The file to write: beside a model that was given as a path, in the working directory for a shipped one."""
    suffix = "-int8" if target is Target.cpu else "-int8-tensorrt"
    path = output or Path(model).with_name(f"{Path(model).name.removesuffix('.onnx')}{suffix}.onnx")
    if path.suffix.lower() != ".onnx":
        raise InputError(f"{path} does not end in .onnx", "Correct --output")
    return path


def _keep_inputs(path: Path, artifact: Path, dataset: Dataset, splits: Sequence[str]) -> None:
    """Refuse to write over the model or over anything of the data set, before any work."""
    from edgeseg.files.whole import keep_apart

    samples = [sample for split in splits for sample in dataset.split(split).samples()]
    keep_apart([path], [artifact, dataset.path, *(file for one in samples for file in (one.image, one.label))])


def _measure(artifact: Path, dataset: Dataset, split: str, threads: int | None, what: str) -> Evaluation:
    """The accuracy of a file that is an ONNX model whatever its name ends in."""
    from edgeseg.cli.progress import show_progress
    from edgeseg.evaluation.evaluate import evaluate
    from edgeseg.runtime.registry import open_backend
    from edgeseg.segmenter import Segmenter

    with Segmenter(open_backend(artifact, backend="ort", threads=threads), threads) as segmenter:
        return evaluate(segmenter, dataset, split, lambda items: show_progress(items, what))


def _worst(
    calibrated: CalibratedModel, images: Sequence[Path], threads: int | None, bit_depth: int | None
) -> RenderableType:
    from edgeseg.cli.progress import show_progress
    from edgeseg.quantize.sensitivity import sensitivities

    return render_layers(sensitivities(calibrated, images, threads, show_progress, bit_depth)[:WORST_SHOWN])


def render(before: Evaluation, after: Evaluation) -> RenderableType:
    """A table of the IoU of each class in float and in INT8, with the mean below, and of which classes it is."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("class", overflow="fold")
    for heading in ("float IoU %", "INT8 IoU %", "change"):
        table.add_column(heading, justify="right", no_wrap=True)
    for name, *pair in zip(before.class_names, before.confusion.iou(), after.confusion.iou(), strict=True):
        table.add_row(Text(name), *_pair(*pair))
    table.add_section()
    table.add_row("mIoU", *_pair(before.confusion.miou(), after.confusion.miou()), style="bold")
    sides = (("float", before), ("INT8", after))
    notes = ((side, one.left_out()) for side, one in sides)
    return Group(table, *(Text(f"\n{side}: mIoU {missing}") for side, missing in notes if missing))


def render_layers(found: Sequence[Sensitivity]) -> RenderableType:
    """A table of layers: the noise that each alone brings into the logits, and how many labels it changes."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("layer", overflow="fold")
    for heading in ("SQNR dB", "labels changed %"):
        table.add_column(heading, justify="right", no_wrap=True)
    for one in found:
        table.add_row(Text(one.layer.name), f"{one.sqnr_db:.1f}", f"{100 * one.labels_changed:.2f}")
    return table


def _pair(before: float, after: float) -> tuple[str, str, str]:
    figures = (f"{100 * before:.2f}", f"{100 * after:.2f}", f"{100 * (after - before):+.2f}")
    return tuple("-" if figure in ("nan", "+nan") else figure for figure in figures)  # type: ignore[return-value]
