"""``edgeseg export``: from a checkpoint to ONNX, and from ONNX to a TensorRT engine."""

from __future__ import annotations

import math
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgeseg.errors import DatasetError, InputError, ModelError

if TYPE_CHECKING:
    from rich.console import Console

    from edgeseg.data.dataset import Dataset
    from edgeseg.evaluation.parity import Parity
    from edgeseg.runtime.tensorrt.record import BuildOptions, EngineRecord
    from edgeseg.spec import ModelSpec

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
_ENGINE_FLAGS = (
    *("precision", "batch", "targets", "workspace_mib", "dla"),
    *("version_compatible", "hardware_compatibility", "timing_cache"),
)
_SHARED_FLAGS = ("model", "output", "format", "head", "refine", "check")


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
    targets: Annotated[
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
    _refuse_flags_of_the_other_format(ctx, format)
    if refine is Refine.crf and head is Head.labels:
        raise InputError("--refine crf needs logits", "Leave out --head: labels are what the CRF returns")
    if format is Format.tensorrt:
        from edgeseg.runtime.tensorrt.record import BuildOptions

        options = BuildOptions(
            precision=precision.value,
            batch=_batch(batch),
            target=tuple(targets or ()),
            workspace_mib=workspace_mib,
            dla=dla,
            version_compatible=version_compatible,
            hardware_compatibility=hardware_compatibility.value,
            head=head.value,
        )
        _export_engine(model, output, options, timing_cache, refine, check)
        return
    target = output or model.with_name(f"{model.stem}-crf.onnx" if refine is Refine.crf else f"{model.stem}.onnx")
    if target.suffix.lower() != ".onnx":
        raise InputError(f"{target} does not end in .onnx", "Correct --output")

    from dataclasses import replace

    from rich.console import Console

    if refine is Refine.crf and model.suffix.lower() != ".pt":
        _insert_crf(model, target, Console(highlight=False, markup=False, soft_wrap=True))
        return

    from edgeseg.data.dataset import Dataset
    from edgeseg.files.whole import keep_apart
    from edgeseg.models.checkpoint import load_network
    from edgeseg.models.network import count_macs
    from edgeseg.train.qat import read_learned
    from edgeseg_export.onnx import export_onnx
    from edgeseg_export.qat import export_quantized

    console = Console(highlight=False, markup=False, soft_wrap=True)  # paths are shown as they are, in one piece
    keep_apart([target], [model] if data is None else [model, data])
    network, spec = load_network(model)
    size = (height or spec.input_size[0], width or spec.input_size[1])
    network.check_size(size)
    dataset = Dataset.load(data) if data is not None else None
    if dataset is not None:
        dataset.split(split)  # a wrong name is found now, not after the export
        read = [file for sample in dataset.split(split).samples() for file in (sample.image, sample.label)]
        keep_apart([target], [dataset.path, *read])
    if size != spec.input_size or head.value != spec.output:
        spec = spec.unmeasured()
    spec = replace(
        spec,
        output=head.value,
        input_size=size,
        license=spec.license if license is None else license,
        data=spec.data if trained_on is None else trained_on,
        crf=spec.crf if size == spec.input_size else None,  # its sigmas are pixels of the other size
    ).with_metrics(macs=count_macs(network, size))
    learned = read_learned(model)
    spec = export_onnx(model, target, spec=spec) if learned is None else export_quantized(model, target, spec=spec)
    form = "" if learned is None else f", INT8 for {learned.target}"
    console.print(f"{target}  {target.stat().st_size / 1e6:.2f} MB, uint8 {size[0]}x{size[1]} to {spec.output}{form}")
    if check is not False:
        _check_onnx(model, target, spec, console)
    if dataset is not None:
        _note_miou(target, dataset, split, console)
    if refine is Refine.crf:
        _insert_crf(target, target, console, made_here=True)
        return
    console.print(f"next: edgeseg run --model {target}")


def _check_onnx(model: Path, target: Path, spec: ModelSpec, console: Console) -> None:
    """Run the ONNX file beside the checkpoint in PyTorch, which rounds as in training where it was for INT8."""
    from dataclasses import replace

    from edgeseg.evaluation.parity import compare, probe_images
    from edgeseg.runtime.backend import Backend
    from edgeseg.runtime.registry import open_backend
    from edgeseg_export.qat import NUDGE, TOLERANCE, FakeQuantizedBackend, expected_agreement

    reference: Backend = (
        open_backend(model, backend="pytorch")
        if spec.precision == "fp32"
        else FakeQuantizedBackend(model, spec.input_size)
    )
    artifact = open_backend(target)
    reference.spec = replace(reference.spec, input_size=spec.input_size)
    parity = compare(reference, artifact, ((image, None) for image in probe_images(spec.input_size)))
    console.print(_parity_line(parity, "PyTorch"))
    if isinstance(reference, FakeQuantizedBackend):
        expected = expected_agreement(reference)
        console.print(f"{100 * expected:.3f} % agree where its own steps are {100 * NUDGE:g} % wider")
        holds = parity.label_agreement >= expected - TOLERANCE
    else:
        holds = parity.holds()
    if not holds:
        raise ModelError(f"{target} does not do what {model} does", "Report it with both files")


def _check_built(engine: Path, source: Path, record: EngineRecord, check: bool | None, console: Console) -> None:
    """Run the engine beside its ONNX file, where that is possible or asked for."""
    from edgeseg.errors import EdgesegError, MissingDependencyError
    from edgeseg.runtime.cuda.gpu import find_gpu
    from edgeseg.runtime.tensorrt.module import find_tensorrt
    from edgeseg.runtime.tensorrt.record import check_fits
    from edgeseg_export.tensorrt.check import AGREEMENT, check_engine

    try:
        check_fits(engine, find_tensorrt(), find_gpu())
    except EdgesegError as error:
        if check:
            raise
        console.print(f"not checked: {error.what}")
        return
    try:
        parity = check_engine(engine, source, record)
    except MissingDependencyError as error:
        if check:
            raise
        console.print(f"not checked: {error}")
        return
    console.print(_parity_line(parity, f"{source.name} on the CPU"))
    if parity.label_agreement < AGREEMENT[record.options.precision]:
        raise ModelError(f"{engine} does not do what {source} does", "Report it with both files")


def _parity_line(parity: Parity, reference: str) -> str:
    line = f"parity with {reference} on {parity.images} images: {100 * parity.label_agreement:.3f} % of labels agree"
    if math.isnan(parity.max_abs_logit):
        return line
    return (
        f"{line}, largest logit difference {parity.max_abs_logit_difference:.2g} "
        f"(of logits up to {parity.max_abs_logit:.2g})"
    )


def _insert_crf(model: Path, target: Path, console: Console, made_here: bool = False) -> None:
    """Last, for nothing but TensorRT can run the artifact from then on; in place of one that was made for it."""
    import sys

    from edgeseg import weights
    from edgeseg.artifact.onnx import read_spec
    from edgeseg.cli.open_model import UNTUNED
    from edgeseg.files.whole import keep_apart
    from edgeseg.runtime.tensorrt.plugins import plugin_library
    from edgeseg_export.tensorrt.crf_node import insert_crf

    source = weights.find(model)
    if not made_here:
        keep_apart([target], [source])
    spec = read_spec(source)
    insert_crf(source, target)
    if spec.crf is None:
        print(f"edgeseg: {UNTUNED}", file=sys.stderr)
    console.print(f"{target}  labels by the dense CRF, for TensorRT alone, with edgeseg's plugins")
    library = plugin_library() or "libedgeseg_trt.so"
    console.print(f"next: trtexec --onnx={target} --stronglyTyped --staticPlugins={library}")


def _refuse_flags_of_the_other_format(ctx: typer.Context, format: Format) -> None:
    """A flag that would do nothing is a mistake; it is said rather than ignored."""
    engine = format is Format.tensorrt
    foreign = [name for name in ctx.params if name not in _SHARED_FLAGS and (name in _ENGINE_FLAGS) != engine]
    given = [name for name in foreign if getattr(ctx.get_parameter_source(name), "name", "") == "COMMANDLINE"]
    if given:
        other = Format.onnx if engine else Format.tensorrt
        flag = "--" + given[0].removesuffix("s").replace("_", "-")
        raise InputError(f"{flag} belongs to --format {other.value}", f"Leave it out, or use --format {other.value}")


def _batch(text: str) -> tuple[int, int, int]:
    try:
        sizes = [int(size) for size in text.split(",")]
    except ValueError:
        sizes = []
    if len(sizes) not in (1, 3):
        raise InputError(f"--batch is {text!r}", "Give one number, or three such as 1,1,4")
    return sizes[0], sizes[len(sizes) // 2], sizes[-1]


def _export_engine(
    model: Path,
    output: Path | None,
    options: BuildOptions,
    timing_cache: Path | None,
    refine: Refine,
    check: bool | None,
) -> None:
    from edgeseg import weights

    if output is not None and output.suffix.lower() != ".engine":
        raise InputError(f"{output} does not end in .engine", "Correct --output")
    source = weights.find(model)
    target = output or Path(model if source == model else model.name).with_suffix(".engine")

    from tempfile import TemporaryDirectory

    from rich.console import Console

    from edgeseg.files.whole import keep_apart
    from edgeseg.runtime.tensorrt.module import find_tensorrt, version_text
    from edgeseg.runtime.tensorrt.plugins import load_plugins
    from edgeseg.runtime.tensorrt.record import record_path
    from edgeseg_export.tensorrt.crf_node import insert_crf
    from edgeseg_export.tensorrt.engine import build_engine
    from edgeseg_export.tensorrt.progress import show_build

    with TemporaryDirectory() as folder, show_build() as progress:
        graph = source
        keep_apart([target, record_path(target), *([timing_cache] if timing_cache else [])], [source])
        if timing_cache is not None:
            keep_apart([timing_cache], [target, record_path(target)])
        if refine is Refine.crf:
            load_plugins(find_tensorrt())
            graph = Path(folder) / source.name
            insert_crf(source, graph)
        record = build_engine(graph, target, options, timing_cache=timing_cache, progress=progress)
    console = Console(highlight=False, markup=False, soft_wrap=True)
    made_for = record.gpu or ", ".join(record.options.target)
    console.print(
        f"{target}  {target.stat().st_size / 1e6:.2f} MB, {options.precision}, "
        f"{record.flavour} {version_text(record.version)} for {made_for}"
    )
    for arrow, tensors in (("in ", record.inputs), ("out", record.outputs)):
        for tensor in tensors:
            shape = "x".join("N" if size == -1 else str(size) for size in tensor.shape)
            console.print(f"{arrow}  {tensor.name}  {tensor.dtype} {shape}")
    if options.head == "labels" and not record.plugins:
        console.print(f"labels by {record.flavour}'s own Resize and ArgMax, for it does not have edgeseg's plugin")
    if check is not False:
        _check_built(target, source, record, check, console)


def _note_miou(artifact: Path, dataset: Dataset, split: str, console: Console) -> None:
    """Measure the artifact itself, not the checkpoint, and store the figure in its spec."""
    from edgeseg.evaluation.evaluate import evaluate
    from edgeseg.evaluation.metrics import left_out
    from edgeseg.segmenter import Segmenter
    from edgeseg_export.artifact import rewrite_spec

    with Segmenter.open(artifact, backend="ort") as segmenter:
        confusion = evaluate(segmenter, dataset, split).confusion
        miou = confusion.miou()
        if math.isnan(miou):
            raise DatasetError(f"no pixel of split {split} of {dataset.path} is labelled", "Choose another --split")
        rewrite_spec(artifact, segmenter.spec.with_metrics(val_miou=miou))
    missing = left_out(confusion.iou(), dataset.names)
    console.print(f"mIoU {100 * miou:.2f} % on {split} of {dataset.path}{f' ({missing})' if missing else ''}")
