"""Which backend runs which artifact. A backend and its engine are imported when first asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path

from edgeseg.errors import EdgesegError, InputError, MissingDependencyError, ModelError
from edgeseg.installing import pip_install
from edgeseg.runtime.backend import Backend
from edgeseg.weights import check_model_file


@dataclass(frozen=True)
class _Entry:
    module: str
    type_name: str
    suffixes: frozenset[str]
    package: str
    install: str
    """What pip installs, as :func:`edgeseg.installing.pip_install` takes it."""
    options: Mapping[str, str] = field(default_factory=dict)
    runs_programs: bool = False
    """Whether its artifacts are programs, so that it asks if they are trusted."""
    made_by: tuple[str, str] | None = None
    """Module and name of the function that turns an ONNX file into an artifact of this engine, and returns its path."""


_BACKENDS = {
    "ort": _Entry("edgeseg.runtime.ort.backend", "OrtBackend", frozenset({".onnx"}), "onnxruntime", "onnxruntime"),
    "ort-cuda": _Entry(
        *("edgeseg.runtime.ort.backend", "OrtBackend", frozenset(), "onnxruntime", "onnxruntime-gpu"),
        {"provider": "cuda"},
    ),
    "ort-tensorrt": _Entry(
        *("edgeseg.runtime.ort.backend", "OrtBackend", frozenset(), "onnxruntime", "onnxruntime-gpu"),
        {"provider": "tensorrt"},
    ),
    "tensorrt": _Entry(
        *("edgeseg.runtime.tensorrt.backend", "TrtBackend", frozenset({".engine"}), "tensorrt", "edgeseg[tensorrt]"),
        runs_programs=True,
        # By name alone, for what builds engines lies above what runs them.
        made_by=("edgeseg_export.tensorrt.engine", "engine_for"),
    ),
    "pytorch": _Entry("edgeseg.runtime.pytorch", "PytorchBackend", frozenset({".pt"}), "torch", "edgeseg[train]"),
}


def backend_names() -> list[str]:
    """What ``backend`` may be, beside ``auto``."""
    return list(_BACKENDS)


def open_backend(
    path: str | Path, *, backend: str = "auto", threads: int | None = None, trust_engine: bool = False
) -> Backend:
    """Load an artifact into the engine that runs it.

    Args:
        path: the artifact; ``tensorrt`` also takes ONNX files, of which it builds an engine when they come first.
        backend: one of :func:`backend_names`, or ``auto`` to go by the file's suffix alone;
            :func:`edgeseg.runtime.choose.choose` also looks at the machine.
        threads: CPU threads of the engine; None means every core this process may use.
        trust_engine: load a TensorRT engine although it was not built by this user on this machine. An engine is a
            program: it can do whatever you can.

    Raises:
        InputError: no such backend, or fewer than 1 thread.
        ModelError: no such file, no backend for it, or the engine cannot load it.
        SpecError: the artifact carries no spec, or one that does not fit it.
        MissingDependencyError: the engine is not installed.
    """
    path = Path(path)
    if threads is not None and threads < 1:
        raise InputError(f"threads is {threads}", "Use 1 or more, or leave it out to use every core")
    if backend != "auto" and backend not in _BACKENDS:
        raise InputError(f"there is no backend {backend!r}", f"Use auto, {', '.join(_BACKENDS)}")
    check_model_file(path)
    entry = _BACKENDS[by_suffix(path) if backend == "auto" else backend]
    try:
        if entry.made_by is not None and path.suffix.lower() == ".onnx":
            module, function = entry.made_by
            path = getattr(import_module(module), function)(path)
        opener: type[Backend] = getattr(import_module(entry.module), entry.type_name)
    except ImportError as error:
        if isinstance(error, EdgesegError):
            raise  # it says more
        raise MissingDependencyError(
            f"{path} needs the package {entry.package}, which cannot be imported ({error})",
            f"Run: {pip_install(entry.install)}",
        ) from error
    trust = {"trust_engine": trust_engine} if entry.runs_programs else {}
    return opener(path, threads=threads, **entry.options, **trust)  # type: ignore[call-arg]  # a Protocol says nothing of constructors


def by_suffix(path: Path) -> str:
    """The name of the backend whose own files end so.

    Raises:
        ModelError: there is none.
    """
    for name, entry in _BACKENDS.items():
        if path.suffix.lower() in entry.suffixes:
            return name
    suffixes = sorted(suffix for entry in _BACKENDS.values() for suffix in entry.suffixes)
    raise ModelError(
        f"no backend is known for {path}",
        f"Pass a file with one of {', '.join(suffixes)}, or name the backend ({', '.join(_BACKENDS)})",
    )
