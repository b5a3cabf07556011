"""Which backend runs which artifact. A backend and its engine are imported when first asked for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgeseg.errors import EdgesegError, InputError, MissingDependencyError, ModelError
from edgeseg.installing import pip_install
from edgeseg.plugins import Plugins
from edgeseg.weights import check_model_file

if TYPE_CHECKING:
    from edgeseg.runtime.backend import Backend, BackendInfo

BACKENDS: Plugins[BackendInfo] = Plugins(
    "edgeseg.backends",
    {
        "ort": "edgeseg.runtime.ort.info:CPU",
        "ort-cuda": "edgeseg.runtime.ort.info:CUDA",
        "ort-tensorrt": "edgeseg.runtime.ort.info:TENSORRT",
        "tensorrt": "edgeseg.runtime.tensorrt.info:TENSORRT",
        "pytorch": "edgeseg.runtime.pytorch:PYTORCH",
    },
)
"""What ``backend`` may be."""


def open_backend(
    path: str | Path, *, backend: str | None = None, threads: int | None = None, trust_engine: bool = False
) -> Backend:
    """Load an artifact into the engine that runs it.

    Args:
        path: the artifact; ``tensorrt`` also takes ONNX files, of which it builds an engine when they come first.
        backend: one of :data:`BACKENDS`; None for the one whose own files end so. What ``auto`` means,
            :func:`edgeseg.runtime.choose.choose` tells, which also looks at the machine.
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
    if backend is not None and backend not in BACKENDS:
        raise InputError(f"there is no backend {backend!r}", f"Use one of {', '.join(BACKENDS)}, or leave it out")
    check_model_file(path)
    info = BACKENDS[by_suffix(path) if backend is None else backend]
    try:
        return info.open(path, threads=threads, trust_engine=trust_engine)
    except ImportError as error:
        if isinstance(error, EdgesegError):
            raise  # it says more
        raise MissingDependencyError(
            f"{path} needs the package {info.package}, which cannot be imported ({error})",
            f"Run: {pip_install(info.install)}",
        ) from error


def by_suffix(path: Path) -> str:
    """The name of the backend whose own files end so.

    Raises:
        ModelError: there is none.
    """
    for name, info in BACKENDS.items():
        if path.suffix.lower() in info.suffixes:
            return name
    suffixes = sorted(suffix for info in BACKENDS.values() for suffix in info.suffixes)
    raise ModelError(
        f"no backend is known for {path}",
        f"Pass a file with one of {', '.join(suffixes)}, or name the backend ({', '.join(BACKENDS)})",
    )
