"""TensorRT, as edgeseg knows it before it loads it."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from edgeseg.errors import EdgesegError
from edgeseg.installing import installed_version
from edgeseg.plugins import load
from edgeseg.runtime.backend import Backend, BackendInfo, DoctorLine, Fit

if TYPE_CHECKING:
    from edgeseg.runtime.cuda.gpu import Gpu
    from edgeseg.spec import ModelSpec

_BINDINGS = ("pycuda", "cuda-python", "cuda-bindings")


class _TensorRT(BackendInfo):
    suffixes = frozenset({".engine"})
    package = "tensorrt"
    install = "edgeseg[tensorrt]"

    def open(self, path: Path, *, threads: int | None = None, trust_engine: bool = False) -> Backend:
        from edgeseg.runtime.tensorrt.backend import TrtBackend

        if path.suffix.lower() == ".onnx":
            path = self.build(path)
        return TrtBackend(path, threads=threads, trust_engine=trust_engine)

    def build(self, onnx: Path) -> Path:
        # By name alone, for what builds engines lies above what runs them.
        engine: Path = load("edgeseg_export.tensorrt.engine:engine_for")(onnx)
        return engine

    def fit(self, spec: ModelSpec | None, gpu: Gpu | None) -> Fit | None:
        return None if gpu is None else Fit(30, lacks=self.lacking())

    def lacking(self) -> str:
        """What it would need here and is not installed, to build an engine and run it; empty for nothing."""
        from edgeseg.runtime.cuda.binding import has_binding
        from edgeseg.runtime.tensorrt.module import find_tensorrt

        try:
            find_tensorrt()
        except EdgesegError as error:
            return error.what
        if not has_binding():
            return "neither pycuda nor cuda-python is installed"
        if find_spec("onnx") is None:
            return "the package onnx, which building an engine needs, is not installed"
        return ""

    def doctor(self) -> DoctorLine:
        from edgeseg.runtime.cuda.gpu import find_gpu
        from edgeseg.runtime.tensorrt.module import find_tensorrt
        from edgeseg.runtime.tensorrt.plugins import plugin_library

        try:
            found = [str(find_tensorrt())]
        except EdgesegError as error:
            return "tensorrt", f"{error.what}; only engines need it", True
        found.append("with edgeseg's plugins" if plugin_library() else "without edgeseg's plugins")
        bindings = [f"{name} {version}" for name in _BINDINGS if (version := installed_version(name))]
        found.append(bindings[0] if bindings else "neither pycuda nor cuda-python")
        try:
            found.append(f"GPU {find_gpu()}")
        except EdgesegError as error:
            found.append(error.what.split(" (", 1)[0])
        return "tensorrt", ", ".join(found), True


TENSORRT = _TensorRT()
