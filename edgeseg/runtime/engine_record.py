"""What stands beside an engine: ``street.engine.json`` says what the engine is, and where and how it was built.

An engine is opaque and runs on one version of TensorRT and one kind of GPU. Its record tells, before TensorRT is asked,
whether it fits this machine, and the command that builds it again. Knows neither TensorRT nor ONNX.
"""

from __future__ import annotations

import hashlib
import json
import shlex
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal, get_args

from edgeseg.errors import InputError, ModelError
from edgeseg.runtime.gpu import Gpu
from edgeseg.runtime.tensorrt_module import TensorRT, version_text
from edgeseg.spec import ModelSpec

FORMAT_VERSION = 1

Precision = Literal["fp32", "fp16", "int8"]
HardwareCompatibility = Literal["none", "same_compute_capability", "ampere_plus"]


@dataclass(frozen=True)
class BuildOptions:
    """What changes the engine; the flags of ``edgeseg export --format tensorrt`` by the same names.

    Attributes:
        precision: ``fp32``; ``fp16``, converted from the float32 model; ``int8``, from a model that holds Q/DQ.
        batch: smallest, best and largest number of images at a time; the engine is tuned for the middle one.
        target: compute capabilities to build for, such as ``sm86`` (TensorRT-RTX); empty for the GPU at hand.
        workspace_mib: limit of the GPU memory for intermediate values in MiB; None leaves all of it.
        dla: the DLA core to run on, with the GPU for layers that it lacks; None for the GPU alone.
        version_compatible: the engine also runs on later versions of TensorRT, at some cost of speed.
        hardware_compatibility: ``same_compute_capability`` or ``ampere_plus`` for an engine that also runs on other
            such GPUs, at some cost of speed.

    Raises:
        InputError: a value is out of range, or two exclude each other.
    """

    precision: Precision = "fp32"
    batch: tuple[int, int, int] = (1, 1, 1)
    target: tuple[str, ...] = ()
    workspace_mib: int | None = None
    dla: int | None = None
    version_compatible: bool = False
    hardware_compatibility: HardwareCompatibility = "none"

    def __post_init__(self) -> None:
        for name, kind in (("precision", Precision), ("hardware_compatibility", HardwareCompatibility)):
            if getattr(self, name) not in get_args(kind):
                raise InputError(f"{name} is {getattr(self, name)!r}", f"Use one of {', '.join(get_args(kind))}")
        smallest, best, largest = self.batch
        if not 1 <= smallest <= best <= largest:
            raise InputError(f"batch is {self.batch}", "Give smallest, best and largest, each 1 or more, in that order")
        if self.workspace_mib is not None and self.workspace_mib < 1:
            raise InputError(f"workspace_mib is {self.workspace_mib}", "Use 1 or more, or leave it out")
        if self.dla is not None and self.precision == "fp32":
            raise InputError("a DLA computes in FP16 or INT8 only", "Add --precision fp16")
        if self.dla is not None and smallest != largest:
            raise InputError(f"a DLA takes one batch size, not {smallest} to {largest}", f"Use --batch {best}")

    def flags(self) -> str:
        """As the command line takes them, with a space before the first; empty where all are defaults."""
        words = []
        if self.precision != "fp32":
            words += ["--precision", self.precision]
        if self.batch != (1, 1, 1):
            words += ["--batch", ",".join(map(str, self.batch))]
        for target in self.target:
            words += ["--target", target]
        if self.workspace_mib is not None:
            words += ["--workspace-mib", str(self.workspace_mib)]
        if self.dla is not None:
            words += ["--dla", str(self.dla)]
        if self.version_compatible:
            words.append("--version-compatible")
        if self.hardware_compatibility != "none":
            words += ["--hardware-compatibility", self.hardware_compatibility]
        return "".join(f" {word}" for word in words)


@dataclass(frozen=True)
class TensorInfo:
    """An input or output as TensorRT has it: its name, its type in NumPy's terms, its shape; -1 is free."""

    name: str
    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class EngineRecord:
    """The JSON beside an engine.

    Attributes:
        spec: the model's own spec.
        onnx: name of the ONNX file it was built from, without its folder.
        onnx_sha256: of that file.
        engine_sha256: of the engine, so that a damaged one is told from a strange one.
        flavour: ``TensorRT`` or ``TensorRT-RTX``.
        version: of TensorRT, all its parts.
        gpu: the GPU it was built on; None where it was built for ``options.target``.
        options: how it was built.
        plugins: whether edgeseg's plugins are in it, so that they must be loaded before it.
        inputs: what the engine takes.
        outputs: what it returns.
    """

    spec: ModelSpec
    onnx: str
    onnx_sha256: str
    engine_sha256: str
    flavour: str
    version: tuple[int, ...]
    gpu: Gpu | None
    options: BuildOptions
    plugins: bool
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]

    def rebuild(self, engine: Path) -> str:
        """The sentence that says how to build it again."""
        onnx, output = shlex.quote(self.onnx), shlex.quote(str(engine))
        return f"Rebuild: edgeseg export {onnx} --format tensorrt{self.options.flags()} --output {output}"

    def to_json(self) -> str:
        """JSON with a line for each key, with the format's version."""
        values = {"format": FORMAT_VERSION, **asdict(self), "spec": json.loads(self.spec.to_json())}
        return (
            "{\n" + ",\n".join(f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in values.items()) + "\n}\n"
        )


