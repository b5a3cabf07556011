"""TensorRT or TensorRT-RTX, whichever is installed: two packages of one API. Nothing else imports either by name."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from edgeseg.errors import MissingDependencyError
from edgeseg.installing import pip_install

_MODULES = {"tensorrt": "TensorRT", "tensorrt_rtx": "TensorRT-RTX", "tensorrt_rtx_bindings": "TensorRT-RTX"}
"""In the order of preference; the last is the same as the one before it, as its own wheel names it."""


@dataclass(frozen=True)
class TensorRT:
    """The installed library.

    Attributes:
        module: the Python module, of either flavour.
        flavour: ``TensorRT``, which builds for the GPU at hand, or ``TensorRT-RTX``, which builds for compute
            capabilities and needs no GPU to do so.
        version: such as (10, 3, 0, 26).
    """

    module: Any
    flavour: str
    version: tuple[int, ...]

    @property
    def is_rtx(self) -> bool:
        return self.flavour == "TensorRT-RTX"

    def __str__(self) -> str:
        return f"{self.flavour} {version_text(self.version)}"


def version_text(version: tuple[int, ...]) -> str:
    """(10, 3, 0) as 10.3.0."""
    return ".".join(map(str, version))


def find_tensorrt() -> TensorRT:
    """The installed TensorRT, or else TensorRT-RTX.

    Raises:
        MissingDependencyError: neither is installed, or its libraries cannot be loaded.
    """
    for name, flavour in _MODULES.items():
        try:
            module = import_module(name)
        except ModuleNotFoundError as error:
            if error.name == name:
                continue
            raise MissingDependencyError(f"{flavour} lacks a part of itself ({error})", _how_to_install()) from error
        except (ImportError, OSError) as error:
            reason = " ".join(str(error).split())
            raise MissingDependencyError(
                f"{flavour} is installed but cannot be loaded ({reason})", _how_to_install()
            ) from error
        return TensorRT(module, flavour, tuple(int(number) for number in re.findall(r"\d+", module.__version__)))
    raise MissingDependencyError("neither TensorRT nor TensorRT-RTX is installed", _how_to_install())


def _how_to_install() -> str:
    return (
        "On a Jetson: sudo apt install python3-libnvinfer, and a venv made with --system-site-packages. "
        f"Elsewhere: {pip_install('edgeseg[tensorrt]')}, or with [tensorrt-rtx] to build without a GPU"
    )
