"""ONNX Runtime, with its telemetry off. Nothing else imports it by name.

From version 1.32 on, its Linux packages write a device id under the home folder and open connections to their maker
once they are imported; the call that turns telemetry off comes too late for that. An environment variable, set before
the library is loaded, prevents both.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import Any

from edgeseg.errors import MissingDependencyError
from edgeseg.installing import pip_install

_VARIABLE = "ORT_DISABLE_TELEMETRY"
"""Also heard by child processes, and by whatever else of this process loads ONNX Runtime later."""


def load_onnxruntime(part: str = "") -> Any:
    """The package ``onnxruntime``, or a part of it such as ``quantization``.

    Telemetry is off, unless the environment says ``ORT_DISABLE_TELEMETRY=0`` before. Where a program has imported
    onnxruntime by itself earlier, the file is written already; all that is left is to ask that no events be sent.

    Raises:
        MissingDependencyError: it is not installed, or cannot be loaded.
    """
    wanted = os.environ.get(_VARIABLE) == "0"
    if not os.environ.get(_VARIABLE):  # empty, it would be on
        os.environ[_VARIABLE] = "1"
    try:
        onnxruntime = import_module("onnxruntime")
        if not wanted:
            onnxruntime.disable_telemetry_events()
        return import_module(f"onnxruntime.{part}") if part else onnxruntime
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != "onnxruntime":
            raise  # a package that this part of it needs
        raise MissingDependencyError(
            "the package onnxruntime is not installed", f"Run: {pip_install('onnxruntime')}"
        ) from None
    except (ImportError, AttributeError) as error:  # AttributeError: a folder of that name, without the package in it
        reason = " ".join(str(error).split())
        raise MissingDependencyError(
            f"ONNX Runtime is installed but cannot be loaded ({reason})",
            f"Install it again: {pip_install('--force-reinstall', 'onnxruntime')}",
        ) from error