def record_path(engine: Path) -> Path:
    """Where the record of an engine is: ``street.engine.json`` beside ``street.engine``."""
    return engine.with_name(engine.name + ".json")


def read_record(engine: Path) -> EngineRecord:
    """What stands beside an engine.

    Raises:
        ModelError: there is no engine or no record, or the record is damaged or of another format.
        SpecError: the spec in it is malformed.
    """
    path = record_path(engine)
    if not engine.is_file():
        raise ModelError(f"there is no engine {engine}", "Correct the path")
    rebuild = "Rebuild the engine from its ONNX file: edgeseg export MODEL.onnx --format tensorrt"
    try:
        raw: Any = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        what = f"{path.name} is not beside {engine}: it says what the engine is"
        raise ModelError(what, f"Copy both files. {rebuild}") from None
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} cannot be read ({error})", rebuild) from None
    if not isinstance(raw, dict) or raw.pop("format", None) != FORMAT_VERSION:
        raise ModelError(f"{path} is of another format than {FORMAT_VERSION}, which this edgeseg reads", rebuild)
    try:
        if set(raw) != {field.name for field in fields(EngineRecord)}:
            raise ValueError(f"it has the keys {sorted(raw)}")
        options = raw["options"] | {key: tuple(raw["options"][key]) for key in ("batch", "target")}
        return EngineRecord(
            **{
                **raw,
                "spec": ModelSpec.from_json(json.dumps(raw["spec"]), str(path)),
                "version": tuple(int(number) for number in raw["version"]),
                "gpu": None if raw["gpu"] is None else Gpu(**raw["gpu"]),
                "options": BuildOptions(**options),
                "inputs": _tensors(raw["inputs"]),
                "outputs": _tensors(raw["outputs"]),
            }
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        if isinstance(error, ModelError | InputError):
            raise
        raise ModelError(f"{path} is malformed ({error})", rebuild) from None


def check_fits(engine: Path, tensorrt: TensorRT, gpu: Gpu) -> EngineRecord:
    """The record of an engine that can run here.

    Args:
        engine: the engine.
        tensorrt: the TensorRT of this machine.
        gpu: the GPU of this machine.

    Raises:
        ModelError: it was built for another GPU or version, or it is damaged; the message says how to rebuild it.
        SpecError: the spec in its record is malformed.
    """
    record = read_record(engine)
    if reason := _misfit(record, tensorrt, gpu):
        raise ModelError(f"{engine} {reason}", record.rebuild(engine))
    if file_sha256(engine) != record.engine_sha256:
        what = f"{engine} is not the engine that {record_path(engine).name} describes: truncated, or of another build"
        raise ModelError(what, f"Copy both files again. {record.rebuild(engine)}")
    return record


def cache_key(onnx_sha256: str, options: BuildOptions, tensorrt: TensorRT, gpu: Gpu | None) -> str:
    """What tells one engine from another: of the model, the options, TensorRT and the GPU (None with a target).

    Returns:
        32 hexadecimal digits.
    """
    parts = [FORMAT_VERSION, onnx_sha256, asdict(options), tensorrt.flavour, tensorrt.version, gpu and asdict(gpu)]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]


def file_sha256(path: Path) -> str:
    """SHA-256 of a file in hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _misfit(record: EngineRecord, tensorrt: TensorRT, gpu: Gpu) -> str:
    """Why it does not run here; empty where it does."""
    built = f"{record.flavour} {version_text(record.version)}"
    if record.flavour != tensorrt.flavour:
        return f"was built by {built}; this is {tensorrt}"
    if record.version != tensorrt.version and not (
        record.options.version_compatible and record.version < tensorrt.version
    ):
        return f"was built by {built}; this is {tensorrt}"
    if record.options.target:
        if gpu.compute_capability not in record.options.target:
            return f"was built for {', '.join(record.options.target)}; this is {gpu}"
        return ""
    assert record.gpu is not None
    same_capability = gpu.compute_capability == record.gpu.compute_capability
    fits = {
        "none": gpu == record.gpu,
        "same_compute_capability": same_capability,
        "ampere_plus": same_capability or int(gpu.compute_capability.removeprefix("sm")) >= 80,
    }[record.options.hardware_compatibility]
    return "" if fits else f"was built on {record.gpu}; this is {gpu}"


def _tensors(raw: list[dict[str, Any]]) -> tuple[TensorInfo, ...]:
    return tuple(TensorInfo(item["name"], item["dtype"], tuple(item["shape"])) for item in raw)
