"""What ``edgeseg export`` does: from a checkpoint to an ONNX artifact, checked and measured, or from ONNX to an engine.

torch is imported where there is a checkpoint; from ONNX to an engine it is not needed.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Literal, get_args

from edgeseg import weights
from edgeseg.artifact.record import record_path
from edgeseg.data.dataset import Dataset
from edgeseg.errors import DatasetError, EdgesegError, InputError, MissingDependencyError, ModelError
from edgeseg.evaluation.evaluate import Evaluation, dataset_of, evaluate
from edgeseg.evaluation.parity import Parity, compare, probe_images
from edgeseg.files.whole import keep_apart
from edgeseg.runtime.tensorrt.record import BuildOptions, EnginePrecision, EngineRecord, HardwareCompatibility, Head
from edgeseg.spec import ModelSpec

if TYPE_CHECKING:
    from edgeseg.models.checkpoint import Checkpoint
    from edgeseg.runtime.backend import Backend
    from edgeseg_export.tensorrt.progress import BuildProgress

Format = Literal["onnx", "tensorrt"]
Refine = Literal["none", "crf"]

_OF_ONNX = ("height", "width", "data", "split", "license", "trained_on")
_OF_ENGINES = (
    *("precision", "batch", "target", "workspace_mib", "dla"),
    *("version_compatible", "hardware_compatibility", "timing_cache"),
)

_LEAST_SIDE_PX = 8


@dataclass(frozen=True, eq=False)
class Exported:
    """What an export has made, as far as it has come.

    Attributes:
        path: the artifact.
        source: what it was made from.
        spec: what the artifact says of itself.
        record: what stands beside an engine; None for ONNX.
        parity: how far it agrees with what it was made from; None before that was looked at, or where it was not.
        expected_agreement: of the labels, where both round to INT8; see ``edgeseg_export.qat.expected_agreement``.
        unchecked: why there is no parity although nobody said ``check=False``; empty else.
        evaluation: of the artifact on the data set; None without one.
        refined: whether labels are made by the dense CRF in the graph, for TensorRT alone.
        tuned: whether that has parameters that were fitted to the model.
    """

    path: Path
    source: Path
    spec: ModelSpec
    record: EngineRecord | None = None
    parity: Parity | None = None
    expected_agreement: float | None = None
    unchecked: str = ""
    evaluation: Evaluation | None = None
    refined: bool = False
    tuned: bool = False


OnStep = Callable[[Exported], None]
"""Is told after each step what there is by then."""


def _unseen(_: Exported) -> None:
    """Nobody watches."""


def export(
    model: str | Path,
    *,
    output: str | Path | None = None,
    format: Format = "onnx",
    head: Head | None = None,
    refine: Refine = "none",
    height: int | None = None,
    width: int | None = None,
    data: Dataset | str | Path | None = None,
    split: str | None = None,
    license: str | None = None,
    trained_on: str | None = None,
    check: bool | None = None,
    precision: EnginePrecision | None = None,
    batch: int | tuple[int, int, int] | None = None,
    target: tuple[str, ...] | None = None,
    workspace_mib: int | None = None,
    dla: int | None = None,
    version_compatible: bool | None = None,
    hardware_compatibility: HardwareCompatibility | None = None,
    timing_cache: str | Path | None = None,
    on_step: OnStep = _unseen,
    building: Callable[[], AbstractContextManager[BuildProgress | None]] = nullcontext,
) -> Exported:
    """Write a checkpoint as an ONNX artifact, or ONNX as an engine of TensorRT; the flags of ``edgeseg export``.

    The artifact is then run beside what it was made from.

    >>> export("runs/mine/model.pt", data="my_data").evaluation.confusion.miou()

    Args:
        model: the model.pt or best.pt of a training run; an ONNX file for an engine, or to put the CRF into it.
        output: the file to write; None for the model's name with .onnx or .engine.
        format: ``onnx``, or ``tensorrt``, on the device itself.
        head: ``logits`` at the network's stride, which None means too, or ``labels`` of graph or engine.
        refine: ``crf``: labels by the dense CRF, as a plugin in the graph, for TensorRT alone.
        height, width: of the input in pixels; None for the model's own.
        data: a data set to measure the artifact on, or where it is; the mIoU is noted in the artifact.
        split: of the data set; None for ``val``.
        license, trained_on: noted in the artifact; None for what the checkpoint says.
        check: False leaves out the comparison; True has what keeps an engine from running here raised.
        precision, batch, target, workspace_mib, dla, version_compatible, hardware_compatibility: see
            :class:`edgeseg.runtime.tensorrt.record.BuildOptions`; one number of images is all three of ``batch``.
        timing_cache: see :func:`edgeseg_export.tensorrt.engine.build_engine`.
        on_step: is told after each step what there is by then.
        building: a context in which an engine is built, and that shows how far it is.

    Raises:
        InputError: an argument of the other format, or one out of range; or a file would be written over.
        ModelError: the model cannot be read or exported, or the artifact does not do what the model does.
        SpecError: an ONNX file carries no spec.
        DatasetError: the data cannot be used.
        SinkError: the artifact cannot be written.
        MissingDependencyError: a package that the export needs.
    """
    options: dict[str, Any] = {name: value for name, value in locals().items() if value is not None}
    for name, kind in (("format", Format), ("refine", Refine), ("head", Head)):
        if options.get(name, get_args(kind)[0]) not in get_args(kind):
            raise InputError(f"{name} is {options[name]!r:.60}", f"Use one of {', '.join(get_args(kind))}")
    other: Format = "onnx" if format == "tensorrt" else "tensorrt"
    for name in _OF_ONNX if format == "tensorrt" else _OF_ENGINES:
        if name in options:
            raise InputError(f"{name} belongs to the format {other}", f"Leave it out, or use the format {other}")
    for name, side in (("height", height), ("width", width)):
        if side is not None and side < _LEAST_SIDE_PX:
            raise InputError(f"{name} is {side}", f"Use {_LEAST_SIDE_PX} or more, or leave it out")
    model, wanted = Path(model), Path(output) if output is not None else None
    if refine == "crf" and head == "labels":
        raise InputError("refine crf needs logits", "Leave out head: labels are what the CRF returns")
    if format == "tensorrt":
        build = {name: options[name] for name in _OF_ENGINES if name in options and name != "timing_cache"}
        if head is not None:
            build["head"] = head
        if isinstance(batch, int):
            build["batch"] = (batch,) * 3
        cache = Path(timing_cache) if timing_cache is not None else None
        return _export_engine(model, wanted, BuildOptions(**build), cache, refine, check, on_step, building)
    target_path = wanted or model.with_name(f"{model.stem}-crf.onnx" if refine == "crf" else f"{model.stem}.onnx")
    if target_path.suffix.lower() != ".onnx":
        raise InputError(f"{target_path} does not end in .onnx", "Correct output")
    if refine == "crf" and model.suffix.lower() != ".pt":
        source = weights.find(model)
        keep_apart([target_path], [source])
        return _with_crf(source, target_path, on_step)
    changes = {"output": head or "logits", "license": license, "data": trained_on}
    exported = _export_checkpoint(
        model,
        target_path,
        {name: value for name, value in changes.items() if value is not None},
        sides=(height, width),
        data=data,
        split=split or "val",
        check=check is not False,
        on_step=on_step,
    )
    # Last, for nothing but TensorRT can run the artifact from then on.
    return exported if refine == "none" else _with_crf(target_path, target_path, on_step, exported)


def _export_checkpoint(
    model: Path,
    target: Path,
    changes: dict[str, Any],
    *,
    sides: tuple[int | None, int | None],
    data: Dataset | str | Path | None,
    split: str,
    check: bool,
    on_step: OnStep,
) -> Exported:
    from edgeseg.models.checkpoint import read_checkpoint
    from edgeseg.models.network import count_macs
    from edgeseg.train.qat import read_learned
    from edgeseg_export.onnx import export_onnx
    from edgeseg_export.qat import export_quantized

    keep_apart([target], [model] if data is None or isinstance(data, Dataset) else [model, Path(data)])
    checkpoint = read_checkpoint(model)
    network, spec = checkpoint.network(), checkpoint.spec
    size = (sides[0] or spec.input_size[0], sides[1] or spec.input_size[1])
    network.check_size(size)
    dataset = dataset_of(data) if data is not None else None
    if dataset is not None:  # a wrong name of a split is found now, not after the export
        keep_apart([target], dataset.files(split))
    if size != spec.input_size:
        changes = {**changes, "input_size": size, "crf": None}  # its sigmas are pixels of the other size
    if size != spec.input_size or changes["output"] != spec.output:
        spec = spec.unmeasured()
    spec = replace(spec, **changes).with_metrics(macs=count_macs(network, size))
    write = export_onnx if read_learned(checkpoint) is None else export_quantized
    exported = Exported(target, model, write(checkpoint, target, spec=spec))
    on_step(exported)
    if check:
        exported = _checked(exported, checkpoint, on_step)
    if dataset is not None:
        exported = _measured(exported, dataset, split)
        on_step(exported)
    return exported


def _checked(exported: Exported, checkpoint: Checkpoint, on_step: OnStep) -> Exported:
    """Run the ONNX file beside the checkpoint in PyTorch, which rounds as in training where it was for INT8."""
    from edgeseg.runtime.pytorch import PytorchBackend
    from edgeseg.runtime.registry import open_backend
    from edgeseg_export.qat import TOLERANCE, FakeQuantizedBackend, expected_agreement

    size, expected = exported.spec.input_size, None
    reference: Backend
    if exported.spec.precision == "fp32":
        reference = PytorchBackend(checkpoint)
        reference.spec = replace(reference.spec, input_size=size)
    else:
        reference = FakeQuantizedBackend(checkpoint, size)
    artifact = open_backend(exported.path)
    try:
        parity = compare(reference, artifact, ((image, None) for image in probe_images(size)))
    finally:
        artifact.close()
        reference.close()
    exported = replace(exported, parity=parity)
    on_step(exported)
    holds = parity.holds()
    if isinstance(reference, FakeQuantizedBackend):
        expected = expected_agreement(reference)
        exported = replace(exported, expected_agreement=expected)
        on_step(exported)
        holds = parity.label_agreement >= expected - TOLERANCE
    return _held(exported, holds)


def _measured(exported: Exported, dataset: Dataset, split: str) -> Exported:
    """Measure the artifact itself, not the checkpoint, and store the figure in its spec."""
    from edgeseg.artifact.onnx import rewrite_spec
    from edgeseg.segmenter import Segmenter

    with Segmenter.open(exported.path, backend="ort") as segmenter:
        evaluation = evaluate(segmenter, dataset, split)
    miou = evaluation.confusion.miou()
    if math.isnan(miou):
        raise DatasetError(f"no pixel of split {split} of {dataset.path} is labelled", "Choose another split")
    spec = exported.spec.with_metrics(val_miou=miou)
    rewrite_spec(exported.path, spec)
    return replace(exported, spec=spec, evaluation=evaluation)


def _with_crf(source: Path, target: Path, on_step: OnStep, made: Exported | None = None) -> Exported:
    """The CRF put into a graph, in place of one that was made for it."""
    from edgeseg.artifact.onnx import read_spec
    from edgeseg_export.tensorrt.crf_node import insert_crf

    tuned = (read_spec(source) if made is None else made.spec).crf is not None
    spec = insert_crf(source, target)
    exported = replace(made or Exported(target, source, spec), spec=spec, refined=True, tuned=tuned)
    on_step(exported)
    return exported


def _export_engine(
    model: Path,
    output: Path | None,
    options: BuildOptions,
    timing_cache: Path | None,
    refine: Refine,
    check: bool | None,
    on_step: OnStep,
    building: Callable[[], AbstractContextManager[BuildProgress | None]],
) -> Exported:
    if output is not None and output.suffix.lower() != ".engine":
        raise InputError(f"{output} does not end in .engine", "Correct output")
    source = weights.find(model)
    target = output or Path(model if source == model else model.name).with_suffix(".engine")

    from edgeseg.runtime.tensorrt.module import find_tensorrt
    from edgeseg.runtime.tensorrt.plugins import load_plugins
    from edgeseg_export.tensorrt.crf_node import insert_crf
    from edgeseg_export.tensorrt.engine import build_engine

    with TemporaryDirectory(prefix="edgeseg-") as folder, building() as progress:
        graph = source
        keep_apart([target, record_path(target), *([timing_cache] if timing_cache else [])], [source])
        if timing_cache is not None:
            keep_apart([timing_cache], [target, record_path(target)])
        if refine == "crf":
            load_plugins(find_tensorrt())
            graph = Path(folder) / source.name
            insert_crf(source, graph)
        record = build_engine(graph, target, options, timing_cache=timing_cache, progress=progress)
    exported = Exported(target, source, record.spec, record, refined=refine == "crf")
    on_step(exported)
    return exported if check is False else _checked_engine(exported, record, bool(check), on_step)


def _checked_engine(exported: Exported, record: EngineRecord, must: bool, on_step: OnStep) -> Exported:
    """Run the engine beside its ONNX file, where that is possible or must be."""
    from edgeseg.runtime.cuda.gpu import find_gpu
    from edgeseg.runtime.tensorrt.module import find_tensorrt
    from edgeseg.runtime.tensorrt.record import check_fits
    from edgeseg_export.tensorrt.check import AGREEMENT, check_engine

    unchecked = ""
    try:
        check_fits(exported.path, find_tensorrt(), find_gpu())
    except EdgesegError as error:
        if must:
            raise
        unchecked = error.what
    if not unchecked:
        try:
            exported = replace(exported, parity=check_engine(exported.path, exported.source, record))
        except MissingDependencyError as error:
            if must:
                raise
            unchecked = str(error)
    exported = replace(exported, unchecked=unchecked)
    on_step(exported)
    parity = exported.parity
    return _held(exported, parity is None or parity.label_agreement >= AGREEMENT[record.options.precision])


def _held(exported: Exported, holds: bool) -> Exported:
    if not holds:
        raise ModelError(f"{exported.path} does not do what {exported.source} does", "Report it with both files")
    return exported
