from __future__ import annotations

import json

import numpy as np
import onnx
import onnxruntime
import pytest

from edgeseg.artifact.onnx import read_spec
from edgeseg.errors import InputError, MissingDependencyError, ModelError, SpecError
from edgeseg.runtime.ort.backend import OrtBackend
from edgeseg.runtime.registry import open_backend
from edgeseg.segmenter import Segmenter
from edgeseg.spec import METADATA_KEY


def spec_json(spec, **changes):
    return json.dumps({**json.loads(spec.to_json()), **changes})


def test_the_spec_comes_out_of_the_file(tiny_onnx, tiny_spec):
    assert OrtBackend(tiny_onnx).spec == tiny_spec
    assert read_spec(tiny_onnx) == tiny_spec


def test_logits_are_the_graphs(tiny_onnx):
    images = np.random.default_rng(0).integers(0, 256, (1, 32, 48, 3), dtype=np.uint8)
    means = images.reshape(4, 8, 6, 8, 3).mean(axis=(1, 3)).transpose(2, 0, 1)
    np.testing.assert_allclose(OrtBackend(tiny_onnx).infer(images)[0], means, rtol=1e-5)


def test_a_fixed_batch_is_kept(tiny_onnx):
    with pytest.raises(InputError, match="takes 1 image"):
        OrtBackend(tiny_onnx).infer(np.zeros((2, 32, 48, 3), np.uint8))


@pytest.mark.parametrize("count", [1, 3, 4, 6, 9])
def test_a_fixed_batch_serves_any_number_of_images(convnet, tmp_path, count):
    model = onnx.load(convnet)
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 4
    onnx.save(model, tmp_path / "four.onnx")
    images = list(np.random.default_rng(0).integers(0, 256, (count, 32, 48, 3), dtype=np.uint8))
    with Segmenter.open(convnet, threads=1) as free, Segmenter.open(tmp_path / "four.onnx", threads=1) as four:
        assert OrtBackend(tmp_path / "four.onnx").max_batch == 4
        for expected, got in zip(free.infer(images), four.infer(images), strict=True):
            np.testing.assert_allclose(got.output, expected.output, rtol=1e-4, atol=1e-4)


def test_a_foreign_onnx_is_told_apart_from_a_damaged_one(tmp_path, write_onnx):
    foreign = write_onnx(tmp_path / "foreign.onnx", spec_json=None)
    for read in (OrtBackend, read_spec):
        with pytest.raises(SpecError, match=r"foreign\.onnx is an ONNX model without edgeseg's spec.*edgeseg export"):
            read(foreign)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"input_size": [64, 48]}, r"input is tensor\(uint8\) \[1, 32, 48, 3\].*\['N', 64, 48, 3\]"),
        ({"class_names": ["a", "b"], "colors": []}, r"output is tensor\(float\) \[1, 3, 4, 6\].*\['N', 2, 4, 6\]"),
        ({"stride": 4}, r"\['N', 3, 8, 12\]"),
        ({"output": "labels"}, r"tensor\(uint8\) \['N', 32, 48\]"),
        ({"format": 99}, "has format 99"),
    ],
)
def test_a_spec_that_does_not_fit_the_graph(tmp_path, write_onnx, tiny_spec, changes, message):
    path = write_onnx(tmp_path / "odd.onnx", spec_json=spec_json(tiny_spec, **changes))
    with pytest.raises(SpecError, match=message) as caught:
        OrtBackend(path)
    assert "odd.onnx" in str(caught.value)
    assert "xport the model again" in str(caught.value)


def test_an_operator_this_onnx_runtime_lacks(tmp_path, tiny_spec):
    onnx = pytest.importorskip("onnx", reason="onnx writes the test model; pip install 'edgeseg[export]'")
    helper, tensor = onnx.helper, onnx.TensorProto
    graph = helper.make_graph(
        [helper.make_node("Conjure", ["images"], ["logits"], domain="nowhere")],
        "g",
        [helper.make_tensor_value_info("images", tensor.UINT8, [1, 32, 48, 3])],
        [helper.make_tensor_value_info("logits", tensor.FLOAT, [1, 3, 4, 6])],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("nowhere", 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    model.metadata_props.add(key=METADATA_KEY, value=tiny_spec.to_json())
    onnx.save(model, tmp_path / "new.onnx")
    with pytest.raises(ModelError, match=r"new\.onnx cannot be loaded by ONNX Runtime .*nowhere.*Conjure"):
        OrtBackend(tmp_path / "new.onnx")


def test_nothing_is_logged(run_python, tiny_onnx, tmp_path):
    (tmp_path / "bad.onnx").write_bytes(tiny_onnx.read_bytes()[:99])
    code = f"""
from pathlib import Path
from edgeseg.errors import ModelError
from edgeseg.runtime.ort.backend import OrtBackend
OrtBackend(Path({str(tiny_onnx)!r})).close()
try:
    OrtBackend(Path({str(tmp_path / "bad.onnx")!r}))
except ModelError:
    print("refused")
"""
    assert run_python(code) == (0, "refused\n", "")


@pytest.mark.parametrize(("backend", "provider"), [("ort-cuda", "CUDA"), ("ort-tensorrt", "Tensorrt")])
def test_a_provider_that_is_not_there_is_told_rather_than_replaced_by_the_cpu(tiny_onnx, backend, provider):
    name = f"{provider}ExecutionProvider"
    if name in onnxruntime.get_available_providers():
        pytest.skip(f"this ONNX Runtime has {name}")
    with pytest.raises(MissingDependencyError, match=f"has no {name}, only .*CPU.*onnxruntime-gpu"):
        open_backend(tiny_onnx, backend=backend)


@pytest.mark.filterwarnings("ignore:Specified provider")
def test_a_provider_that_does_not_start_is_told_rather_than_replaced_by_the_cpu(tiny_onnx, monkeypatch):
    """What ONNX Runtime does where it was built with CUDA and the machine has none."""
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider"])
    with pytest.raises(ModelError, match=r"cannot start its CUDAExecutionProvider.*the backend ort"):
        open_backend(tiny_onnx, backend="ort-cuda")
