"""Who frees what on the GPU, and when."""

from __future__ import annotations

import ctypes
import weakref
from collections.abc import Callable
from math import prod
from typing import Any, TypeVar

import numpy as np
from numpy.typing import DTypeLike, NDArray

from edgeseg.errors import InputError


class Owned:
    """What is given back once: when told to, or else when nothing refers to it any more.

    Args:
        release: gives it back, from whichever thread; must not raise.
        arguments: for ``release``.
    """

    def __init__(self, release: Callable[..., None], *arguments: Any) -> None:
        self._finalizer = _finalize(self, release, *arguments)

    def close(self) -> None:
        """Give it back. Calling it twice is harmless."""
        self._finalizer()


class OwnedMemory(Owned):
    """``nbytes`` of the GPU's memory at ``address``; see :class:`Owned`."""

    def __init__(self, address: int, nbytes: int, release: Callable[..., None], *arguments: Any) -> None:
        super().__init__(release, *arguments)
        self.address = address
        self.nbytes = nbytes

    def free(self) -> None:
        """See :meth:`Owned.close`."""
        self.close()


_Thing = TypeVar("_Thing", bound=Owned)


class Owner:
    """What makes things on the GPU, and gives back all that are left."""

    def __init__(self) -> None:
        self._made: weakref.WeakSet[Owned] = weakref.WeakSet()

    def owns(self, thing: _Thing) -> _Thing:
        """Remember it for as long as somebody refers to it."""
        self._made.add(thing)
        return thing

    def close(self) -> None:
        """Give back all of it. Calling it twice is harmless."""
        for made in list(self._made):
            made.close()


def as_array(
    address: int, shape: tuple[int, ...], dtype: DTypeLike, release: Callable[..., None], *arguments: Any
) -> NDArray[Any]:
    """Host memory as an array; ``release(*arguments)`` is called when neither it nor a view of it is left."""
    buffer = (ctypes.c_ubyte * (prod(shape) * np.dtype(dtype).itemsize)).from_address(address)
    _finalize(buffer, release, *arguments)
    return np.frombuffer(memoryview(buffer), dtype).reshape(shape)


def check_room(array: NDArray[Any], nbytes: int) -> None:
    """Raise InputError unless the array is C-contiguous and has at most ``nbytes``."""
    if array.nbytes > nbytes or not array.flags.c_contiguous:
        raise InputError(
            f"an array of shape {array.shape} and dtype {array.dtype} does not go with {nbytes} bytes on the GPU",
            "Use a C-contiguous array that is no larger",
        )


def mib(nbytes: int) -> str:
    """Bytes for a message: ``12.0 MiB``."""
    return f"{nbytes / 2**20:.1f} MiB"


def _finalize(owner: Any, release: Callable[..., None], *arguments: Any) -> weakref.finalize[..., Any]:
    finalizer = weakref.finalize(owner, release, *arguments)
    finalizer.atexit = False  # what is left when the process ends goes with it
    return finalizer
