"""An ONNX artifact becomes a TensorRT engine, on the device itself; one path for TensorRT and TensorRT-RTX. No torch.

Networks are strongly typed: the precision is that of the ONNX file's tensors and Q/DQ pairs. TensorRT 11 knows nothing
else, and 10 can do it too.
"""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx

from edgeseg.artifact.onnx import look_through, spec_in
from edgeseg.artifact.record import record_path, sha256_of
from edgeseg.errors import EdgesegError, InputError, ModelError
from edgeseg.files.cache_folder import cache_folder
from edgeseg.files.documents import is_printable
from edgeseg.files.whole import keep_apart, locked, written_whole
from edgeseg.runtime.cuda.gpu import Gpu, find_gpu
from edgeseg.runtime.tensorrt.log import ErrorLog, one_line
from edgeseg.runtime.tensorrt.module import TensorRT, find_tensorrt
from edgeseg.runtime.tensorrt.plugins import DOMAIN as PLUGIN_DOMAIN
from edgeseg.runtime.tensorrt.plugins import has_plugins, load_plugins
from edgeseg.runtime.tensorrt.record import (
    BuildOptions,
    EngineRecord,
    TensorInfo,
    cache_key,
    check_fits,
    file_sha256,
    pair_locked,
)
from edgeseg.runtime.tensorrt.trust import note_built, was_built_here
from edgeseg.weights import check_model_file
from edgeseg_export.tensorrt.graph import prepare, read_onnx
from edgeseg_export.tensorrt.labels import decide_labels
from edgeseg_export.tensorrt.progress import BuildProgress, show_build

_NUMPY_NAMES = {"FLOAT": "float32", "HALF": "float16", "BF16": "bfloat16"}
"""Where TensorRT's name of a type is not NumPy's in capitals."""


def build_engine(
    onnx_path: Path,
    output: Path,
    options: BuildOptions | None = None,
    *,
    timing_cache: Path | None = None,
    progress: BuildProgress | None = None,
) -> EngineRecord:
    """Build an engine and write it with its record beside it, both or neither.

    Args:
        onnx_path: an ONNX file that ``edgeseg export`` or ``edgeseg quantize`` wrote.
        output: the engine to write.
        options: how to build it; None for float32, one image at a time.
        timing_cache: a file of measured kernel times, read where it exists and written after the build, which makes
            the next build shorter; it belongs to one GPU and version. TensorRT-RTX measures nothing and ignores it.
        progress: is told how far the build has come.

    Returns:
        The record that stands beside the engine.

    Raises:
        InputError: the options do not suit the model or this TensorRT.
        ModelError: the model cannot be read, TensorRT cannot take it, or the build failed.
        SpecError: the model carries no spec.
        SinkError: the engine cannot be written.
        MissingDependencyError: there is no TensorRT, or no NVIDIA driver where one is needed.
        EdgesegError: there is no GPU where one is needed.
    """
    tensorrt = find_tensorrt()
    options, gpu = _for_this_machine(options or BuildOptions(), tensorrt)
    return _build(onnx_path, output, options, tensorrt, gpu, timing_cache, progress)


def cached_engine(
    onnx_path: Path,
    options: BuildOptions | None = None,
    *,
    progress: BuildProgress | None = None,
    waiting: Callable[[], None] = lambda: None,
) -> Path:
    """The engine of an ONNX file for this machine: built on first use, found in the cache after.

    The cache is ``edgeseg/engines`` in ``$XDG_CACHE_HOME`` or ``~/.cache``. Another model, option, TensorRT or GPU
    makes another engine; one that is damaged, or that was not built here, is built again. Where another process is
    building it, this waits for that.

    Args:
        onnx_path: the artifact.
        options: how to build it; None for float32, one image at a time.
        progress: is told how far a build has come.
        waiting: called before this waits for another process.

    Raises:
        EdgesegError: as :func:`build_engine`; or the cache cannot be made.
    """
    tensorrt = find_tensorrt()
    options, gpu = _for_this_machine(options or BuildOptions(), tensorrt)
    check_model_file(onnx_path)
    key = cache_key(file_sha256(onnx_path), options, tensorrt, gpu)
    folder = cache_folder("engines")
    engine = folder / f"{onnx_path.stem[:40]}-{key}.engine"  # cut, for the name must not become too long
    runs_on = gpu or Gpu("any", options.target[0])
    if _is_usable(engine, tensorrt, runs_on):
        return engine
    with locked(engine, waiting):
        if not _is_usable(engine, tensorrt, runs_on):
            _build(onnx_path, engine, options, tensorrt, gpu, folder / "timing.cache", progress)
    return engine


