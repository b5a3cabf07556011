"""The GPU by each Python binding of CUDA, as installed, over a driver on the CPU (see conftest.py)."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec

import pytest

from edgeseg.errors import MissingDependencyError
from edgeseg.runtime.cuda.binding import open_cuda

BINDINGS = {
    "pycuda": "from edgeseg.runtime.cuda.pycuda import PyCuda as Binding",
    "cuda-python": "from edgeseg.runtime.cuda.cuda_python import CudaPython as Binding",
}
PREAMBLE = """
import ctypes, threading
import numpy as np
from edgeseg.errors import DeviceError, InputError
gpu = Binding()
driver = ctypes.CDLL("libcuda.so.1")
def error(function, *arguments):
    try:
        function(*arguments)
    except (DeviceError, InputError) as raised:
        return f"{type(raised).__name__}: {raised}"
def in_thread(function):
    thread = threading.Thread(target=function)
    thread.start()
    thread.join()
"""


def installed() -> list[str]:
    cuda_python = find_spec("cuda") is not None and (find_spec("cuda.bindings") or find_spec("cuda.cuda"))
    return [name for name, spec in (("pycuda", find_spec("pycuda")), ("cuda-python", cuda_python)) if spec]


@pytest.fixture(params=BINDINGS)
def printed(request, run_on_gpu) -> Callable[..., list[str]]:
    """``printed(code, **environment)``: the lines that code prints; ``gpu`` is there, and stderr must stay empty.

    With ``warns`` pycuda may complain there.
    """
    if request.param not in installed():
        pytest.skip(f"{request.param} is not installed")

    def run(code: str, warns: bool = False, **environment: str) -> list[str]:
        ran = run_on_gpu(f"{BINDINGS[request.param]}\n{PREAMBLE}\n{code}", **environment)
        assert ran.rc == 0, ran.stderr
        assert not ran.stderr or (warns and ran.stderr.startswith("PyCUDA WARNING: a clean-up operation failed"))
        return ran.stdout.splitlines()

    return run


def test_what_is_copied_there_and_back_is_there_after_synchronize(printed):
    lines = printed("""
with gpu.current():
    stream, memory = gpu.stream(), gpu.allocate(24)
    source, target = gpu.pinned((2, 3), np.float32), gpu.pinned((2, 3), np.float32)
    source[:] = [[1, 2, 3], [4, 5, 6]]
    target[:] = 0
    stream.copy_to_device(memory, source)
    stream.copy_to_host(target, memory)
    print(target.tolist(), memory.nbytes, stream.handle > 0, memory.address > 0)
    stream.synchronize()
    print(target.tolist())
    source[:1] = 7
    stream.copy_to_device(memory, source[:1])
    stream.copy_to_host(target, memory)
    stream.synchronize()
    print(target.tolist())
""")
    assert lines == [
        "[[0.0, 0.0, 0.0], [0.0, 0.0, 0.0]] 24 True True",
        "[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]",
        "[[7.0, 7.0, 7.0], [4.0, 5.0, 6.0]]",
    ]


def test_streams_do_not_wait_for_each_other(printed):
    lines = printed("""
with gpu.current():
    streams, memories, arrays = zip(*((gpu.stream(), gpu.allocate(1), gpu.pinned((1,), np.uint8)) for _ in range(2)))
    results = [gpu.pinned((1,), np.uint8) for _ in range(2)]
    for value, (stream, memory, array, result) in enumerate(zip(streams, memories, arrays, results)):
        array[:], result[:] = 10 + value, 0
        stream.copy_to_device(memory, array)
        stream.copy_to_host(result, memory)
    for stream in reversed(streams):
        stream.synchronize()
        print(results[0][0], results[1][0])
""")
    assert lines == ["0 11", "10 11"]


def test_a_graph_replays_what_was_recorded_with_what_the_buffers_then_hold(printed):
    lines = printed("""
with gpu.current():
    stream, memory = gpu.stream(), gpu.allocate(1)
    array, result = gpu.pinned((1,), np.uint8), gpu.pinned((1,), np.uint8)
    array[:], result[:] = 1, 0
    with stream.capture() as captured:
        stream.copy_to_device(memory, array)
        stream.copy_to_host(result, memory)
    stream.synchronize()
    print("recorded", result[0])
    for value in (2, 3):
        array[:] = value
        captured.graph.launch(stream)
        print("launched", result[0])
        stream.synchronize()
        print("done", result[0])
    captured.graph.close()
    captured.graph.close()
    print(driver.cpu_driver_calls(b"cuMemcpyHtoDAsync_v2"), driver.cpu_driver_calls(b"cuGraphLaunch"))
""")
    assert lines == ["recorded 0", "launched 0", "done 2", "launched 2", "done 3", "1 2"]


def test_a_stream_whose_recording_failed_goes_on(printed):
    lines = printed("""
def record(what):
    with stream.capture() as captured:
        stream.copy_to_host(result, memory)
        what()
