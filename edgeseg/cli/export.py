"""``edgeseg export``: from a checkpoint to ONNX, and from ONNX to a TensorRT engine."""

from __future__ import annotations

import math
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgeseg.cli.open_model import UNTUNED, note
from edgeseg.cli.options import comes_from
from edgeseg.errors import InputError

if TYPE_CHECKING:
    from edgeseg_export.run import Exported

EXAMPLES = """
edgeseg export runs/my_data/model.pt
edgeseg export runs/my_data/model.pt --output street.onnx --data my_data --license CC-BY-4.0
edgeseg export runs/my_data/model.pt --head labels --output labels.onnx
edgeseg export model.onnx --format tensorrt --precision fp16
edgeseg export model.onnx --format tensorrt --head labels
edgeseg export model.onnx --format tensorrt --target sm86 --batch 1,1,4 --output street.engine
edgeseg export tuned.onnx --refine crf --output refined.onnx
edgeseg export tuned.onnx --refine crf --format tensorrt
"""


class Format(str, Enum):
    """What to write."""

    onnx = "onnx"
    tensorrt = "tensorrt"


class EnginePrecision(str, Enum):
    """Of an engine's arithmetic."""

    fp32 = "fp32"
    fp16 = "fp16"
    int8 = "int8"


class HardwareCompatibility(str, Enum):
    """Which other GPUs an engine is to run on."""

    none = "none"
    same_compute_capability = "same_compute_capability"
    ampere_plus = "ampere_plus"


class Head(str, Enum):
    """What the graph ends in."""

    logits = "logits"
    labels = "labels"


class Refine(str, Enum):
    """What the graph does to the network's labels."""

    none = "none"
    crf = "crf"


_ENGINE = "Only with --format tensorrt"


def export(
    ctx: typer.Context,
    model: Annotated[
        Path,
        typer.Argument(
            help="The model.pt or best.pt of a training run; a .onnx file for --format tensorrt or --refine."
        ),
    ],
    output: Annotated[
        Path | None, typer.Option(help="File to write \\[default: the model's name with .onnx or .engine].")
    ] = None,
    format: Annotated[
        Format, typer.Option(help="onnx from a checkpoint; or a tensorrt engine from ONNX, on the device itself.")
    ] = Format.onnx,
    head: Annotated[
        Head,
        typer.Option(
            help="logits at the network's stride, upsampled by edgeseg's kernel; or labels of graph or engine."
        ),
    ] = Head.logits,
    refine: Annotated[
        Refine, typer.Option(help="crf: labels by the dense CRF, as a plugin in the graph, for TensorRT alone.")
    ] = Refine.none,
    height: Annotated[int | None, typer.Option(min=8, help="Input height; the model's own if left out.")] = None,
    width: Annotated[int | None, typer.Option(min=8, help="Input width; the model's own if left out.")] = None,
    data: Annotated[
        Path | None, typer.Option(help="Measure the artifact on this dataset and note the mIoU in it.")
    ] = None,
    split: Annotated[str, typer.Option(help="The split of --data.")] = "val",
    license: Annotated[str | None, typer.Option(help="Licence of the weights, noted in the artifact.")] = None,
    trained_on: Annotated[str | None, typer.Option(help="What it was trained on, noted in the artifact.")] = None,
    check: Annotated[
        bool | None,
        typer.Option(
            "--check/--no-check",
            help="Run it beside what it was made from, and fail if they disagree; the default where it can run.",
        ),
    ] = None,
    precision: Annotated[
        EnginePrecision,
        typer.Option(help="fp16 converts the model; int8 takes what edgeseg quantize wrote.", rich_help_panel=_ENGINE),
    ] = EnginePrecision.fp32,
    batch: Annotated[
        str, typer.Option(help="Images at a time: one number, or least,best,most.", rich_help_panel=_ENGINE)
    ] = "1",
    target: Annotated[
        list[str] | None,
        typer.Option(
            "--target",
            help="Compute capability to build for, such as sm86; may be repeated. TensorRT-RTX alone can; "
            "the GPU at hand if left out.",
            rich_help_panel=_ENGINE,
        ),
    ] = None,
    workspace_mib: Annotated[
        int | None, typer.Option(min=1, help="Limit of GPU memory for intermediate values.", rich_help_panel=_ENGINE)
    ] = None,
    dla: Annotated[
        int | None, typer.Option(min=0, help="The DLA core to run on, where there is one.", rich_help_panel=_ENGINE)
    ] = None,
    version_compatible: Annotated[
        bool,
        typer.Option("--version-compatible", help="Runs on later versions of TensorRT too.", rich_help_panel=_ENGINE),
    ] = False,
    hardware_compatibility: Annotated[
        HardwareCompatibility, typer.Option(help="Other GPUs that it runs on too.", rich_help_panel=_ENGINE)
    ] = HardwareCompatibility.none,
    timing_cache: Annotated[
        Path | None,
        typer.Option(help="File of measured kernel times, which shortens the next build.", rich_help_panel=_ENGINE),
    ] = None,
) -> None:
    """Write a checkpoint as ONNX that takes uint8 RGB frames and knows its own classes, or ONNX as an engine.

    The artifact is then run beside what it was made from on the same images
    and the largest difference printed; it fails if they disagree. On your own
    frames, and for speed: edgeseg compare. An engine comes with a .json
    beside it that says what it is; keep the two together.
    """
    from rich.console import Console

    from edgeseg_export import run
    from edgeseg_export.tensorrt.progress import show_build

    console = Console(highlight=False, markup=False, soft_wrap=True)  # paths are shown as they are, in one piece
    shown: Exported | None = None

    def show(exported: Exported) -> None:
        nonlocal shown
        for line in _lines(exported, shown, split):
            console.print(line)
        shown = exported

    exported = run.export(model, on_step=show, building=show_build, **_given(ctx))
    if exported.record is not None:
        return
    if not exported.refined:
        console.print(f"next: edgeseg run --model {exported.path}")
        return
    from edgeseg.runtime.tensorrt.plugins import plugin_library

    library = plugin_library() or "libedgeseg_trt.so"
    console.print(f"next: trtexec --onnx={exported.path} --stronglyTyped --staticPlugins={library}")


