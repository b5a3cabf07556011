"""NVIDIA's driver library itself, by ctypes: for what comes before a Python binding of it, and what those lack."""

from __future__ import annotations

import ctypes
from functools import cache

from edgeseg.errors import DeviceError, MissingDependencyError

_LIBRARY = "libcuda.so.1"
NON_BLOCKING = 1
"""CU_STREAM_NON_BLOCKING: a stream that does not wait for the default one."""

_OUT_OF_MEMORY, _NO_DEVICE = 2, 100  # CUDA_ERROR_…


@cache
def load_driver() -> ctypes.CDLL:
    """The driver's library. Its functions return 0, or the status that :func:`check` takes; calls release the GIL.

    Raises:
        MissingDependencyError: there is no NVIDIA driver.
    """
    try:
        return ctypes.CDLL(_LIBRARY)
    except OSError:
        raise MissingDependencyError(
            f"there is no NVIDIA driver on this machine ({_LIBRARY} is not found)",
            "Install the driver, or in a container pass the GPU in (docker run --gpus all)",
        ) from None


def start_driver() -> ctypes.CDLL:
    """The driver's library, ready for use.

    Raises:
        MissingDependencyError: there is no NVIDIA driver.
        DeviceError: there is no GPU, or the driver does not start.
    """
    driver = load_driver()
    check(driver.cuInit(0), "starting the NVIDIA driver")
    return driver


def check(status: int, doing: str) -> None:
    """Raise DeviceError unless a call of the driver returned 0; ``doing`` says what for: ``copying to the GPU``."""
    if status:
        raise failure(status, doing)


def failure(status: int, doing: str) -> DeviceError:
    """What a status of the driver other than 0 means to the user."""
    if status == _NO_DEVICE:
        return DeviceError("there is no GPU that CUDA can use on this machine", "See what nvidia-smi says")
    if status == _OUT_OF_MEMORY:
        return DeviceError(
            f"the GPU has too little free memory: {doing} failed",
            "End what else uses the GPU, or pass fewer images at a time or use a smaller model",
        )
    return DeviceError(
        f"{doing} failed ({error_name(status)}: {error_text(status)})",
        "Restart the process; if it stays, see what nvidia-smi and dmesg say, or reboot",
    )


def error_name(status: int) -> str:
    """CUDA's name for a status, such as ``CUDA_ERROR_ILLEGAL_ADDRESS``."""
    name = ctypes.c_char_p()
    load_driver().cuGetErrorName(status, ctypes.byref(name))
    return name.value.decode() if name.value else f"CUDA error {status}"


def error_text(status: int) -> str:
    """CUDA's words for a status; empty where the driver knows none."""
    text = ctypes.c_char_p()
    load_driver().cuGetErrorString(status, ctypes.byref(text))
    return text.value.decode() if text.value else ""
