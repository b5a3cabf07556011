"""``edgeseg quantize``: from a float ONNX artifact to an INT8 one, with what that costs in accuracy."""

from __future__ import annotations

from enum import Enum
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgeseg.cli.open_model import Threads
from edgeseg.errors import MissingDependencyError
from edgeseg.installing import pip_install

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType

    from edgeseg.evaluation.evaluate import Evaluation
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
    threads: Threads = None,
) -> None:
    """Quantize a model to INT8 after training: ONNX with Q/DQ pairs.

    Ranges come from images of the calibration split. The float and the INT8
    model are then measured on another split and shown side by side. If mIoU
    falls by more than --max-drop, the layers that hurt most are named,
    nothing is written and the exit code is 1.
    """
    if find_spec("onnx") is None:
        raise MissingDependencyError("the package onnx is not installed", f"Run: {pip_install('edgeseg[quantize]')}")

    from rich.console import Console

    from edgeseg.cli.progress import show_progress
    from edgeseg.quantize import run

    console = Console(highlight=False, markup=False, soft_wrap=True)
    lost: run.TooMuchLostError | None = None
    try:
        done = run.quantize(
            model,
            data,
            output=output,
            target=target.value,
            method=method.value,
            images=images,
            calibration_split=calibration_split,
            split=split,
            max_drop=max_drop,
            auto_exclude=auto_exclude,
            threads=threads,
            progress=show_progress,
        )
    except run.TooMuchLostError as error:
        lost, done = error, error.found
    console.print(render(done.before, done.after))
    console.print(
        f"\n{done.before.images} images of {split}; calibrated on {done.images} of {calibration_split} ({method.value})"
    )
    if done.in_float:
        listed = ", ".join(f"{count} {kind}" for kind, count in done.in_float.items())
        console.print(f"computed in float: {listed}")
    if auto_exclude:
        console.print(f"{len(done.left_out)} of {len(done.layers)} layers are left in float")
        console.print(render_layers(done.left_out) if done.left_out else "")
    if lost is not None:
        console.print(f"\nmIoU falls by {done.drop:.2f}, more than --max-drop {max_drop:g}: nothing is written.")
        if lost.worst:
            console.print("The layers that hurt most, each quantized alone:")
            console.print(render_layers(lost.worst[:WORST_SHOWN]))
        console.print(f"Try {'a smaller --max-drop' if auto_exclude else '--auto-exclude'}, or another --method.")
        raise typer.Exit(1)
    console.print(
        f"{done.path}  {done.path.stat().st_size / 1e6:.2f} MB, INT8 for {target.value}\n"
        f"next: edgeseg compare {model} {done.path} --data {data} --split {split} --threads 1"
    )


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