def engine_for(onnx_path: Path) -> Path:
    """The cached engine that ``--backend tensorrt`` runs an ONNX file by; a build shows how far it is.

    One image at a time; INT8 where the file is quantized, else FP16, which costs a segmentation network nothing that
    ``edgeseg compare`` would find and is what GPUs are fast in.

    Raises:
        EdgesegError: as :func:`build_engine`.
    """
    options = BuildOptions("int8" if "QuantizeLinear" in look_through(onnx_path).op_types else "fp16")

    def waiting() -> None:
        print(f"edgeseg: another process builds the engine of {onnx_path}; waiting for it", file=sys.stderr, flush=True)

    with show_build() as progress:
        return cached_engine(onnx_path, options, progress=progress, waiting=waiting)


def _is_usable(engine: Path, tensorrt: TensorRT, gpu: Gpu) -> bool:
    try:
        return was_built_here(check_fits(engine, tensorrt, gpu).engine_sha256)
    except EdgesegError:
        return False


def _for_this_machine(options: BuildOptions, tensorrt: TensorRT) -> tuple[BuildOptions, Gpu | None]:
    """The options with what they leave open filled in, and the GPU where the engine depends on it."""
    if not tensorrt.is_rtx:
        gpu = find_gpu()
        if options.target not in ((), (gpu.compute_capability,)):
            raise InputError(
                f"{tensorrt} builds for the GPU at hand, {gpu}, not for {', '.join(options.target)}",
                "Leave out the target, or build on the device that is to run the engine",
            )
        return replace(options, target=()), gpu
    for name, value in (
        ("version_compatible", options.version_compatible),
        ("hardware_compatibility", options.hardware_compatibility != "none"),
        ("dla", options.dla is not None),
    ):
        if value:
            raise InputError(f"{tensorrt} knows no {name}", f"Leave out {name}, or use TensorRT")
    known = [name.lower() for name in tensorrt.module.ComputeCapability.__members__ if name.startswith("SM")]
    targets = options.target
    if not targets:
        try:
            targets = (find_gpu().compute_capability,)
        except EdgesegError as error:
            raise EdgesegError(error.what, f"Say what target to build for, such as sm86 ({', '.join(known)})") from None
    if unknown := [target for target in targets if target not in known]:
        raise InputError(
            f"{tensorrt} does not build for {', '.join(unknown)}",
            f"Use {', '.join(known)}; on a Jetson, use the TensorRT of its JetPack",
        )
    return replace(options, target=targets), None


def _build(
    onnx_path: Path,
    output: Path,
    options: BuildOptions,
    tensorrt: TensorRT,
    gpu: Gpu | None,
    timing_cache: Path | None,
    progress: BuildProgress | None,
) -> EngineRecord:
    keep_apart([output, record_path(output)], [onnx_path])
    model, spec = read_onnx(onnx_path)
    if options.head == "labels" and spec.output == "logits":
        decide_labels(model, spec, by_plugin=has_plugins(tensorrt))
    prepared = prepare(model, onnx_path, options.precision)
    _check_batch(prepared, options, onnx_path)
    plugins = any(node.domain == PLUGIN_DOMAIN for node in prepared.graph.node)
    if plugins:
        load_plugins(tensorrt)
    onnx_sha256 = file_sha256(onnx_path)
    with (
        ExitStack() as published,
        written_whole(output, make_folders=True) as partial,
        written_whole(record_path(output)) as partial_record,
    ):
        plan, inputs, outputs = _Build(tensorrt, options, onnx_path, progress).run(prepared, timing_cache)
        partial.write_bytes(plan)
        record = EngineRecord(
            spec=spec_in(prepared, onnx_path),
            onnx=onnx_path.name if is_printable(onnx_path.name, longest=255) else "MODEL.onnx",
            onnx_sha256=onnx_sha256,
            engine_sha256=sha256_of(plan),
            flavour=tensorrt.flavour,
            version=tensorrt.version,
            gpu=gpu,
            options=options,
            plugins=plugins,
            inputs=inputs,
            outputs=outputs,
        )
        partial_record.write_text(record.to_json(), encoding="utf-8")
        note_built(record.engine_sha256)
        published.enter_context(pair_locked(output))
    return record


