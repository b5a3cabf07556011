"""Which model and which engine ``auto`` means on this machine, and why."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgeseg import weights
from edgeseg.artifact.onnx import read_spec
from edgeseg.errors import EdgesegError
from edgeseg.runtime.cuda.gpu import Gpu, find_gpu
from edgeseg.runtime.registry import BACKENDS, by_suffix

if TYPE_CHECKING:
    from edgeseg.spec import ModelSpec


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

    An ONNX file gets the engine that suits it best, as each says of itself (``BackendInfo.fit``): TensorRT where there
    are a GPU, TensorRT and CUDA's Python binding; else ONNX Runtime's CUDA provider where that is installed; else the
    CPU. INT8 in the form for CPUs always runs there. Without a model, the CPU gets the shipped one in INT8 where it has
    the instructions for it, and a GPU the float one.

    Args:
        model: a shipped model's name, or a path.
        backend: a backend's name, or ``auto``.

    Raises:
        ModelError: no such model, or no backend is known for it.
        SpecError: the artifact carries no spec that can be read.
    """
    if backend != "auto":
        on_cpu = backend == "ort"
        path = weights.find(model or weights.default_model(int8=None if on_cpu else False))
        return Choice(path, backend, "as asked")
    if model is not None:
        path = weights.find(model)
        own = by_suffix(path)
        if own != "ort":
            return Choice(path, own, f"it runs {path.suffix} files")
        return Choice(path, *_best_for(read_spec(path)))
    engine, reason = _best_for(None)
    in_float = weights.default_model(int8=False)
    default = weights.default_model() if engine == "ort" else in_float
    if default != in_float:
        reason = f"{reason}; the CPU has INT8 instructions"
    return Choice(weights.find(default), engine, reason)


def _best_for(spec: ModelSpec | None) -> tuple[str, str]:
    """The engine for an ONNX artifact, and why it is that: what suits it, and what better ones lack here."""
    try:
        gpu: Gpu | None = find_gpu()
        here = f"there is {gpu}"
    except EdgesegError as error:
        gpu, here = None, error.what.split(" (", 1)[0]
    fits = {name: fit for name, info in BACKENDS.items() if (fit := info.fit(spec, gpu)) is not None}
    lacking: list[str] = []
    for name, fit in sorted(fits.items(), key=lambda item: -item[1].score):
        if not fit.lacks:
            reason = fit.reason or here
            return name, f"{reason}, but {', and '.join(lacking)}" if lacking else reason
        lacking.append(fit.lacks)
    return "ort", "it runs everywhere"