with gpu.current():
    stream, memory = gpu.stream(), gpu.allocate(1)
    array, result = gpu.pinned((1,), np.uint8), gpu.pinned((1,), np.uint8)
    print(error(record, stream.synchronize))
    try:
        record(lambda: 1 / 0)
    except ZeroDivisionError:
        print("passed on")
    array[:], result[:] = 5, 0
    stream.copy_to_device(memory, array)
    stream.copy_to_host(result, memory)
    stream.synchronize()
    print(result[0], driver.cpu_driver_live())
""")
    assert "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED" in lines[0]
    assert lines[1:] == ["passed on", "5 4"]


def test_a_recording_that_the_driver_refuses_is_told_at_its_end(printed):
    lines = printed("""
def record():
    with stream.capture():
        try:
            gpu.allocate(1)
        except DeviceError as raised:
            print(raised.what)
with gpu.current():
    stream = gpu.stream()
    print(error(record))
""")
    assert "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED" in lines[0]
    assert lines[1].startswith("DeviceError: recording a CUDA graph failed (CUDA_ERROR_STREAM_CAPTURE_INVALIDATED")


def test_any_thread_may_use_and_give_back(printed):
    lines = printed("""
def use():
    print(error(gpu.allocate, 1).split(" (")[0])
    with gpu.current(), gpu.current():
        array[:] = 9
        stream.copy_to_device(memory, array)
        stream.copy_to_host(result, memory)
        stream.synchronize()
        print(result[0])
    memory.free()
    stream.close()
with gpu.current():
    stream, memory = gpu.stream(), gpu.allocate(1)
    array, result = gpu.pinned((1,), np.uint8), gpu.pinned((1,), np.uint8)
in_thread(use)
print(driver.cpu_driver_live())
def drop():
    global array, result
    del array, result
in_thread(drop)
print(driver.cpu_driver_live())
""")
    assert lines == ["DeviceError: reserving 0.0 MiB failed", "9", "2", "0"]


def test_what_another_thread_opened_is_used_and_closed_here(printed):
    lines = printed("""
def open_it():
    global gpu, memory
    gpu = Binding()
    with gpu.current():
        memory = gpu.allocate(1)
gpu.close()
in_thread(open_it)
with gpu.current():
    gpu.stream()
gpu.close()
print(driver.cpu_driver_live())
""")
    assert lines == ["0"]


def test_close_gives_back_what_is_left_but_not_arrays_in_use(printed):
    lines = printed("""
with gpu.current():
    stream, memory, array = gpu.stream(), gpu.allocate(100), gpu.pinned((2, 4), np.uint8)
    array[:] = 3
    dropped = gpu.allocate(100), gpu.stream(), gpu.pinned((4,), np.uint8)
    print(driver.cpu_driver_live())
    del dropped
    print(driver.cpu_driver_live())
gpu.close()
gpu.close()
memory.free()
stream.close()
print(driver.cpu_driver_live())
view = array[1:]
del array, gpu
print(view.tolist(), driver.cpu_driver_live())
del view
print(driver.cpu_driver_live())
context = ctypes.c_void_p()
driver.cuCtxGetCurrent(ctypes.byref(context))
print(context.value)
""")
    assert lines == ["6", "3", "1", "[[3, 3, 3, 3]] 1", "0", "None"]


def test_what_is_not_closed_when_the_process_ends_is_no_trouble(printed):
    assert printed("""
def open_it():
    global kept
    gpu = Binding()
    with gpu.current():
        kept = gpu.stream(), gpu.allocate(1), gpu.pinned((1,), np.uint8)
with gpu.current():
    own = gpu.stream(), gpu.allocate(1), gpu.pinned((1,), np.uint8)
in_thread(open_it)
print("end")
""") == ["end"]


def test_too_little_memory_is_told_and_passes(printed):
    lines = printed(
        """
with gpu.current():
    first = gpu.allocate(3 << 20)
    print(error(gpu.allocate, 2 << 20))
    first.free()
    print(gpu.allocate(2 << 20).nbytes)
""",
        CPU_DRIVER_MEMORY=str(4 << 20),
    )
    assert lines == [
        "DeviceError: the GPU has too little free memory: reserving 2.0 MiB failed. "
        "End what else uses the GPU, or pass fewer images at a time or use a smaller model.",
        str(2 << 20),
    ]


@pytest.mark.parametrize(
    ("function", "status", "name", "doing"),
    [
        ("cuStreamSynchronize", 700, "CUDA_ERROR_ILLEGAL_ADDRESS", "waiting for the GPU"),
        ("cuMemcpyHtoDAsync_v2", 719, "CUDA_ERROR_LAUNCH_FAILED", "copying to the GPU"),
        ("cuMemcpyDtoHAsync_v2", 214, "CUDA_ERROR_ECC_UNCORRECTABLE", "copying from the GPU"),
        ("cuGraphLaunch", 999, "CUDA_ERROR_UNKNOWN", "replaying a CUDA graph"),
    ],
)
def test_a_lost_gpu_is_told_by_name_and_closes_without_a_word(printed, function, status, name, doing):
    lines = printed(
        """
