"""TensorRT: an engine on the GPU, fed from page-locked memory and replayed as a CUDA graph.

Two *slots* share the engine. Each has a stream, an execution context and its own buffers on both sides, so that the
frames of one are copied while the other computes: those of another thread, or the next part of a large batch.
"""

from __future__ import annotations

import logging
import queue
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeseg.errors import DeviceError, EdgesegError, ModelError
from edgeseg.runtime.backend import check_images
from edgeseg.runtime.cuda.binding import Cuda, Graph, open_cuda
from edgeseg.runtime.cuda.gpu import find_gpu
from edgeseg.runtime.tensorrt.log import ErrorLog
from edgeseg.runtime.tensorrt.module import TensorRT, find_tensorrt
from edgeseg.runtime.tensorrt.plugins import load_plugins
from edgeseg.runtime.tensorrt.record import EngineRecord, TensorInfo, read_fitting
from edgeseg.runtime.tensorrt.trust import check_trusted

logger = logging.getLogger(__name__)

_SLOTS = 2

_FIRST_PAUSE, _LONGEST_PAUSE = 100, 10_000
"""Runs without a CUDA graph after one could not be recorded: the first time, and at most."""


class TrtBackend:
    """An engine with its own stream; ``infer`` may be called from several threads at once.

    Args:
        path: an engine that ``edgeseg export --format tensorrt`` wrote, its record beside it.
        threads: as other backends have it; the CPU does nothing here but copy.
        trust_engine: load it although it was not built by this user on this machine. An engine is a program.

    Raises:
        ModelError: no such engine, or it was built for another GPU or version, is damaged, or is not trusted.
        SpecError: the spec in its record is malformed.
        MissingDependencyError: TensorRT, edgeseg's plugins, CUDA's Python binding or the driver is missing.
        DeviceError: there is no GPU, it failed, or it has too little free memory.
    """

    def __init__(self, path: Path, *, threads: int | None = None, trust_engine: bool = False) -> None:
        tensorrt = find_tensorrt()
        record, content = read_fitting(path, tensorrt, find_gpu())
        _check_tensors(record, path)
        check_trusted(path, record.engine_sha256, trust_engine, record.rebuild(path))
        if record.plugins:
            load_plugins(tensorrt)
        self.spec = record.spec
        self.max_batch: int | None = None  # more go in parts
        self._path = path
        self._most = record.options.batch[2]
        self._log = ErrorLog(tensorrt)
        self._told = False
        self._cuda: Cuda | None = open_cuda()
        self._engine: Any = None
        self._slots: list[_Slot] = []
        self._free: queue.SimpleQueue[_Slot] = queue.SimpleQueue()
        try:
            with self._cuda.current():
                self._engine = _load(content, path, record, tensorrt, self._log)
                for _ in range(_SLOTS):
                    self._slots.append(_Slot(self._cuda, self._engine, record, path, self._log, self._not_recorded))
        except BaseException:
            self.close()
            raise
        for slot in self._slots:
            self._free.put(slot)

    def infer(self, images: NDArray[np.uint8]) -> NDArray[np.float32] | NDArray[np.uint8]:
        """See :meth:`edgeseg.runtime.backend.Backend.infer`; more images than the engine takes go in parts.

        Raises:
            DeviceError: the GPU failed, or is gone.
        """
        if self._cuda is None:
            raise ModelError(f"{self._path} is closed", "Open the model again")
        check_images(images, self.spec.input_size)
        parts = [slice(start, min(start + self._most, len(images))) for start in range(0, len(images), self._most)]
        result = self._slots[0].empty_result(len(images))
        flying: deque[tuple[_Slot, slice]] = deque()
        with self._cuda.current():
            try:
                for part in parts:
                    slot = self._take(flying, result)
                    flying.append((slot, part))
                    slot.start(images[part])
                while flying:
                    self._land(flying, result)
            finally:
                for slot, _ in flying:  # something failed; what is under way no longer matters
                    slot.settle()
                    self._free.put(slot)
        return result

    def close(self) -> None:
        """Free the engine and its buffers."""
        cuda, self._cuda = self._cuda, None
        if cuda is None:
            return
        with suppress(DeviceError), cuda.current():  # of a lost GPU
            for slot in self._slots:
                slot.close()
        self._slots, self._engine, self._free = [], None, queue.SimpleQueue()
        cuda.close()

    def _not_recorded(self, error: EdgesegError) -> None:
        """Say once that the engine runs slower than it might."""
        if not self._told:
            self._told = True
            logger.warning("%s runs without a CUDA graph, somewhat slower: %s", self._path, error.what)

    def _take(self, flying: deque[tuple[_Slot, slice]], result: NDArray[Any]) -> _Slot:
        """A free slot. Only who holds none waits for one, so that two callers never wait for each other."""
        if not flying:
            return self._free.get()
        try:
            return self._free.get_nowait()
        except queue.Empty:
            self._land(flying, result)
            return self._take(flying, result)

    def _land(self, flying: deque[tuple[_Slot, slice]], result: NDArray[Any]) -> None:
        slot, part = flying[0]
        slot.finish(result[part])
        flying.popleft()
        self._free.put(slot)