def _given(ctx: typer.Context) -> dict[str, Any]:
    """The flags that stand on the command line, as Python takes them; what is left out, is left out there too."""
    given: dict[str, Any] = {}
    for name, value in ctx.params.items():
        if name != "model" and comes_from(ctx, name, "COMMANDLINE"):
            given[name] = value.value if isinstance(value, Enum) else value
    if "batch" in given:
        given["batch"] = _batch(given["batch"])
    if "target" in given:
        given["target"] = tuple(given["target"])
    return given


def _batch(text: str) -> tuple[int, int, int]:
    try:
        sizes = [int(size) for size in text.split(",")]
    except ValueError:
        sizes = []
    if len(sizes) not in (1, 3):
        raise InputError(f"--batch is {text!r}", "Give one number, or three such as 1,1,4")
    return sizes[0], sizes[len(sizes) // 2], sizes[-1]


def _lines(now: Exported, before: Exported | None, split: str) -> Iterator[str]:
    """What a step has brought, in words."""
    if before is None and now.record is not None:
        yield from _engine_lines(now)
    elif before is None and not now.refined:
        height, width = now.spec.input_size
        form = f", INT8 for {now.spec.precision.removeprefix('int8-')}" if now.spec.precision != "fp32" else ""
        yield f"{now.path}  {_megabytes(now.path)}, uint8 {height}x{width} to {now.spec.output}{form}"
    if now.parity is not None and (before is None or before.parity is None):
        yield _parity_line(now)
    if now.expected_agreement is not None and (before is None or before.expected_agreement is None):
        from edgeseg_export.qat import NUDGE

        yield f"{100 * now.expected_agreement:.3f} % agree where its own steps are {100 * NUDGE:g} % wider"
    if now.unchecked:
        yield f"not checked: {now.unchecked}"
    if now.evaluation is not None and (before is None or before.evaluation is None):
        from edgeseg.evaluation.metrics import left_out

        missing = left_out(now.evaluation.confusion.iou(), now.evaluation.class_names)
        miou = 100 * now.evaluation.confusion.miou()
        yield f"mIoU {miou:.2f} % on {split} of {now.evaluation.origin}{f' ({missing})' if missing else ''}"
    if now.refined and now.record is None:
        if not now.tuned:
            note(UNTUNED)
        yield f"{now.path}  labels by the dense CRF, for TensorRT alone, with edgeseg's plugins"


def _engine_lines(exported: Exported) -> Iterator[str]:
    from edgeseg.runtime.tensorrt.module import version_text

    record = exported.record
    assert record is not None
    made_for = record.gpu or ", ".join(record.options.target)
    yield (
        f"{exported.path}  {_megabytes(exported.path)}, {record.options.precision}, "
        f"{record.flavour} {version_text(record.version)} for {made_for}"
    )
    for arrow, tensors in (("in ", record.inputs), ("out", record.outputs)):
        for tensor in tensors:
            shape = "x".join("N" if size == -1 else str(size) for size in tensor.shape)
            yield f"{arrow}  {tensor.name}  {tensor.dtype} {shape}"
    if record.options.head == "labels" and not record.plugins:
        yield f"labels by {record.flavour}'s own Resize and ArgMax, for it does not have edgeseg's plugin"


def _parity_line(exported: Exported) -> str:
    parity = exported.parity
    assert parity is not None
    reference = "PyTorch" if exported.record is None else f"{exported.source.name} on the CPU"
    line = f"parity with {reference} on {parity.images} images: {100 * parity.label_agreement:.3f} % of labels agree"
    if math.isnan(parity.max_abs_logit):
        return line
    return (
        f"{line}, largest logit difference {parity.max_abs_logit_difference:.2g} "
        f"(of logits up to {parity.max_abs_logit:.2g})"
    )


def _megabytes(path: Path) -> str:
    return f"{path.stat().st_size / 1e6:.2f} MB"
