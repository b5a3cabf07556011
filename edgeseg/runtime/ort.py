"""ONNX Runtime, on the CPU or by its CUDA and TensorRT providers.

The model takes uint8 RGB NHWC and carries its ModelSpec in the ONNX metadata.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from edgeseg.errors import InputError, MissingDependencyError, ModelError, SpecError
from edgeseg.runtime.backend import check_images
from edgeseg.spec import METADATA_KEY, ModelSpec

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

    Raises:
        ModelError: the file is damaged, is no ONNX, or holds an operator this ONNX Runtime lacks; or the provider does
            not start, where ONNX Runtime itself would quietly go on with the CPU.
        SpecError: it carries no spec, or one that does not fit its inputs and outputs.
        MissingDependencyError: this ONNX Runtime was built without the provider.
    """

    def __init__(self, path: Path, *, threads: int | None = None, provider: Provider = "cpu") -> None:
        options = _quiet_options()
        # Said explicitly, because ONNX Runtime's own choice counts the cores this process may not use and then
        # complains that it cannot pin threads to them.
        options.intra_op_num_threads = threads or available_cpus()
        # Idle workers sleep rather than spin: decoder, kernels and encoder want the same few cores.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        session = _open_session(path, options, provider)
        self.spec = _spec_of(session, path)
        _check_graph(session, self.spec, path)
        self._path = path
        self._input_name = session.get_inputs()[0].name
        batch = session.get_inputs()[0].shape[0]
        self.max_batch = batch if isinstance(batch, int) else None
        self._session: onnxruntime.InferenceSession | None = session

    def infer(self, images: NDArray[np.uint8]) -> NDArray[np.float32] | NDArray[np.uint8]:
        """See :meth:`edgeseg.runtime.backend.Backend.infer`."""
        session = self._session
        if session is None:
            raise ModelError(f"{self._path} is closed", "Open the model again")
        check_images(images, self.spec.input_size)
        if self.max_batch is not None and len(images) != self.max_batch:
            raise InputError(
                f"{self._path} takes {self.max_batch} image(s) at a time, not {len(images)}",
                "Pass that many, or export it again with a free batch size",
            )
        try:
            output: NDArray[np.float32] | NDArray[np.uint8] = session.run(None, {self._input_name: images})[0]
        except Exception as error:  # ONNX Runtime's exceptions have no class of their own in common
            raise ModelError(f"{self._path} failed to run ({_one_line(error)})", "Export the model again") from error
        return output

    def close(self) -> None:
        """Free the session."""
        self._session = None


def read_spec(path: Path) -> ModelSpec:
    """The spec an ONNX file carries, without preparing the file to run.

    Raises:
        ModelError, SpecError: as :class:`OrtBackend`.
    """
    options = _quiet_options()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    return _spec_of(_open_session(path, options), path)


def available_cpus() -> int:
    """The number of CPUs this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _quiet_options() -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = _FATAL
    options.inter_op_num_threads = 1
    return options


def _open_session(
    path: Path, options: onnxruntime.SessionOptions, provider: Provider = "cpu"
) -> onnxruntime.InferenceSession:
    names = _PROVIDERS[provider]
    known = onnxruntime.get_available_providers()
    if names[0] not in known:
        raise MissingDependencyError(
            f"this ONNX Runtime has no {names[0]}, only {', '.join(known)}",
            "Put onnxruntime-gpu in its place (on a Jetson: NVIDIA's wheel for the JetPack), or use --backend ort",
        )
    try:
        session = onnxruntime.InferenceSession(path, options, providers=[name for name in names if name in known])
    except Exception as error:  # ONNX Runtime's exceptions have no class of their own in common
        if "edgeseg:DenseCRF" in str(error):
            raise ModelError(
                f"{path} holds the dense CRF as a TensorRT plugin, which ONNX Runtime cannot run",
                "Use the model without it and --refine crf, or make an engine: edgeseg export --format tensorrt",
            ) from error
        raise ModelError(
            f"{path} cannot be loaded by ONNX Runtime {onnxruntime.__version__} ({_one_line(error)})",
            "Copy or export the model again: the file is damaged, or newer than this ONNX Runtime",
        ) from error
    if session.get_providers()[0] != names[0]:
        raise ModelError(
            f"ONNX Runtime {onnxruntime.__version__} cannot start its {names[0]} on this machine",
            "Install the CUDA, cuDNN or TensorRT libraries that it was built for, or use --backend ort",
        )
    return session


def _spec_of(session: onnxruntime.InferenceSession, path: Path) -> ModelSpec:
    text = session.get_modelmeta().custom_metadata_map.get(METADATA_KEY)
    if text is None:
        raise SpecError(
            f"{path} is an ONNX model without edgeseg's spec ({METADATA_KEY} in its metadata)",
            "Export it with: edgeseg export CHECKPOINT.pt",
        )
    return ModelSpec.from_json(text, str(path))


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


def _fits(found: list[int | str | None], wanted: list[int | None]) -> bool:
    """Whether every dimension that both sides fix is the same; a name or None leaves it free."""
    return len(found) == len(wanted) and all(
        not isinstance(f, int) or w is None or f == w for f, w in zip(found, wanted, strict=True)
    )


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
