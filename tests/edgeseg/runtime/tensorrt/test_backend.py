"""Engines on the GPU: the real CUDA binding over a driver on the CPU, and TensorRT's interface simulated above it.

The driver puts work off until someone waits for it: what is read, reused or freed too early shows in the labels.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest

if find_spec("pycuda") is None and find_spec("cuda") is None:
    pytest.skip("needs cuda-python: pip install cuda-bindings", allow_module_level=True)

PREAMBLE = """
import ctypes, json, threading
from pathlib import Path
import numpy as np
from edgeseg.errors import EdgesegError
from edgeseg.artifact.record import record_path
from edgeseg.runtime.tensorrt.record import BuildOptions, EngineRecord, TensorInfo, file_sha256
from edgeseg.runtime.tensorrt.trust import note_built
from edgeseg.runtime.cuda.gpu import find_gpu
from edgeseg.runtime.registry import open_backend
from edgeseg.segmenter import Segmenter
from edgeseg.spec import ModelSpec
driver = ctypes.CDLL("libcuda.so.1")
rng = np.random.default_rng(0)

def engine(least=1, most=1, outputs=None, **plan):
    path = Path("street.engine")
    path.write_text(json.dumps({"least": least, "most": most, "output": "labels", **plan}))
    record = EngineRecord(
        spec=ModelSpec("fast_scnn", ("a", "b", "c"), input_size=(6, 8), output="labels"),
        onnx="street.onnx", onnx_sha256="0" * 64, engine_sha256=file_sha256(path), flavour="TensorRT",
        version=(10, 3, 0), gpu=find_gpu(), options=BuildOptions(batch=(least, most, most)), plugins=False,
        inputs=(TensorInfo("images", "uint8", (-1, 6, 8, 3)),),
        outputs=outputs or (TensorInfo("labels", "uint8", (-1, 6, 8)),),
    )
    record_path(path).write_text(record.to_json())
    note_built(record.engine_sha256)
    return path

def images(count):
    return rng.integers(0, 256, (count, 6, 8, 3), dtype=np.uint8)

def error(function, *arguments):
    try:
        function(*arguments)
    except EdgesegError as raised:
        return f"{type(raised).__name__}: {raised}"

