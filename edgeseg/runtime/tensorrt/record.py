"""What an engine of TensorRT has in its record of its own: where and how it was built.

It runs on one version of TensorRT and one kind of GPU. Its record (:mod:`edgeseg.artifact.record`) tells, before
TensorRT is asked, whether it fits this machine, and the command that builds it again. Knows neither TensorRT nor ONNX.
"""

from __future__ import annotations

import hashlib
import json
import re
import shlex
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, get_args

from edgeseg.artifact.record import FORMAT_VERSION, Record, is_sha256, record_path, sha256_of
from edgeseg.artifact.record import read_record as read_any_record
from edgeseg.errors import EdgesegError, InputError, ModelError
from edgeseg.files.cache_folder import cache_folder
from edgeseg.files.documents import is_printable
from edgeseg.files.whole import locked
from edgeseg.runtime.cuda.gpu import Gpu
from edgeseg.runtime.tensorrt.module import TensorRT, version_text
from edgeseg.spec import ModelSpec

BACKEND = "tensorrt"
"""Its name in a record."""

MOST_IMAGES = 1024
"""At a time."""

_REBUILD = "Rebuild the engine from its ONNX file: edgeseg export MODEL.onnx --format tensorrt"

EnginePrecision = Literal["fp32", "fp16", "int8"]
"""Of its arithmetic. A spec's ``Precision`` also tells for which target INT8 is."""

Head = Literal["logits", "labels"]
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
        head: ``labels`` for an engine that upsamples the model's logits and takes the argmax itself; ``logits`` for one
            that returns what the model does.
        extra: options of a newer edgeseg, which were in a record; kept, and passed on.

    Raises:
        InputError: a value is out of range, or two exclude each other.
    """

    precision: EnginePrecision = "fp32"
    batch: tuple[int, int, int] = (1, 1, 1)
    target: tuple[str, ...] = ()
    workspace_mib: int | None = None
    dla: int | None = None
    version_compatible: bool = False
    hardware_compatibility: HardwareCompatibility = "none"
    head: Head = "logits"
    extra: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        words = {"precision": EnginePrecision, "hardware_compatibility": HardwareCompatibility, "head": Head}
        for name, kind in words.items():
            if getattr(self, name) not in get_args(kind):
                raise InputError(f"{name} is {getattr(self, name)!r:.60}", f"Use one of {', '.join(get_args(kind))}")
        if not isinstance(self.batch, tuple) or len(self.batch) != 3 or not all(map(_is_count, self.batch)):
            raise InputError(f"batch is {self.batch!r:.60}", "Give smallest, best and largest, each 1 or more")
        smallest, best, largest = self.batch
        if not 1 <= smallest <= best <= largest <= MOST_IMAGES:
            what = f"Give smallest, best and largest, each 1 to {MOST_IMAGES}, in that order"
            raise InputError(f"batch is {self.batch}", what)
        if not isinstance(self.target, tuple) or not all(map(is_capability, self.target)):
            raise InputError(f"target is {self.target!r:.60}", "Give compute capabilities such as sm86")
        for name, least in (("workspace_mib", 1), ("dla", 0)):
            value = getattr(self, name)
            if value is not None and not (_is_count(value) and least <= value < 1 << 31):
                raise InputError(f"{name} is {value!r:.60}", f"Use {least} or more, or leave it out")
        if not isinstance(self.version_compatible, bool):
            raise InputError(f"version_compatible is {self.version_compatible!r:.60}", "Use True or False")
        if self.dla is not None and self.precision == "fp32":
            raise InputError("a DLA computes in FP16 or INT8 only", "Use the precision fp16")
        if self.dla is not None and smallest != largest:
            raise InputError(f"a DLA takes one batch size, not {smallest} to {largest}", f"Use the batch {best}")

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        values = asdict(self)
        extra = values.pop("extra")
        return {**values, **extra}

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
        if self.head != "logits":
            words += ["--head", self.head]
        return "".join(f" {shlex.quote(word)}" for word in words)


@dataclass(frozen=True)
class TensorInfo:
    """An input or output as TensorRT has it: its name, its type in NumPy's terms, its shape; -1 is free."""

    name: str
    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class EngineRecord:
    """The record of an engine of TensorRT.

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
        extra: what a newer edgeseg, or somebody else, has put beside these; kept, and passed on.
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
    extra: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def rebuild(self, engine: Path) -> str:
        """The sentence that says how to build it again."""
        onnx = shlex.quote(self.onnx)
        output = shlex.quote(str(engine)) if str(engine).isprintable() else "ENGINE"
        return f"Rebuild: edgeseg export {onnx} --format tensorrt{self.options.flags()} --output {output}"

    def to_json(self) -> str:
        """JSON with a line for each key, with the format's version."""
        own = {name: value for name, value in asdict(self).items() if name in _OWN}
        own |= {"options": self.options.to_dict(), **self.extra}
        versions = {self.flavour: version_text(self.version)}
        return Record(BACKEND, self.spec, self.engine_sha256, versions, own).to_json()


