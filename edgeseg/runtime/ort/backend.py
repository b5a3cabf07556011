"""ONNX Runtime, on the CPU or by its CUDA and TensorRT providers.

The model takes uint8 RGB NHWC and carries its ModelSpec in the ONNX metadata.
"""

from __future__ import annotations

import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from edgeseg._native import available_cores
from edgeseg.artifact.onnx import look_through, spec_of
from edgeseg.errors import EdgesegError, InputError, MissingDependencyError, ModelError, SpecError
from edgeseg.runtime.backend import LayerLatency, check_images
from edgeseg.runtime.ort.memory import limit_memory, ran_out, unlimited_optimizers
from edgeseg.runtime.ort.module import load_onnxruntime
from edgeseg.runtime.ort.profile import layer_latencies
from edgeseg.runtime.ort.tensorrt import MOST_IMAGES, tensorrt_options
from edgeseg.spec import ModelSpec

if TYPE_CHECKING:
    import onnxruntime
else:
    onnxruntime = load_onnxruntime()

Provider = Literal["cpu", "cuda", "tensorrt"]

_PROVIDERS: dict[Provider, tuple[str, ...]] = {
    "cpu": ("CPUExecutionProvider",),
    "cuda": ("CUDAExecutionProvider", "CPUExecutionProvider"),
    "tensorrt": ("TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"),
}
"""ONNX Runtime's names: what is asked for, then what takes over the operators that it lacks."""

_FATAL = 4
"""ONNX Runtime also logs what it raises; only the exception is wanted."""


class OrtBackend:
    """A model in an ONNX Runtime session; ``infer`` may be called from several threads at once.

    Args:
        path: an ONNX file that ``edgeseg export`` wrote.
        threads: CPU threads; None means every core this process may use.
        provider: what computes; ``cuda`` and ``tensorrt`` need the package onnxruntime-gpu.

    Attributes:
        op_types: of the graph's nodes.

    Raises:
        ModelError: the file is damaged, is no ONNX, holds what is not loaded from a stranger
            (:mod:`edgeseg.artifact.onnx`), or an operator this ONNX Runtime lacks; or the provider does not start,
            where ONNX Runtime itself would quietly go on with the CPU.
        SpecError: it carries no spec, or one that does not fit its inputs and outputs.
        MissingDependencyError: this ONNX Runtime was built without the provider.
    """

    def __init__(self, path: Path, *, threads: int | None = None, provider: Provider = "cpu") -> None:
        contents = look_through(path)
        self.spec = spec_of(contents, path)
        self.op_types = frozenset(contents.op_types)
        session = _open_session(path, _options(threads), provider, self.spec)
        _check_graph(session, self.spec, path)
        self._path, self._threads, self._provider = path, threads, provider
        self._input_name = session.get_inputs()[0].name
        self._batch = _fixed_batch(session)
        self.max_batch = MOST_IMAGES if provider == "tensorrt" and self._batch is None else self._batch
        self._lock = threading.Lock()
        self._session: onnxruntime.InferenceSession | None = session
        self._running: set[Any] = set()
        """The options of what is under way, by which it can be ended."""

    def infer(self, images: NDArray[np.uint8]) -> NDArray[np.float32] | NDArray[np.uint8]:
        """See :meth:`edgeseg.runtime.backend.Backend.infer`."""
        check_images(images, self.spec.input_size)
        count = len(images)
        if self.max_batch is not None and count > self.max_batch:
            raise InputError(
                f"{self._path} takes {self.max_batch} image(s) at a time at most, not {count}",
                "Pass that many, or export it again with a free batch size",
            )
        if self._batch is not None and count < self._batch:
            images = np.concatenate([images, np.zeros((self._batch - count, *images.shape[1:]), np.uint8)])
        run = onnxruntime.RunOptions()
        with self._lock:
            session = self._session
            if session is None:
                raise _closed(self._path)
            self._running.add(run)
        try:
            (output,) = session.run(None, {self._input_name: images}, run)
        except Exception as error:  # ONNX Runtime's exceptions have no class of their own in common
            if self._session is None:
                raise _closed(self._path) from None
            if limit := ran_out(error):
                what = f"{self._path} wants more than the {limit} of memory that a model may take on this machine"
                raise ModelError(what, "Pass fewer images at a time, or use a smaller model or input size") from None
            raise ModelError(f"{self._path} failed to run ({_one_line(error)})", "Export the model again") from error
        finally:
            with self._lock:
                self._running.discard(run)
        _check_output(output, len(images), self.spec, self._path)
        result: NDArray[np.float32] | NDArray[np.uint8] = output[:count]
        return result

    def profile(self, images: NDArray[np.uint8], runs: int = 20) -> tuple[LayerLatency, ...]:
        """See :meth:`edgeseg.runtime.backend.ProfilingBackend.profile`; in a session of its own, for as long."""
        check_images(images, self.spec.input_size)
        if runs < 1:
            raise InputError(f"{runs} runs", "Use 1 or more")
        if self._provider != "cpu":
            what = f"{self._path} runs on the GPU, whose layers ONNX Runtime does not time one by one"
            raise ModelError(what, "Profile it with the backend ort")
        look_through(self._path)  # it is opened again
        options = _options(self._threads)
        options.enable_profiling = True
        with tempfile.TemporaryDirectory(prefix="edgeseg-") as folder:
            options.profile_file_prefix = str(Path(folder, "run"))
            session = _open_session(self._path, options, self._provider, self.spec)
            try:
                for _ in range(runs + 1):
                    session.run(None, {self._input_name: images})
            except Exception as error:  # ONNX Runtime's exceptions have no class of their own in common
                raise ModelError(f"{self._path} failed to run ({_one_line(error)})", "Export it again") from error
            finally:
                written = Path(session.end_profiling())
            return layer_latencies(written.read_text(encoding="utf-8"), runs)

    def close(self) -> None:
        """Free the session. What other threads have under way ends with a ModelError, be it an endless loop."""
        with self._lock:
            self._session = None
            for run in self._running:
                run.terminate = True