class _Slot:
    """A stream, an execution context, and a pair of buffers for each side."""

    def __init__(
        self,
        cuda: Cuda,
        engine: Any,
        record: EngineRecord,
        path: Path,
        log: ErrorLog,
        tell: Callable[[EdgesegError], None],
    ) -> None:
        (image,), (output,) = record.inputs, record.outputs
        self._least, _, most = record.options.batch
        self._path, self._log, self._input_name, self._tell = path, log, image.name, tell
        self._stream = cuda.stream()
        self._images = cuda.pinned((most, *image.shape[1:]), np.dtype(image.dtype))
        self._output = cuda.pinned((most, *output.shape[1:]), np.dtype(output.dtype))
        self._device_images = cuda.allocate(self._images.nbytes)
        self._device_output = cuda.allocate(self._output.nbytes)
        self._graph: Graph | None = None
        self._batch = 0  # of the last run
        self._capturing = False
        self._runs_to_capture, self._pause = 0, _FIRST_PAUSE
        self._context = engine.create_execution_context()
        if self._context is None:
            raise _failed(path, log, "cannot be made ready")
        self._context.set_tensor_address(image.name, self._device_images.address)
        self._context.set_tensor_address(output.name, self._device_output.address)

    def empty_result(self, count: int) -> NDArray[Any]:
        """Room for the output of so many images."""
        return np.empty((count, *self._output.shape[1:]), self._output.dtype)

    def start(self, images: NDArray[np.uint8]) -> None:
        """Put the images' way through the GPU into the stream; does not wait. Black ones fill what the engine wants."""
        count = max(len(images), self._least)
        self._images[: len(images)] = images
        self._images[len(images) : count] = 0
        if count != self._batch:
            self._forget_graph()
            self._batch = 0
            if not self._context.set_input_shape(self._input_name, self._images[:count].shape):
                raise _failed(self._path, self._log, f"does not take {count} image(s)")
            self._batch = count
            self._enqueue()
        elif self._graph is not None:
            self._graph.launch(self._stream)
        else:
            self._enqueue()
            self._runs_to_capture -= 1
            if self._runs_to_capture < 0:
                self._capture()

    def finish(self, result: NDArray[Any]) -> None:
        """Wait, and copy out what came."""
        self._stream.synchronize()
        np.copyto(result, self._output[: len(result)])

    def settle(self) -> None:
        """Wait until nothing is under way, whatever became of it."""
        with suppress(DeviceError):
            self._stream.synchronize()

    def close(self) -> None:
        self._forget_graph()
        self._context = None
        self._stream.close()
        self._device_images.free()
        self._device_output.free()

    def _enqueue(self) -> None:
        self._stream.copy_to_device(self._device_images, self._images[: self._batch])
        self._log.clear()
        if not self._context.execute_async_v3(self._stream.handle):
            if not self._capturing:
                self._stream.synchronize()  # tells if it is the GPU that is lost
            raise _failed(self._path, self._log, "failed to run")
        self._stream.copy_to_host(self._output[: self._batch], self._device_output)

    def _capture(self) -> None:
        """From the second run of a batch size on: the first is when TensorRT does what it has put off.

        One graph at a time, because a graph is only good for the shapes that its context has.
        """
        self._capturing = True
        try:
            with self._stream.capture() as captured:
                self._enqueue()
            self._graph = captured.graph
        except EdgesegError as error:
            # Something in the engine waits or allocates, or memory is short just now: it goes step by step, as it just
            # did, and this is tried again, ever more seldom.
            self._runs_to_capture, self._pause = self._pause, min(2 * self._pause, _LONGEST_PAUSE)
            self._tell(error)
        finally:
            self._capturing = False

    def _forget_graph(self) -> None:
        if self._graph is not None:
            self._graph.close()
            self._graph = None


def _load(content: bytes, path: Path, record: EngineRecord, tensorrt: TensorRT, log: ErrorLog) -> Any:
    """The engine; whether its code may run was asked before."""
    runtime = tensorrt.module.Runtime(log.logger)
    if record.options.dla is not None:
        runtime.DLA_core = record.options.dla
    if record.options.version_compatible:
        runtime.engine_host_code_allowed = True
    engine = runtime.deserialize_cuda_engine(content)
    if engine is None:
        error = _failed(path, log, "cannot be loaded")
        raise type(error)(error.what, error.remedy or record.rebuild(path))
    return engine


def _failed(path: Path, log: ErrorLog, what: str) -> EdgesegError:
    if log.out_of_memory:
        return DeviceError(f"the GPU has too little free memory for {path}", "End what else uses the GPU")
    return ModelError(f"{path} {what} ({log.reason})", "Build it again: edgeseg export MODEL.onnx --format tensorrt")


def _check_tensors(record: EngineRecord, path: Path) -> None:
    """The engine must take and return what its spec says."""
    spec = record.spec
    height, width = spec.input_size
    wanted: tuple[str, tuple[int, ...]]
    if spec.output == "logits":
        wanted = ("float32", (spec.num_classes, -(-height // spec.stride), -(-width // spec.stride)))
    else:
        wanted = ("uint8", (height, width))
    for kind, tensors, expected in (
        ("input", record.inputs, ("uint8", (height, width, 3))),
        ("output", record.outputs, wanted),
    ):
        if [_plain(tensor) for tensor in tensors] != [expected]:
            found = ", ".join(f"{tensor.dtype} {tensor.shape}" for tensor in tensors)
            raise ModelError(f"{path}: the {kind} is {found}, but its spec says {expected}", record.rebuild(path))


def _plain(tensor: TensorInfo) -> tuple[str, tuple[int, ...]]:
    return tensor.dtype, tensor.shape[1:]