def frame():
    stream.copy_to_device(memory, array)
    stream.copy_to_host(array, memory)
    stream.synchronize()
    graph.launch(stream)
with gpu.current():
    stream, memory, array = gpu.stream(), gpu.allocate(1), gpu.pinned((1,), np.uint8)
    with stream.capture() as captured:
        pass
    graph = captured.graph
    frame()
    print(error(frame))
    print(error(gpu.allocate, 1) is not None)
    graph.close()
    memory.free()
    stream.close()
del array
gpu.close()
gpu.close()
""",
        CPU_DRIVER_FAIL=f"{function}:2:{status}",
    )
    assert lines[0].startswith(f"DeviceError: {doing} failed ({name}: ")
    assert lines[0].endswith(". Restart the process; if it stays, see what nvidia-smi and dmesg say, or reboot.")
    assert lines[1:] == ["True"]


def test_a_lost_gpu_that_cannot_even_be_reached_can_be_closed(printed):
    lines = printed(
        """
with gpu.current():
    stream, memory, array = gpu.stream(), gpu.allocate(1), gpu.pinned((1,), np.uint8)
def reach():
    with gpu.current():
        pass
print(error(reach))
del array
gpu.close()
""",
        warns=True,
        CPU_DRIVER_FAIL="cuCtxPushCurrent_v2:2:700",
    )
    assert len(lines) == 1
    assert lines[0].startswith("DeviceError: reaching the GPU failed (CUDA_ERROR_ILLEGAL_ADDRESS: ")


def test_other_threads_go_on_while_one_waits(printed):
    # The work in the stream waits for a semaphore in C; only Python that runs meanwhile can raise it.
    assert printed("""
libc = ctypes.CDLL(None)
semaphore = ctypes.create_string_buffer(64)
libc.sem_init(semaphore, 0, 0)
with gpu.current():
    stream = gpu.stream()
    driver.cuLaunchHostFunc(ctypes.c_void_p(stream.handle), libc.sem_wait, semaphore)
    other = threading.Timer(0.05, libc.sem_post, [semaphore])
    other.start()
    stream.synchronize()
    print("done")
""") == ["done"]


def test_arrays_that_do_not_fit_are_refused(printed):
    lines = printed("""
with gpu.current():
    stream, memory, array = gpu.stream(), gpu.allocate(8), gpu.pinned((4, 4), np.uint8)
    print(error(stream.copy_to_device, memory, array))
    print(error(stream.copy_to_host, array, memory))
    print(error(stream.copy_to_device, memory, array[:, :1]))
""")
    assert len(lines) == 3
    assert all(line.startswith("InputError: an array of shape (4, ") for line in lines)


def test_pycuda_comes_first_and_cuda_python_else(run_on_gpu):
    if not installed():
        pytest.skip("neither pycuda nor cuda-python is installed")
    code = "from edgeseg.runtime.cuda.binding import has_binding, open_cuda; print(has_binding(), open_cuda().name)"
    first, *others = installed()
    assert run_on_gpu(code).stdout.startswith(f"True {first} ")
    if others:
        ran = run_on_gpu(f"import sys; sys.modules['pycuda'] = None; {code}")
        assert ran.stdout.startswith(f"True {others[0]} ")


def test_without_a_binding_both_are_named(run_on_gpu):
    ran = run_on_gpu("""
import sys
sys.modules["pycuda"] = sys.modules["cuda"] = None
from edgeseg.runtime.cuda.binding import has_binding, open_cuda
print(has_binding())
try:
    open_cuda()
except ImportError as error:
    print(type(error).__name__, error)
""")
    has, told = ran.stdout.splitlines()
    assert has == "False"
    assert told.startswith("MissingDependencyError neither pycuda nor cuda-python can be imported (")
    assert "pip install cuda-python" in told
    assert "pip install pycuda" in told


def test_without_a_gpu_that_is_said_first(run_on_gpu):
    code = """
from edgeseg.errors import DeviceError
from edgeseg.runtime.cuda.binding import open_cuda
try:
    open_cuda()
except DeviceError as error:
    print(error)
"""
    ran = run_on_gpu(code, CPU_DRIVER_FAIL="cuInit:1:100")
    assert ran.stdout == "there is no GPU that CUDA can use on this machine. See what nvidia-smi says.\n"


def test_without_a_driver_that_is_said_first():
    from edgeseg.runtime.cuda.driver import load_driver

    try:
        load_driver()
    except MissingDependencyError:
        pass
    else:
        pytest.skip("this machine has an NVIDIA driver")
    with pytest.raises(MissingDependencyError, match="there is no NVIDIA driver on this machine"):
        open_cuda()


def test_the_driver_tells_which_gpu_there_is(run_on_gpu):
    ran = run_on_gpu("from edgeseg.runtime.cuda.gpu import find_gpu; print(find_gpu())")
    assert ran.stdout == "CPU (sm87)\n"