def _options(threads: int | None) -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = _FATAL
    options.inter_op_num_threads = 1
    # Said explicitly, because ONNX Runtime's own choice counts the cores this process may not use and then complains
    # that it cannot pin threads to them.
    options.intra_op_num_threads = threads or available_cores()
    # Idle workers sleep rather than spin: decoder, kernels and encoder want the same few cores.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options


def _open_session(
    path: Path, options: onnxruntime.SessionOptions, provider: Provider, spec: ModelSpec
) -> onnxruntime.InferenceSession:
    names = _PROVIDERS[provider]
    known = onnxruntime.get_available_providers()
    if names[0] not in known:
        raise MissingDependencyError(
            f"this ONNX Runtime has no {names[0]}, only {', '.join(known)}",
            "Put onnxruntime-gpu in its place (on a Jetson: NVIDIA's wheel for the JetPack), or use the backend ort",
        )
    disabled: list[str] = []
    if provider == "cpu":
        limit_memory(onnxruntime, options)
        disabled = unlimited_optimizers(onnxruntime)
    chosen: list[str | tuple[str, dict[str, str]]] = [name for name in names if name in known]
    try:
        if provider == "tensorrt":
            chosen[0] = (names[0], tensorrt_options(path, spec, _free_batch(path, options)))
        # Where it fails it would print that, on standard output, and try again with another provider.
        session = onnxruntime.InferenceSession(
            path, options, providers=chosen, disabled_optimizers=disabled, enable_fallback=0
        )
    except EdgesegError:
        raise
    except Exception as error:  # ONNX Runtime's exceptions have no class of their own in common
        if "edgeseg:DenseCRF" in str(error):
            raise ModelError(
                f"{path} holds the dense CRF as a TensorRT plugin, which ONNX Runtime cannot run",
                "Use the model without it and refine its labels by crf, or make a TensorRT engine of it",
            ) from error
        raise ModelError(
            f"{path} cannot be loaded by ONNX Runtime {onnxruntime.__version__} ({_one_line(error)})",
            "Copy or export the model again: the file is damaged, or newer than this ONNX Runtime",
        ) from error
    if session.get_providers()[0] != names[0]:
        raise ModelError(
            f"ONNX Runtime {onnxruntime.__version__} cannot start its {names[0]} on this machine",
            "Install the CUDA, cuDNN or TensorRT libraries that it was built for, or use the backend ort",
        )
    return session


def _free_batch(path: Path, options: onnxruntime.SessionOptions) -> str | None:
    """The name of the input whose batch size the graph leaves open; None where it is fixed."""
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"], enable_fallback=0)
    return None if _fixed_batch(session) else session.get_inputs()[0].name


def _fixed_batch(session: onnxruntime.InferenceSession) -> int | None:
    shape = session.get_inputs()[0].shape
    return shape[0] if shape and isinstance(shape[0], int) else None


def _check_graph(session: onnxruntime.InferenceSession, spec: ModelSpec, path: Path) -> None:
    height, width = spec.input_size
    if spec.output == "logits":
        rows, columns = -(-height // spec.stride), -(-width // spec.stride)
        wanted_output = ("tensor(float)", [None, spec.num_classes, rows, columns])
    else:
        wanted_output = ("tensor(uint8)", [None, height, width])
    for kind, nodes, (dtype, shape) in (
        ("input", session.get_inputs(), ("tensor(uint8)", [None, height, width, 3])),
        ("output", session.get_outputs(), wanted_output),
    ):
        found = ", ".join(f"{node.type} {node.shape}" for node in nodes)
        if len(nodes) != 1 or nodes[0].type != dtype or not _fits(nodes[0].shape, shape):
            shown = ["N", *shape[1:]]
            raise SpecError(
                f"{path}: the graph's {kind} is {found}, but its spec says {dtype} {shown}", "Export the model again"
            )


def _check_output(output: Any, count: int, spec: ModelSpec, path: Path) -> None:
    """A graph may leave its dimensions open until it has run."""
    height, width = spec.input_size
    wanted: tuple[int, ...] = (count, height, width)
    if spec.output == "logits":
        wanted = (count, spec.num_classes, -(-height // spec.stride), -(-width // spec.stride))
    if output.shape != wanted:
        raise ModelError(
            f"{path} returned {spec.output} of shape {output.shape}, but its spec says {wanted}", "Export it again"
        )


def _closed(path: Path) -> ModelError:
    return ModelError(f"{path} is closed", "Open the model again")


def _fits(found: list[int | str | None], wanted: list[int | None]) -> bool:
    """Whether every dimension that both sides fix is the same; a name or None leaves it free."""
    return len(found) == len(wanted) and all(
        not isinstance(f, int) or w is None or f == w for f, w in zip(found, wanted, strict=True)
    )


def _one_line(error: Exception) -> str:
    """Without characters that would move the terminal's cursor: a graph's names are in it."""
    text = " ".join(str(error).split())
    return "".join(letter if letter.isprintable() else "?" for letter in text)[:500]
