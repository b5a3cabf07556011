"""Which GPU this machine has, asked of the NVIDIA driver itself: needs neither CUDA's runtime nor torch."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass

from edgeseg.errors import EdgesegError, MissingDependencyError

_DRIVER_LIBRARY = "libcuda.so.1"
_CAPABILITY_MAJOR, _CAPABILITY_MINOR = 75, 76  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_…
_NO_DEVICE = 100  # CUDA_ERROR_NO_DEVICE


@dataclass(frozen=True)
class Gpu:
    """The first GPU that CUDA shows this process.

    Attributes:
        name: as the driver says it, such as ``Orin``.
        compute_capability: as CUDA's tools write it, such as ``sm87``.
    """

    name: str
    compute_capability: str

    def __str__(self) -> str:
        return f"{self.name} ({self.compute_capability})"


def find_gpu() -> Gpu:
    """The first GPU; ``CUDA_VISIBLE_DEVICES`` chooses another.

    Raises:
        MissingDependencyError: there is no NVIDIA driver.
        EdgesegError: there is no GPU, or the driver does not start.
    """
    try:
        driver = ctypes.CDLL(_DRIVER_LIBRARY)
    except OSError:
        raise MissingDependencyError(
            f"there is no NVIDIA driver on this machine ({_DRIVER_LIBRARY} is not found)",
            "Install the driver, or in a container pass the GPU in (docker run --gpus all)",
        ) from None
    _check(driver.cuInit(0))
    device, major, minor = ctypes.c_int(), ctypes.c_int(), ctypes.c_int()
    name = ctypes.create_string_buffer(256)
    _check(driver.cuDeviceGet(ctypes.byref(device), 0))
    _check(driver.cuDeviceGetName(name, len(name), device))
    _check(driver.cuDeviceGetAttribute(ctypes.byref(major), _CAPABILITY_MAJOR, device))
    _check(driver.cuDeviceGetAttribute(ctypes.byref(minor), _CAPABILITY_MINOR, device))
    return Gpu(name.value.decode(errors="replace"), f"sm{major.value}{minor.value}")


def _check(status: int) -> None:
    if status == _NO_DEVICE:
        raise EdgesegError("there is no GPU that CUDA can use on this machine", "See what nvidia-smi says")
    if status:
        raise EdgesegError(f"the NVIDIA driver failed (CUDA error {status})", "See what nvidia-smi says, or reboot")
