"""The GPU by pycuda."""

from __future__ import annotations

import atexit
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import cache
from typing import Any

from numpy.typing import DTypeLike, NDArray
from pycuda import VERSION_TEXT, driver

from edgeseg.runtime.cuda.binding import Captured, DeviceMemory, Stream
from edgeseg.runtime.cuda.driver import NON_BLOCKING, error_text, failure
from edgeseg.runtime.cuda.graph import capture
from edgeseg.runtime.cuda.memory import Owned, OwnedMemory, Owner, as_array, check_room, mib

_UNKNOWN = 999  # CUDA_ERROR_UNKNOWN


class PyCuda(Owner):
    """See :class:`edgeseg.runtime.cuda.binding.Cuda`."""

    def __init__(self) -> None:
        super().__init__()
        self.name = f"pycuda {VERSION_TEXT}"
        self._context = _primary_context()

    @contextmanager
    def current(self) -> Iterator[None]:
        with _errors("reaching the GPU"):
            self._context.push()
        try:
            yield
        finally:
            with suppress(driver.Error):  # of a lost GPU
                driver.Context.pop()

    def pinned(self, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        with _errors("page-locking host memory"):
            array = driver.pagelocked_empty(shape, dtype)
        return as_array(array.ctypes.data, shape, dtype, _drop, self._context, [array])

    def allocate(self, nbytes: int) -> DeviceMemory:
        with _errors(f"reserving {mib(nbytes)}"):
            allocation = driver.mem_alloc(nbytes)
        return self.owns(OwnedMemory(int(allocation), nbytes, _drop, self._context, [allocation]))

    def stream(self) -> Stream:
        with _errors("opening a stream"):
            stream = _Stream(self._context, driver.Stream(NON_BLOCKING))
        return self.owns(stream)


class _Stream(Owned):
    def __init__(self, context: Any, stream: Any) -> None:
        self.handle: int = stream.handle
        self._stream = [stream]  # the only reference, which _drop takes away
        super().__init__(_drop, context, self._stream)

    def copy_to_device(self, target: DeviceMemory, source: NDArray[Any]) -> None:
        check_room(source, target.nbytes)
        with _errors("copying to the GPU"):
            driver.memcpy_htod_async(target.address, source, self._stream[0])

    def copy_to_host(self, target: NDArray[Any], source: DeviceMemory) -> None:
        check_room(target, source.nbytes)
        with _errors("copying from the GPU"):
            driver.memcpy_dtoh_async(target, source.address, self._stream[0])

    def synchronize(self) -> None:
        with _errors("waiting for the GPU"):
            self._stream[0].synchronize()

    def capture(self) -> AbstractContextManager[Captured]:
        return capture(self.handle)


@cache
def _primary_context() -> Any:
    """Kept for the process: pycuda releases it only in the thread that opened it, and then leaves it on its stack."""
    with _errors("opening the GPU"):
        driver.init()
        context = driver.Device(0).retain_primary_context()
    atexit.register(_detach, context)  # else pycuda would, but not as a primary one, and print a warning
    return context


def _detach(context: Any) -> None:
    """Release it; what is in it and not freed yet, pycuda then leaves alone."""
    with suppress(driver.Error):
        context.detach()


def _drop(context: Any, made: list[Any]) -> None:
    """Let pycuda free what the list holds: it does so when the last reference goes, if the context is current then."""
    try:
        context.push()
    except driver.Error:  # a lost GPU
        _detach(context)  # or pycuda would end the process when the list goes
        return
    try:
        driver.mem_get_info()
    except driver.Error:
        _detach(context)  # or pycuda would complain on stderr of each thing that it cannot free
    made.clear()
    with suppress(driver.Error):
        driver.Context.pop()


@contextmanager
def _errors(doing: str) -> Iterator[None]:
    try:
        yield
    except driver.Error as error:
        raise failure(_status(error), doing) from error


def _status(error: Exception) -> int:
    """CUDA's number for what pycuda raised, which keeps only its words: ``cuMemAlloc failed: out of memory``."""
    words = str(error).split(" failed: ", 1)[-1].split(" - ", 1)[0]
    return next((status for status in range(1, _UNKNOWN) if error_text(status) == words), _UNKNOWN)
