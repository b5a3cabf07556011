"""Which model and which engine ``auto`` means on this machine, and why."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgeseg import weights
from edgeseg.artifact.onnx import read_spec
from edgeseg.errors import EdgesegError
from edgeseg.runtime.cuda.gpu import Gpu, find_gpu
from edgeseg.runtime.real_time import best_in_time
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


def choose(model: str | Path | None = None, backend: str = "auto", threads: int | None = None) -> Choice:
    """The artifact and the engine for what the user said, or left open.

    An ONNX file gets the engine that suits it best, as each says of itself (``BackendInfo.fit``): TensorRT where there
    are a GPU, TensorRT and CUDA's Python binding; else ONNX Runtime's CUDA provider where that is installed; else the
    CPU. INT8 in the form for CPUs always runs there.

    A task, or no model at all, which means ``street``, becomes a shipped one: on a GPU the most accurate, in float; on
    the CPU the most accurate that runs in real time (:mod:`edgeseg.runtime.real_time`), in INT8 where the processor has
    the instructions for it.

    Args:
        model: a shipped model's name, a task (:data:`edgeseg.weights.TASKS`), or a path.
        backend: a backend's name, or ``auto``.
        threads: CPU threads that it will have; None for every core.

    Raises:
        ModelError: no such model, or no backend is known for it.
        SpecError: the artifact carries no spec that can be read.
    """
    if model is None or weights.is_task(model):
        engine, reason = (backend, "as asked") if backend != "auto" else _best_for(None)
        name, why = _shipped(str(model or weights.DEFAULT_TASK), engine, threads)
        return Choice(weights.find(name), engine, "; ".join([reason, *why]))
    path = weights.find(model)
    if backend != "auto":
        return Choice(path, backend, "as asked")
    own = by_suffix(path)
    if own != "ort":
        return Choice(path, own, f"it runs {path.suffix} files")
    return Choice(path, *_best_for(read_spec(path)))


def _shipped(task: str, engine: str, threads: int | None) -> tuple[str, list[str]]:
    """The shipped model for a task on an engine, and what speaks for it, in words."""
    names = weights.models_for(task, int8=None if engine == "ort" else False)
    if engine != "ort":
        return names[0], []
    why = ["the CPU has INT8 instructions"] if names != weights.models_for(task, int8=False) else []
    if len(names) == 1:
        return names[0], why
    name, ms = best_in_time(names, threads)
    if name != names[0]:
        better = names[: names.index(name)]
        why.append(f"{' and '.join(better)} would take too long here")
    return name, [*why, f"{ms:.0f} ms a frame"]


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
