"""ONNX Runtime on the CPU, by its CUDA and its TensorRT provider, as edgeseg knows them before it loads one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgeseg.installing import pip_install
from edgeseg.runtime.backend import Backend, BackendInfo, DoctorLine, Fit

if TYPE_CHECKING:
    from edgeseg.runtime.cuda.gpu import Gpu
    from edgeseg.runtime.ort.backend import Provider
    from edgeseg.spec import ModelSpec


class _Ort(BackendInfo):
    package = "onnxruntime"

    def __init__(self, provider: Provider) -> None:
        self._provider: Provider = provider
        self.install = "onnxruntime" if provider == "cpu" else "onnxruntime-gpu"

    def open(self, path: Path, *, threads: int | None = None, trust_engine: bool = False) -> Backend:
        from edgeseg.runtime.ort.backend import OrtBackend

        return OrtBackend(path, threads=threads, provider=self._provider)


class _Cpu(_Ort):
    suffixes = frozenset({".onnx"})

    def fit(self, spec: ModelSpec | None, gpu: Gpu | None) -> Fit:
        if spec is not None and spec.precision == "int8-cpu":
            return Fit(100, "its INT8 is for CPUs")
        return Fit(10)

    def doctor(self) -> DoctorLine:
        from edgeseg.runtime.ort.module import load_onnxruntime

        try:
            ort = load_onnxruntime()
        except ImportError as error:
            return "onnxruntime", f"cannot be loaded ({error}). Run: {pip_install('onnxruntime')}", False
        return "onnxruntime", f"{ort.__version__} with {', '.join(ort.get_available_providers())}", True


class _Cuda(_Ort):
    def fit(self, spec: ModelSpec | None, gpu: Gpu | None) -> Fit | None:
        if gpu is None:
            return None
        from edgeseg.runtime.ort.module import load_onnxruntime

        has_cuda = "CUDAExecutionProvider" in load_onnxruntime().get_available_providers()
        return Fit(20, lacks="" if has_cuda else "this ONNX Runtime has no CUDA")


CPU = _Cpu("cpu")
CUDA = _Cuda("cuda")
TENSORRT = _Ort("tensorrt")
