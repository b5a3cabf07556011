"""The GPU by cuda-python, NVIDIA's own binding of the driver."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import cache
from math import prod
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from edgeseg.runtime.cuda.binding import Captured, DeviceMemory, Stream
from edgeseg.runtime.cuda.driver import NON_BLOCKING, check, load_driver
from edgeseg.runtime.cuda.graph import capture
from edgeseg.runtime.cuda.memory import Owned, OwnedMemory, Owner, as_array, check_room, mib

try:
    from cuda.bindings import __version__, driver
except ImportError:  # an older cuda-python
    from cuda import __version__
    from cuda import cuda as driver


class CudaPython(Owner):
    """See :class:`edgeseg.runtime.cuda.binding.Cuda`."""

    def __init__(self) -> None:
        super().__init__()
        self.name = f"cuda-python {__version__}"
        self._context = _primary_context()

    @contextmanager
    def current(self) -> Iterator[None]:
        _call("reaching the GPU", driver.cuCtxPushCurrent, self._context)
        try:
            yield
        finally:
            driver.cuCtxPopCurrent()

    def pinned(self, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        nbytes = prod(shape) * np.dtype(dtype).itemsize
        address = int(_call("page-locking host memory", driver.cuMemHostAlloc, nbytes, 0))
        return as_array(address, shape, dtype, _free, self._context, driver.cuMemFreeHost, address)

    def allocate(self, nbytes: int) -> DeviceMemory:
        pointer = _call(f"reserving {mib(nbytes)}", driver.cuMemAlloc, nbytes)
        return self.owns(OwnedMemory(int(pointer), nbytes, _free, self._context, driver.cuMemFree, pointer))

    def stream(self) -> Stream:
        return self.owns(_Stream(self._context, _call("opening a stream", driver.cuStreamCreate, NON_BLOCKING)))


class _Stream(Owned):
    def __init__(self, context: Any, stream: Any) -> None:
        super().__init__(_free, context, driver.cuStreamDestroy, stream)
        self.handle = int(stream)
        self._stream = stream

    def copy_to_device(self, target: DeviceMemory, source: NDArray[Any]) -> None:
        check_room(source, target.nbytes)
        arguments = target.address, source.ctypes.data, source.nbytes, self._stream
        _call("copying to the GPU", driver.cuMemcpyHtoDAsync, *arguments)

    def copy_to_host(self, target: NDArray[Any], source: DeviceMemory) -> None:
        check_room(target, source.nbytes)
        arguments = target.ctypes.data, source.address, target.nbytes, self._stream
        _call("copying from the GPU", driver.cuMemcpyDtoHAsync, *arguments)

    def synchronize(self) -> None:
        # By ctypes, because cuda-python 12 keeps the GIL while it waits.
        check(load_driver().cuStreamSynchronize(ctypes.c_void_p(self.handle)), "waiting for the GPU")

    def capture(self) -> AbstractContextManager[Captured]:
        return capture(self.handle)


@cache
def _primary_context() -> Any:
    """Kept for the process, as CUDA's runtime keeps it."""
    _call("opening the GPU", driver.cuInit, 0)
    device = _call("opening the GPU", driver.cuDeviceGet, 0)
    return _call("opening the GPU", driver.cuDevicePrimaryCtxRetain, device)


def _call(doing: str, function: Callable[..., Any], *arguments: Any) -> Any:
    """The one value that a function of the driver returns beside its status; None for none."""
    status, *values = function(*arguments)
    check(int(status), doing)
    return values[0] if values else None


def _free(context: Any, function: Callable[..., Any], handle: Any) -> None:
    """Statuses are left alone: a lost GPU has lost this too."""
    (status,) = driver.cuCtxPushCurrent(context)
    if int(status) == 0:
        function(handle)
        driver.cuCtxPopCurrent()
