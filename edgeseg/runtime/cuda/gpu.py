"""Which GPU this machine has, asked of the NVIDIA driver itself: needs neither CUDA's runtime nor torch."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass

from edgeseg.runtime.cuda.driver import check, start_driver

_CAPABILITY_MAJOR, _CAPABILITY_MINOR = 75, 76  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_…


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
        DeviceError: there is no GPU, or the driver does not start.
    """
    driver = start_driver()
    device, major, minor = ctypes.c_int(), ctypes.c_int(), ctypes.c_int()
    name = ctypes.create_string_buffer(256)
    for status in (
        driver.cuDeviceGet(ctypes.byref(device), 0),
        driver.cuDeviceGetName(name, len(name), device),
        driver.cuDeviceGetAttribute(ctypes.byref(major), _CAPABILITY_MAJOR, device),
        driver.cuDeviceGetAttribute(ctypes.byref(minor), _CAPABILITY_MINOR, device),
    ):
        check(status, "asking the NVIDIA driver for its GPU")
    return Gpu(name.value.decode(errors="replace"), f"sm{major.value}{minor.value}")
