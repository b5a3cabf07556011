"""CUDA graphs by ctypes: pycuda has none, and a stream's handle is the same in every binding."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager

from edgeseg.runtime.cuda.binding import Captured, Stream
from edgeseg.runtime.cuda.driver import check, load_driver
from edgeseg.runtime.cuda.memory import Owned

_THREAD_LOCAL = 1  # CU_STREAM_CAPTURE_MODE_…: other threads may go on allocating meanwhile


class DriverGraph(Owned):
    """A graph ready to run; see :class:`edgeseg.runtime.cuda.binding.Graph`."""

    def __init__(self, executable: ctypes.c_void_p) -> None:
        super().__init__(_destroy, executable)
        self._executable = executable

    def launch(self, stream: Stream) -> None:
        """See :meth:`edgeseg.runtime.cuda.binding.Graph.launch`."""
        status = load_driver().cuGraphLaunch(self._executable, ctypes.c_void_p(stream.handle))
        check(status, "replaying a CUDA graph")


@contextmanager
def capture(handle: int) -> Iterator[Captured]:
    """See :meth:`edgeseg.runtime.cuda.binding.Stream.capture`, for a stream's handle."""
    driver, stream, doing = load_driver(), ctypes.c_void_p(handle), "recording a CUDA graph"
    recorded, executable = ctypes.c_void_p(), ctypes.c_void_p()
    check(driver.cuStreamBeginCapture_v2(stream, _THREAD_LOCAL), doing)
    captured = Captured()
    try:
        try:
            yield captured
        finally:  # also after an error, or the stream would go on recording
            status = driver.cuStreamEndCapture(stream, ctypes.byref(recorded))
        check(status, doing)
        check(driver.cuGraphInstantiateWithFlags(ctypes.byref(executable), recorded, ctypes.c_uint64(0)), doing)
        captured.graph = DriverGraph(executable)
    finally:
        if recorded:
            driver.cuGraphDestroy(recorded)


def _destroy(executable: ctypes.c_void_p) -> None:
    load_driver().cuGraphExecDestroy(executable)
