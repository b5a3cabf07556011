"""Which model and which engine ``auto`` means on this machine, and why."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from edgeseg import weights
from edgeseg.artifact.onnx import read_spec
from edgeseg.errors import EdgesegError
from edgeseg.runtime.cuda.binding import has_binding
from edgeseg.runtime.cuda.gpu import Gpu, find_gpu
from edgeseg.runtime.ort.module import load_onnxruntime
from edgeseg.runtime.registry import by_suffix
from edgeseg.runtime.tensorrt.module import find_tensorrt


@dataclass(frozen=True)
class Choice:
    """What is going to run.

    Attributes:
        path: the artifact.
        backend: its engine, by name.
        reason: why, in words.
    """

    path: Path
    backend: str
    reason: str


def choose(model: str | Path | None = None, backend: str = "auto") -> Choice:
    """The artifact and the engine for what the user said, or left open.

    An ONNX file runs by TensorRT where there are a GPU, TensorRT and CUDA's Python binding; else by ONNX Runtime's CUDA
    provider where that is installed; else on the CPU. INT8 in the form for CPUs always runs there. Without a model, the
    CPU gets the shipped one in INT8 where it has the instructions for it, and a GPU the float one.

    Args:
        model: a shipped model's name, or a path.
        backend: a backend's name, or ``auto``.

    Raises:
        ModelError: no such model, or no backend is known for it.
        SpecError: the artifact carries no spec that can be read.
    """
    if backend != "auto":
        on_cpu = backend == "ort"
        path = weights.find(model or (weights.default_model() if on_cpu else weights.FLOAT_DEFAULT))
        return Choice(path, backend, "as asked")
    if model is not None:
        path = weights.find(model)
        own = by_suffix(path)
        if own != "ort":
            return Choice(path, own, f"it runs {path.suffix} files")
        engine, reason = _engine_here()
        if engine != "ort" and read_spec(path).precision == "int8-cpu":
            return Choice(path, "ort", "its INT8 is for CPUs")
        return Choice(path, engine, reason)
    engine, reason = _engine_here()
    if engine == "ort" and weights.default_model() == weights.INT8_DEFAULT:
        return Choice(weights.find(weights.INT8_DEFAULT), engine, f"{reason}; the CPU has INT8 instructions")
    return Choice(weights.find(weights.FLOAT_DEFAULT), engine, reason)


def _engine_here() -> tuple[str, str]:
    """The fastest engine for float ONNX that this machine has, and why it is that."""
    try:
        gpu = find_gpu()
    except EdgesegError as error:
        return "ort", error.what.split(" (", 1)[0]
    lacking = _lacking_for_tensorrt()
    if not lacking:
        return "tensorrt", f"there is {gpu}"
    return _ort_on(gpu, lacking)


def _lacking_for_tensorrt() -> str:
    """What TensorRT would need here and is not installed; empty for nothing."""
    try:
        find_tensorrt()
    except EdgesegError as error:
        return error.what
    if not has_binding():
        return "neither pycuda nor cuda-python is installed"
    if find_spec("onnx") is None:
        return "the package onnx, which building an engine needs, is not installed"
    return ""


def _ort_on(gpu: Gpu, lacking: str) -> tuple[str, str]:
    onnxruntime = load_onnxruntime()
    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        return "ort-cuda", f"there is {gpu}, but {lacking}"
    return "ort", f"there is {gpu}, but {lacking}, and this ONNX Runtime has no CUDA"