def right(backend, batch):
    return np.array_equal(backend.infer(batch), batch[..., 0] // 86)

def calls(name):
    return driver.cpu_driver_calls(name.encode())
"""


NO_GRAPH = "street.engine runs without a CUDA graph, somewhat slower: {}\n"


@pytest.fixture
def printed(run_on_gpu, tmp_path: Path) -> Callable[..., list[str]]:
    """``printed(code, **environment)``: the lines that code prints, beside a TensorRT; and what stderr must be."""

    def run(code: str, stderr: str = "", **environment: str) -> list[str]:
        tensorrt = str(Path(__file__).with_name("cpu_tensorrt"))
        ran = run_on_gpu(
            f"import os; os.chdir({str(tmp_path)!r})\n{PREAMBLE}\n{code}",
            **{"PYTHONPATH": tensorrt, "XDG_CACHE_HOME": str(tmp_path / "cache"), **environment},
        )
        assert ran.rc == 0, ran.stderr
        assert ran.stderr == stderr
        return ran.stdout.splitlines()

    return run


def test_frame_after_frame_is_labelled_and_replayed_as_a_graph(printed):
    assert printed("""
backend = open_backend(engine())
print(all([right(backend, images(1)) for _ in range(20)]))
# Two slots: each runs step by step until its graph is recorded.
print(calls("cuGraphLaunch"), calls("cuStreamBeginCapture_v2"))
""") == ["True", "16 2"]


def test_results_belong_to_the_caller(printed):
    assert printed("""
backend = open_backend(engine())
batches = [images(1) for _ in range(8)]
results = [backend.infer(batch) for batch in batches]
print(all(np.array_equal(result, batch[..., 0] // 86) for result, batch in zip(results, batches)))
""") == ["True"]


def test_more_images_than_the_engine_takes_go_in_parts_that_overlap(printed):
    assert printed("""
backend = open_backend(engine(most=4))
print([right(backend, images(count)) for count in (1, 4, 4, 4, 4, 9, 17, 2, 1, 1, 1, 1)])
""") == [str([True] * 12)]


def test_fewer_images_than_the_engine_takes_are_served_too(printed):
    assert (
        printed("""
for least, most in ((2, 4), (4, 4)):
    backend = open_backend(engine(least=least, most=most))
    print([right(backend, images(count)) for count in (1, 1, 1, 5, 3, 4, 1, 2, 9)])
""")
        == [str([True] * 9)] * 2
    )


def test_several_threads_at_once(printed):
    assert printed("""
backend = open_backend(engine(most=2))
good = []
def work(seed):
    own = np.random.default_rng(seed)
    for count in own.integers(1, 6, 60):
        good.append(right(backend, own.integers(0, 256, (count, 6, 8, 3), dtype=np.uint8)))
threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(len(good), all(good))
""") == ["240 True"]


def test_close_gives_everything_back(printed):
    lines = printed("""
backend = open_backend(engine(most=3))
for count in (1, 1, 1, 3, 3, 3, 7): right(backend, images(count))
print(driver.cpu_driver_live() > 0)
backend.close()
backend.close()
print(error(backend.infer, images(1)))
del backend
print(driver.cpu_driver_live())
""")
    assert lines == ["True", "ModelError: street.engine is closed. Open the model again.", "0"]


def test_images_of_another_shape_are_refused_and_the_next_are_labelled(printed):
    lines = printed("""
backend = open_backend(engine())
print(error(backend.infer, np.zeros((1, 6, 9, 3), np.uint8)))
print([right(backend, images(1)) for _ in range(5)])
""")
    assert lines[0].startswith("InputError: images have shape (1, 6, 9, 3)")
    assert lines[1] == str([True] * 5)


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        ("out_of_memory=1", "DeviceError: the GPU has too little free memory for street.engine. End what else"),
        ("most=1024", "DeviceError: the GPU has too little free memory: page-locking host memory"),
    ],
)
def test_too_little_memory_is_one_line_and_nothing_stays(printed, plan, message):
    code = f"print(error(open_backend, engine({plan})), driver.cpu_driver_live(), sep='\\n')"
    lines = printed(code, CPU_DRIVER_MEMORY="100000")
    assert lines[0].startswith(message)
    assert lines[1] == "0"


def test_an_engine_that_tensorrt_cannot_read_says_how_to_rebuild_it(printed):
    (line,) = printed("""
path = engine()
path.write_text("{")
record = json.loads(record_path(path).read_text())
record["engine_sha256"] = file_sha256(path)
record_path(path).write_text(json.dumps(record))
print(error(lambda: open_backend(path, trust_engine=True)))
""")
    assert line.startswith("ModelError: street.engine cannot be loaded (Serialization assertion failed)")
    assert "edgeseg export" in line


def test_a_run_that_fails_is_one_line_and_the_slots_stay_free(printed):
    lines = printed(
        """
backend = open_backend(engine(fails_at=3))
print([error(backend.infer, images(1)) for _ in range(8)])
""",
        stderr=NO_GRAPH.format("recording a CUDA graph failed (CUDA_ERROR_NOT_SUPPORTED: operation not supported)"),
        CPU_DRIVER_FAIL="cuStreamBeginCapture_v2:1:801",
    )
    assert lines[0].count("None") == 6
    assert lines[0].count("ModelError: street.engine failed to run (CUBLAS_STATUS_EXECUTION_FAILED)") == 2


def test_an_engine_that_cannot_be_recorded_runs_step_by_step(printed):
    assert printed(
        """
backend = open_backend(engine())
print(all([right(backend, images(1)) for _ in range(9)]), calls("cuGraphLaunch"))
""",
        stderr=NO_GRAPH.format("recording a CUDA graph failed (CUDA_ERROR_INVALID_VALUE: invalid argument)"),
        CPU_DRIVER_FAIL="cuGraphInstantiateWithFlags:1:1",
    ) == ["True 0"]


def test_recording_is_tried_again_after_a_while_and_told_of_once(printed):
    assert printed(
        """
from edgeseg.runtime.tensorrt import backend as trt
trt._FIRST_PAUSE = 5
backend = open_backend(engine())
begun = []
for _ in range(100):
    assert right(backend, images(1))
    begun.append(calls("cuStreamBeginCapture_v2"))
# Two slots take turns: each is tried at its second run, then after 6 more, 11, 21, and so on.
print([begun.index(count) // 2 for count in range(1, begun[-1] + 1)], calls("cuGraphLaunch"))
""",
        stderr=NO_GRAPH.format("recording a CUDA graph failed (CUDA_ERROR_INVALID_VALUE: invalid argument)"),
        CPU_DRIVER_FAIL="cuGraphInstantiateWithFlags:1:1",
    ) == ["[1, 1, 7, 7, 18, 18, 39, 39] 0"]


def test_an_engine_of_a_stranger_is_loaded_only_where_the_caller_trusts_it(printed):
    lines = printed("""
import tensorrt
loaded = []
real = tensorrt.Runtime.deserialize_cuda_engine
def spy(self, content):
    loaded.append(self.engine_host_code_allowed)
    return real(self, content)
tensorrt.Runtime.deserialize_cuda_engine = spy
path = engine()
record = json.loads(record_path(path).read_text())
record["options"]["version_compatible"] = True
plan = json.loads(path.read_text())
path.write_text(json.dumps({**plan, "of": "a stranger"}))
record["engine_sha256"] = file_sha256(path)
record_path(path).write_text(json.dumps(record))
print(error(open_backend, path))
print(error(Segmenter.open, path))
print(loaded)
open_backend(path, trust_engine=True).close()
Segmenter.open(path, trust_engine=True).close()
print(loaded)
""")
    for line in lines[:2]:
        assert line.startswith("ModelError: street.engine was not built by you on this machine")
        assert "Rebuild: edgeseg export street.onnx" in line
        assert "set trust_engine" in line
    assert lines[2:] == ["[]", "[True, True]"]


def test_the_command_line_asks_whether_an_engine_is_trusted(printed, tmp_path):
    code = """
path = engine()
path.write_text(path.read_text() + " ")
record = json.loads(record_path(path).read_text())
record["engine_sha256"] = file_sha256(path)
record_path(path).write_text(json.dumps(record))
import sys
from edgeseg.cli import main
sys.argv = ["edgeseg", "run", "synthetic:?frames=3&size=64x48", "--model", "street.engine", *EXTRA]
sys.stderr = open("stderr", "w")
try:
    main()
except SystemExit as ended:
    print(ended.code)
"""
    assert printed(f"EXTRA = []\n{code}") == ["2"]
    assert "was not built by you on this machine" in (tmp_path / "stderr").read_text()
    assert printed(f"EXTRA = ['--trust-engine']\n{code}")[-1] == "0"


def test_a_refiner_that_is_refused_leaves_no_engine_behind(printed):
    lines = printed("""
path = engine()
for refine in ("crf", "sharper"):
    print(error(lambda: Segmenter.open(path, refine=refine)), driver.cpu_driver_live(), sep="\\n")
""")
    assert lines[0].startswith("ModelError: the model returns labels")
    assert lines[2].startswith("InputError: there is no refinement 'sharper'")
    assert (lines[1], lines[3]) == ("0", "0")


def test_each_thread_finds_its_own_errors(printed):
    """Those of another, which forgets its own between its runs, stay."""
    assert printed("""
from edgeseg.runtime.tensorrt.log import ErrorLog
from edgeseg.runtime.tensorrt.module import find_tensorrt
log = ErrorLog(find_tensorrt())
def other(say):
    thread = threading.Thread(target=say)
    thread.start()
    thread.join()
log.clear()
log.logger.log(1, "mine")
other(log.clear)
print(log.reason)
def fail():
    log.clear()
    log.logger.log(1, "theirs, OutOfMemory")
    print(log.reason, log.out_of_memory)
other(fail)
print(log.reason, log.out_of_memory)
log.clear()
print(log.reason)
other(lambda: log.logger.log(1, "of TensorRT's own thread\x1b[2J"))
print(log.reason)
""") == [
        "mine",
        "theirs, OutOfMemory True",
        "mine False",
        "it does not say why",
        "of TensorRT's own thread?[2J",
    ]


def test_a_gpu_that_is_lost_is_one_line_and_closing_is_quiet(printed):
    lines = printed(
        """
backend = open_backend(engine())
print([error(backend.infer, images(1)) for _ in range(5)][-1])
backend.close()
""",
        CPU_DRIVER_FAIL="cuStreamSynchronize:4:719",
    )
    assert lines[0].startswith("DeviceError: ")
    assert "LAUNCH_FAILED" in lines[0]


def test_an_engine_unlike_its_spec_is_refused(printed):
    (line,) = printed("""
print(error(open_backend, engine(outputs=(TensorInfo("labels", "int32", (-1, 6, 8)),))))
""")
    assert line.startswith("ModelError: street.engine: the output is int32 (-1, 6, 8), but its spec says")


def test_a_segmenter_labels_pictures_of_any_size(printed):
    assert printed("""
with Segmenter.open(engine()) as segmenter:
    picture = np.zeros((60, 80, 3), np.uint8)
    picture[:, 40:] = 255
    print(np.unique(segmenter(picture).labels[:, :30]), np.unique(segmenter(picture).labels[:, 50:]))
""") == ["[0] [2]"]


def test_run_takes_an_engine(printed, tmp_path):
    lines = printed("""
engine()
import sys
from edgeseg.cli import main
sys.argv = ["edgeseg", "run", "synthetic:?frames=9&size=64x48", "--model", "street.engine", "--save", "out.mp4"]
sys.stderr = open("stderr", "w")
main()
""")
    assert lines[1].startswith("9 frames in = 9 processed + 0 dropped")
    assert "model street, backend tensorrt" in (tmp_path / "stderr").read_text()
    assert (tmp_path / "out.mp4").stat().st_size > 0


@pytest.mark.parametrize(("computes", "agreement"), [("source", 1.0), ("other", 0.0)])
def test_an_engine_is_checked_against_its_onnx_file(printed, tiny_onnx, tmp_path, computes, agreement):
    """The engine does what an ONNX file says: its own, or one that says the opposite."""
    onnx = pytest.importorskip("onnx", reason="needs onnx; pip install 'edgeseg[quantize]'")
    other = onnx.load(tiny_onnx)
    other.graph.node[-1].output[0] = "positive"
    other.graph.node.append(onnx.helper.make_node("Neg", ["positive"], ["logits"]))
    onnx.save(other, tmp_path / "other.onnx")
    path = tiny_onnx if computes == "source" else tmp_path / "other.onnx"
    lines = printed(f"""
from dataclasses import replace
from edgeseg.runtime.tensorrt.record import read_record
from edgeseg.artifact.onnx import read_spec
from edgeseg_export.tensorrt.check import check_engine
source = Path({str(tiny_onnx)!r})
spec = read_spec(source)
path = engine(onnx={str(path)!r}, output="logits")
(height, width), stride = spec.input_size, spec.stride
record = replace(
    read_record(path), spec=spec, inputs=(TensorInfo("images", "uint8", (-1, height, width, 3)),),
    outputs=(TensorInfo("logits", "float32", (-1, 3, height // stride, width // stride)),),
)
record_path(path).write_text(record.to_json())
parity = check_engine(path, source, record)
print(parity.images, parity.label_agreement, parity.max_abs_logit_difference)
""")
    images, agrees, difference = map(float, lines[0].split())
    assert images == 4
    assert (agrees == 1.0 and difference == 0.0) if agreement else agrees < 0.9
