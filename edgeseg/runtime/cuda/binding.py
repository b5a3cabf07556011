"""What an engine needs of a GPU: memory on both sides, streams, graphs; by whichever Python binding is installed."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Protocol

from numpy.typing import DTypeLike, NDArray

from edgeseg.errors import MissingDependencyError
from edgeseg.runtime.cuda.driver import start_driver

_BINDINGS = (
    ("edgeseg.runtime.cuda.pycuda", "PyCuda", ("pycuda",)),
    ("edgeseg.runtime.cuda.cuda_python", "CudaPython", ("cuda.bindings", "cuda.cuda")),
)
"""In the order of preference: module, class, and the packages of which it needs one."""


class DeviceMemory(Protocol):
    """Memory on the GPU, ``nbytes`` from ``address``."""

    address: int
    nbytes: int

    def free(self) -> None:
        """Give it back. Calling it twice is harmless."""
        ...


class Graph(Protocol):
    """What a stream has recorded, to be run again at the cost of one call."""

    def launch(self, stream: Stream) -> None:
        """Put it all into a stream; does not wait."""
        ...

    def close(self) -> None:
        """Give it back. Calling it twice is harmless."""
        ...


@dataclass
class Captured:
    """What :meth:`Stream.capture` gives; ``graph`` is there once its ``with`` has ended."""

    graph: Graph | None = None


class Stream(Protocol):
    """Work for the GPU, done in order; streams do not wait for each other.

    Attributes:
        handle: the CUstream as an integer, as TensorRT's ``execute_async_v3`` takes it.
    """

    handle: int

    def copy_to_device(self, target: DeviceMemory, source: NDArray[Any]) -> None:
        """Put a copy of an array of :meth:`Cuda.pinned` into the stream: leave the array alone until it is done."""
        ...

    def copy_to_host(self, target: NDArray[Any], source: DeviceMemory) -> None:
        """Put a copy to an array of :meth:`Cuda.pinned` into the stream; it fills the array, and may leave a rest."""
        ...

    def synchronize(self) -> None:
        """Wait until the stream is empty; other Python threads go on. An error of any work before it is raised here."""
        ...

    def capture(self) -> AbstractContextManager[Captured]:
        """While the ``with`` lasts, what this thread puts into the stream is recorded, and does not run.

        Raises:
            DeviceError: at its end, something in it cannot be recorded. The stream may be used as before.
        """
        ...

    def close(self) -> None:
        """Give it back. Calling it twice is harmless."""
        ...


class Cuda(Protocol):
    """The first GPU. Using it, and what it makes, wants :meth:`current` around and raises DeviceError.

    Giving something back needs neither that nor the same thread, and does not raise, also when the GPU is lost.

    Attributes:
        name: the binding and its version, such as ``pycuda 2026.1``.
    """

    name: str

    def current(self) -> AbstractContextManager[None]:
        """While the ``with`` lasts, this thread works on the GPU; any thread may, and several at once.

        The context is the primary one, which CUDA's runtime uses too, so that TensorRT and this share it. It stays for
        the life of the process, as the runtime keeps it.
        """
        ...

    def pinned(self, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        """Page-locked host memory, which the GPU copies by itself; it lives as long as the array or a view of it."""
        ...

    def allocate(self, nbytes: int) -> DeviceMemory:
        """Memory on the GPU, not cleared."""
        ...

    def stream(self) -> Stream:
        """A stream that does not wait for CUDA's default stream either."""
        ...

    def close(self) -> None:
        """Give back all streams and device memory. Calling it twice is harmless."""
        ...


def open_cuda() -> Cuda:
    """The GPU by pycuda, or else by cuda-python.

    Raises:
        MissingDependencyError: there is no NVIDIA driver, or neither binding can be imported.
        DeviceError: there is no GPU, or it cannot be used.
    """
    start_driver()
    reasons = []
    for module, type_name, _ in _BINDINGS:
        try:
            opener: type[Cuda] = getattr(import_module(module), type_name)
        except ImportError as error:
            reasons.append(" ".join(str(error).split()))
        else:
            return opener()
    raise MissingDependencyError(
        f"neither pycuda nor cuda-python can be imported ({'; '.join(reasons)})",
        "Run: pip install cuda-python, or where CUDA's headers are, as on a Jetson: pip install pycuda",
    )


def has_binding() -> bool:
    """Whether a binding is installed, without loading it."""
    return any(_is_installed(package) for _, _, packages in _BINDINGS for package in packages)


def _is_installed(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except ModuleNotFoundError:  # nor is the package that it would be in
        return False
