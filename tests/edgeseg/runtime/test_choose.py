"""What ``auto`` means on which machine. The machine is made up; that the engines exist is tested elsewhere."""

from __future__ import annotations

import shutil

import pytest

from edgeseg import weights
from edgeseg.errors import MissingDependencyError, ModelError
from edgeseg.runtime import choose as module
from edgeseg.runtime.choose import choose
from edgeseg.runtime.cuda.gpu import Gpu
from edgeseg.runtime.tensorrt.info import TENSORRT

ORIN = Gpu("Orin", "sm87")
FLOAT, INT8 = (weights.models_for("street", int8=int8)[0] for int8 in (False, True))


@pytest.fixture
def machine(monkeypatch):
    """``machine(gpu=…, lacking=…, providers=…)``: what the machine is to have."""

    def make(*, gpu=None, lacking="", providers=("CPUExecutionProvider",), int8=False):
        def find_gpu():
            if gpu is None:
                raise MissingDependencyError("there is no NVIDIA driver on this machine (libcuda.so.1 is not found)")
            return gpu

        monkeypatch.setattr(module, "find_gpu", find_gpu)
        monkeypatch.setattr(TENSORRT, "lacking", lambda: lacking)
        monkeypatch.setattr("onnxruntime.get_available_providers", lambda: list(providers))
        monkeypatch.setattr("edgeseg._native.has_int8_dot_product", lambda: int8)

    return make


def test_without_a_gpu_the_cpu(machine, tiny_onnx):
    machine()
    choice = choose(tiny_onnx)
    assert (choice.path, choice.backend) == (tiny_onnx, "ort")
    assert choice.reason == "there is no NVIDIA driver on this machine"


@pytest.mark.parametrize("int8", [False, True])
def test_the_default_model_of_a_cpu_follows_its_instructions(machine, int8):
    machine(int8=int8)
    choice = choose()
    assert choice.path.stem in weights.models_for("street", int8=int8)
    assert choice.backend == "ort"
    assert ("INT8 instructions" in choice.reason) == int8


def test_a_gpu_with_tensorrt_gets_the_float_model(machine):
    machine(gpu=ORIN, int8=True)
    choice = choose()
    assert (choice.path.stem, choice.backend) == (FLOAT, "tensorrt")
    assert "Orin (sm87)" in choice.reason


def test_a_gpu_without_tensorrt_is_used_by_onnx_runtime_if_it_can(machine, tiny_onnx):
    machine(
        gpu=ORIN,
        lacking="neither TensorRT nor TensorRT-RTX is installed",
        providers=["CUDAExecutionProvider", "CPUExecutionProvider"],
    )
    choice = choose(tiny_onnx)
    assert choice.backend == "ort-cuda"
    assert "neither TensorRT" in choice.reason


def test_a_gpu_that_nothing_here_can_use_is_said(machine, tiny_onnx):
    machine(gpu=ORIN, lacking="neither pycuda nor cuda-python is installed")
    choice = choose(tiny_onnx)
    assert choice.backend == "ort"
    assert all(text in choice.reason for text in ("Orin", "pycuda", "no CUDA"))


def test_int8_for_cpus_stays_there(machine):
    machine(gpu=ORIN)
    assert choose(INT8).backend == "ort"
    assert choose(FLOAT).backend == "tensorrt"


def test_a_file_that_onnx_runtime_cannot_read_is_left_to_tensorrt(machine, tiny_onnx, tmp_path):
    onnx = pytest.importorskip("onnx", reason="onnx writes the test model; pip install 'edgeseg[export]'")
    machine(gpu=ORIN)
    model = onnx.load(tiny_onnx)
    model.graph.node.append(onnx.helper.make_node("DenseCRF", ["logits", "f32"], ["labels"], domain="edgeseg"))
    onnx.save(model, tmp_path / "model.onnx")
    assert choose(tmp_path / "model.onnx").backend == "tensorrt"


def test_what_is_no_model_is_told_before_an_engine_is_looked_for(machine, tmp_path):
    machine(gpu=ORIN)
    (tmp_path / "model.onnx").write_bytes(b"no model")
    with pytest.raises(ModelError, match="is no ONNX file"):
        choose(tmp_path / "model.onnx")


@pytest.mark.parametrize(("suffix", "backend"), [(".engine", "tensorrt"), (".pt", "pytorch")])
def test_other_files_have_one_engine(machine, tmp_path, suffix, backend):
    machine()
    (tmp_path / f"model{suffix}").touch()
    assert choose(tmp_path / f"model{suffix}").backend == backend


@pytest.mark.parametrize(("backend", "int8"), [("ort", True), ("ort-cuda", False), ("tensorrt", False)])
def test_an_engine_that_was_asked_for_is_taken(machine, backend, int8):
    machine(int8=True)
    choice = choose(None, backend)
    assert choice.backend == backend
    assert choice.path.stem in weights.models_for("street", int8=int8)


def test_an_unknown_file_is_one_line(machine, tiny_onnx, tmp_path):
    machine()
    strange = tmp_path / "model.tflite"
    shutil.copy(tiny_onnx, strange)
    with pytest.raises(ModelError, match=r"no backend is known for .*model\.tflite"):
        choose(strange)