_OWN = tuple(one.name for one in fields(EngineRecord) if one.name not in ("spec", "engine_sha256", "extra"))


def read_record(engine: Path) -> EngineRecord:
    """What stands beside an engine of TensorRT.

    Raises:
        ModelError: there is no engine or no record, or the record is damaged, of another format or of another backend.
        SpecError: the spec in it is malformed.
    """
    path = record_path(engine)
    record = read_any_record(engine, _REBUILD)
    if record.backend != BACKEND:
        what = f"{engine} is for the backend {record.backend}, as {path.name} says, not for {BACKEND}"
        raise ModelError(what, "Run it by that backend, or build an engine of TensorRT")
    try:
        return _record(record)
    except _MalformedError as error:
        raise ModelError(f"{path} is malformed: {error}", _REBUILD) from None
    except InputError as error:  # of the options
        raise ModelError(f"{path} is malformed: {error.what}", _REBUILD) from None


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
    return read_fitting(engine, tensorrt, gpu)[0]


def read_fitting(engine: Path, tensorrt: TensorRT, gpu: Gpu) -> tuple[EngineRecord, bytes]:
    """The record of an engine that can run here, and the engine: the very bytes that the record describes.

    Where the two are being replaced just now, this waits for it.

    Raises:
        ModelError, SpecError: as :func:`check_fits`.
    """
    record = read_record(engine)
    if reason := _misfit(record, tensorrt, gpu):
        raise ModelError(f"{engine} {reason}", record.rebuild(engine))
    content = _read(engine)
    if sha256_of(content) == record.engine_sha256:
        return record, content
    with pair_locked(engine):
        record, content = read_record(engine), _read(engine)
    if reason := _misfit(record, tensorrt, gpu):
        raise ModelError(f"{engine} {reason}", record.rebuild(engine))
    if sha256_of(content) != record.engine_sha256:
        what = f"{engine} is not the engine that {record_path(engine).name} describes: truncated, or of another build"
        raise ModelError(what, f"Copy both files again. {record.rebuild(engine)}")
    return record, content


@contextmanager
def pair_locked(engine: Path) -> Iterator[None]:
    """While an engine and its record take their places, which is not done at once, no other process does the same.

    The lock is in the cache folder, so that nothing is left beside the engine; without such a folder nobody waits.
    """
    with ExitStack() as held:
        with suppress(EdgesegError):
            name = hashlib.sha256(str(engine.resolve()).encode(errors="surrogateescape")).hexdigest()[:32]
            held.enter_context(locked(cache_folder("locks") / name))
        yield