def _check_batch(model: onnx.ModelProto, options: BuildOptions, path: Path) -> None:
    first = model.graph.input[0].type.tensor_type.shape.dim[0]
    if first.HasField("dim_value") and options.batch != (first.dim_value,) * 3:
        what = f"{path} takes {first.dim_value} image(s) at a time"
        raise InputError(what, f"Use the batch {first.dim_value}")


class _Build:
    """One build: TensorRT's objects, and what it said while they were at work."""

    def __init__(
        self, tensorrt: TensorRT, options: BuildOptions, onnx_path: Path, progress: BuildProgress | None
    ) -> None:
        self._tensorrt, self._trt = tensorrt, tensorrt.module
        self._options, self._onnx_path, self._progress = options, onnx_path, progress
        self._log = ErrorLog(tensorrt)
        self._interrupt: BaseException | None = None

    def run(
        self, model: onnx.ModelProto, timing_cache: Path | None
    ) -> tuple[bytes, tuple[TensorInfo, ...], tuple[TensorInfo, ...]]:
        """The engine, its inputs and its outputs."""
        trt = self._trt
        try:
            builder = trt.Builder(self._log.logger)
        except Exception as error:  # a null pointer within, which the bindings turn into a TypeError
            raise self._failed("cannot start") from error
        strongly_typed = getattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED", None)  # 11 knows nothing else
        network = builder.create_network(0 if strongly_typed is None else 1 << int(strongly_typed))
        parser = trt.OnnxParser(network, self._log.logger)
        if not parser.parse(model.SerializeToString()):
            raise self._refused(parser)
        config = builder.create_builder_config()
        monitor = _monitor(self)
        config.progress_monitor = monitor
        self._configure(builder, config, network)
        cache = None if self._tensorrt.is_rtx or timing_cache is None else self._use(timing_cache, config)
        with ExitStack() as stack:
            if cache is not None and timing_cache is not None:  # told before the build if it cannot be written
                partial = stack.enter_context(written_whole(timing_cache, make_folders=True))
            with self._interruptible():
                plan = builder.build_serialized_network(network, config)
            if plan is None:
                raise self._failed("cannot build it")
            if cache is not None:
                partial.write_bytes(bytes(cache.serialize()))
        inputs = tuple(_info(network.get_input(index)) for index in range(network.num_inputs))
        outputs = tuple(_info(network.get_output(index)) for index in range(network.num_outputs))
        return bytes(plan), inputs, outputs

    def _configure(self, builder: Any, config: Any, network: Any) -> None:
        trt, options = self._trt, self._options
        if options.workspace_mib is not None:
            config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, options.workspace_mib << 20)
        if self._tensorrt.is_rtx:
            config.num_compute_capabilities = len(options.target)
            for index, target in enumerate(options.target):
                config.set_compute_capability(getattr(trt.ComputeCapability, target.upper()), index)
        if options.version_compatible:
            config.set_flag(trt.BuilderFlag.VERSION_COMPATIBLE)
        if options.hardware_compatibility != "none":
            level = getattr(trt.HardwareCompatibilityLevel, options.hardware_compatibility.upper(), None)
            if level is None:
                raise InputError(
                    f"{self._tensorrt} knows no hardware_compatibility {options.hardware_compatibility}",
                    "Use ampere_plus, or leave it out",
                )
            config.hardware_compatibility_level = level
        if options.dla is not None:
            if options.dla not in range(builder.num_DLA_cores):
                what = f"there is no DLA core {options.dla}: {self._tensorrt} finds {builder.num_DLA_cores} here"
                raise InputError(what, "Leave out dla to build for the GPU")
            config.default_device_type = trt.DeviceType.DLA
            config.DLA_core = options.dla
            config.set_flag(trt.BuilderFlag.GPU_FALLBACK)
        profile = builder.create_optimization_profile()
        free = False
        for index in range(network.num_inputs):
            tensor = network.get_input(index)
            first, *rest = tensor.shape
            if first == -1:
                free = True
                profile.set_shape(tensor.name, *((size, *rest) for size in options.batch))
        if free:
            config.add_optimization_profile(profile)

    def _use(self, timing_cache: Path, config: Any) -> Any:
        content = b""
        if timing_cache.exists():
            check_model_file(timing_cache)
            content = timing_cache.read_bytes()
        cache = config.create_timing_cache(content)
        if cache is None or not config.set_timing_cache(cache, ignore_mismatch=False):
            # Of another GPU or version, or damaged: what it would say is worth nothing here.
            cache = config.create_timing_cache(b"")
            config.set_timing_cache(cache, ignore_mismatch=False)
        return cache

    def _refused(self, parser: Any) -> EdgesegError:
        reasons = []
        for index in range(parser.num_errors):
            error = parser.get_error(index)
            operator = (
                f"{error.node_operator()} (node {error.node_name() or error.node()}): " if error.node_operator() else ""
            )
            reasons.append(operator + one_line(error.desc()))
        return ModelError(
            f"{self._tensorrt} cannot take {self._onnx_path}: {reasons[0] if reasons else self._log.reason}",
            "Run it with the backend ort, or put other operators in its place",
        )

    def _failed(self, what: str) -> EdgesegError:
        if self._log.out_of_memory:
            return ModelError(
                f"the GPU has too little free memory for {self._tensorrt} to build {self._onnx_path}",
                "End what else uses the GPU, lower workspace_mib, or lower the last number of the batch",
            )
        return ModelError(f"{self._onnx_path}: {self._tensorrt} {what} ({self._log.reason})", "Correct what it names")

    def tell(self, call: Callable[[BuildProgress], None]) -> None:
        """Call back into Python; an exception must not travel through TensorRT, which would end the process."""
        try:
            if self._progress is not None:
                call(self._progress)
        except Exception as error:
            self._interrupt = error

    @property
    def goes_on(self) -> bool:
        return self._interrupt is None

    @contextlib.contextmanager
    def _interruptible(self) -> Iterator[None]:
        """Ctrl-C ends the build at TensorRT's next step; raised at once, it too would travel through TensorRT."""
        if threading.current_thread() is not threading.main_thread():
            yield  # Ctrl-C does not arrive here
            return

        def note(*_: object) -> None:
            self._interrupt = KeyboardInterrupt()

        before = signal.signal(signal.SIGINT, note)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)
        if self._interrupt is not None:
            raise self._interrupt


def _monitor(build: _Build) -> Any:
    trt = build._trt

    class Monitor(trt.IProgressMonitor):  # type: ignore[misc,name-defined]
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            build.tell(lambda progress: progress.start(phase_name, parent_phase, num_steps))

        def step_complete(self, phase_name: str, step: int) -> bool:
            build.tell(lambda progress: progress.step(phase_name, step + 1))
            return build.goes_on

        def phase_finish(self, phase_name: str) -> None:
            build.tell(lambda progress: progress.finish(phase_name))

    return Monitor()


def _info(tensor: Any) -> TensorInfo:
    name = tensor.dtype.name
    return TensorInfo(tensor.name, _NUMPY_NAMES.get(name, name.lower()), tuple(tensor.shape))
