"""edgeseg's own TensorRT plugins: where their library is, and how a TensorRT comes to know it."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from edgeseg.errors import InputError, MissingDependencyError
from edgeseg.runtime.tensorrt.module import TensorRT

DOMAIN = "edgeseg"
"""Of a node in ONNX, and the namespace of its plugin in TensorRT."""

CRF_OP = "DenseCRF"
UPSAMPLE_ARGMAX_OP = "UpsampleArgmax"
PLUGIN_VERSION = "1"


def plugin_library() -> Path | None:
    """The library with edgeseg's TensorRT plugins, or None where this edgeseg was built without them."""
    native = find_spec("edgeseg._native")
    if native is None or native.origin is None:
        return None
    library = Path(native.origin).with_name("libedgeseg_trt.so")
    return library if library.is_file() else None


def load_plugins(tensorrt: TensorRT) -> None:
    """Make a TensorRT know edgeseg's plugins: before it parses a graph with one or loads an engine of it.

    Raises:
        InputError: it is TensorRT-RTX, whose networks hold no plugins.
        MissingDependencyError: this edgeseg was built without the plugins, or for another TensorRT.
    """
    if tensorrt.is_rtx:
        raise InputError(
            f"{tensorrt} takes no plugins, and the CRF is one",
            "Use TensorRT, or refine outside of the engine: edgeseg run --refine crf",
        )
    build = "pip install . -C cmake.define.EDGESEG_TENSORRT=ON, where TensorRT's headers and nvcc are"
    library = plugin_library()
    if library is None:
        raise MissingDependencyError("this edgeseg was built without its TensorRT plugins", f"Build it again: {build}")
    registry = tensorrt.module.get_plugin_registry()
    if registry.get_creator(CRF_OP, PLUGIN_VERSION, DOMAIN) is None and registry.load_library(str(library)) is None:
        raise MissingDependencyError(f"{tensorrt} cannot load {library}", f"Build edgeseg again: {build}")


def has_plugins(tensorrt: TensorRT) -> bool:
    """Whether :func:`load_plugins` has made a TensorRT know edgeseg's plugins, or has just been able to."""
    try:
        load_plugins(tensorrt)
    except (InputError, MissingDependencyError):
        return False
    return True