def cache_key(onnx_sha256: str, options: BuildOptions, tensorrt: TensorRT, gpu: Gpu | None) -> str:
    """What tells one engine from another: of the model, the options, TensorRT and the GPU (None with a target).

    Returns:
        32 hexadecimal digits.
    """
    parts = [FORMAT_VERSION, onnx_sha256, options.to_dict(), tensorrt.flavour, tensorrt.version, gpu and asdict(gpu)]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]


def file_sha256(path: Path) -> str:
    """SHA-256 of a file in hexadecimal."""
    return sha256_of(_read(path))


def is_capability(text: Any) -> bool:
    """Whether it names a compute capability, such as ``sm86``."""
    return isinstance(text, str) and re.fullmatch(r"sm[0-9]{2,3}", text) is not None


class _MalformedError(Exception):
    """A key of a record that is not what it must be."""


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path} cannot be read ({error.strerror})", "Allow it to be read") from None


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
    if record.gpu is None:
        return "was built for no GPU that its record names"
    same_capability = gpu.compute_capability == record.gpu.compute_capability
    fits = {
        "none": gpu == record.gpu,
        "same_compute_capability": same_capability,
        "ampere_plus": same_capability or int(gpu.compute_capability.removeprefix("sm")) >= 80,
    }[record.options.hardware_compatibility]
    return "" if fits else f"was built on {record.gpu}; this is {gpu}"


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _record(record: Record) -> EngineRecord:
    """A record whose own values have been looked at, each: it may be a stranger's."""
    raw = record.own
    if missing := [name for name in _OWN if name not in raw]:
        raise _MalformedError(f"{missing[0]!r} is missing")

    def take(key: str, fits: Callable[[Any], bool]) -> Any:
        if not fits(raw[key]):
            raise _MalformedError(f"{key} is {raw[key]!r:.60}")
        return raw[key]

    names = {one.name for one in fields(BuildOptions)} - {"extra"}
    options = take("options", lambda value: isinstance(value, dict) and names <= set(value))
    lists = {key: tuple(options[key]) for key in ("batch", "target") if isinstance(options[key], list)}
    known = {name: options[name] for name in names} | lists
    more = {name: value for name, value in options.items() if name not in names}
    gpu = take("gpu", lambda value: value is None or _is_gpu(value))
    return EngineRecord(
        spec=record.spec,
        onnx=take("onnx", _is_name),
        onnx_sha256=take("onnx_sha256", is_sha256),
        engine_sha256=record.engine_sha256,
        flavour=take("flavour", lambda value: value in ("TensorRT", "TensorRT-RTX")),
        version=tuple(take("version", lambda value: _is_list_of(value, _is_count, most=8) and len(value) > 0)),
        gpu=None if gpu is None else Gpu(gpu["name"], gpu["compute_capability"]),
        options=BuildOptions(**known, extra=more),
        plugins=take("plugins", lambda value: isinstance(value, bool)),
        inputs=_tensors(take("inputs", lambda value: _is_list_of(value, _is_tensor, most=16))),
        outputs=_tensors(take("outputs", lambda value: _is_list_of(value, _is_tensor, most=16))),
        extra={name: value for name, value in raw.items() if name not in _OWN},
    )


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and is_printable(value, longest=255)


def _is_gpu(value: Any) -> bool:
    known = isinstance(value, dict) and set(value) == {"name", "compute_capability"}
    return known and _is_name(value["name"]) and is_capability(value["compute_capability"])


def _is_tensor(value: Any) -> bool:
    known = isinstance(value, dict) and set(value) == {"name", "dtype", "shape"}
    return known and all(map(_is_name, (value["name"], value["dtype"]))) and _is_list_of(value["shape"], _is_count, 8)


def _is_list_of(value: Any, fits: Callable[[Any], bool], most: int) -> bool:
    return isinstance(value, list) and len(value) <= most and all(map(fits, value))


def _tensors(raw: list[dict[str, Any]]) -> tuple[TensorInfo, ...]:
    return tuple(TensorInfo(item["name"], item["dtype"], tuple(item["shape"])) for item in raw)
