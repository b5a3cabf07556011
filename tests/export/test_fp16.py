"""FP16 models: run by ONNX Runtime beside the float32 ones they came from."""

from __future__ import annotations

import copy

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgeseg import weights
from edgeseg.errors import ModelError
from edgeseg.evaluation.parity import probe_images
from edgeseg.runtime.postprocess import to_labels
from edgeseg.runtime.registry import open_backend
from edgeseg_export.fp16 import to_fp16

CASES = [("fast_scnn", "logits"), ("fast_scnn", "labels"), ("enet", "logits"), ("enet", "labels")]


def small_model(nodes, weight_values, output_shape):
    """Images (N, 4, 4, 3) uint8, of a float32 initializer ``w``."""
    images = helper.make_tensor_value_info("images", TensorProto.UINT8, ["N", 4, 4, 3])
    out = helper.make_tensor_value_info("out", TensorProto.FLOAT, output_shape)
    nodes = [
        helper.make_node("Cast", ["images"], ["nhwc"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["nhwc"], ["pixels"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["pixels", "w"], ["features"]),
        *nodes,
    ]
    w = numpy_helper.from_array(np.asarray(weight_values, np.float32).reshape(2, 3, 1, 1), "w")
    return helper.make_model(
        helper.make_graph(nodes, "g", [images], [out], [w]),
        opset_imports=[helper.make_opsetid("", 18)],
        ir_version=10,
    )


def with_rounded_weights(model):
    """The float32 model with the weights that the FP16 one has: what is left is the rounding of feature maps."""
    model = copy.deepcopy(model)
    for tensor in model.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT and not tensor.name.startswith("normalise."):
            rounded = numpy_helper.to_array(tensor).astype(np.float16).astype(np.float32)
            tensor.CopyFrom(numpy_helper.from_array(rounded, tensor.name))
    return model


@pytest.mark.parametrize("case", CASES, ids=["-".join(case) for case in CASES])
def test_it_says_what_the_float32_model_says_with_the_same_weights(case, artifact_of, tmp_path):
    path = artifact_of(*case)
    model = onnx.load(path)
    onnx.save(with_rounded_weights(model), tmp_path / "full.onnx")
    converted = to_fp16(model, str(path))
    onnx.checker.check_model(converted, full_check=True)
    onnx.save(converted, tmp_path / "half.onnx")
    full, half = (open_backend(tmp_path / name, threads=1) for name in ("full.onnx", "half.onnx"))
    assert half.spec == full.spec.unmeasured(precision="fp16")
    assert "val_miou" not in half.spec.metrics
    for image in probe_images((64, 96)):
        expected, got = full.infer(image[None]), half.infer(image[None])
        assert got.dtype == expected.dtype
        if full.spec.output == "logits":
            assert np.abs(got - expected).mean() < 2e-3 * np.abs(expected).max()
        assert np.mean(to_labels(got, (64, 96)) == to_labels(expected, (64, 96))) > 0.97


@pytest.mark.parametrize(
    "model", [m for m in weights.shipped() if open_backend(m.path).spec.precision == "fp32"], ids=lambda m: m.name
)
def test_a_shipped_model_keeps_its_labels(model, tmp_path):
    onnx.save(to_fp16(onnx.load(model.path), model.name), tmp_path / "half.onnx")
    full, half = open_backend(model.path, threads=1), open_backend(tmp_path / "half.onnx", threads=1)
    size = full.spec.input_size
    for image in probe_images(size):
        agreement = np.mean(to_labels(full.infer(image[None]), size) == to_labels(half.infer(image[None]), size))
        assert agreement > 0.99


@pytest.mark.parametrize("network", ["fast_scnn", "enet"])
def test_all_weights_but_those_of_the_normalisation_are_half_as_large(network, artifact_of):
    model = to_fp16(onnx.load(artifact_of(network, "logits")), "x")
    floats = [w.name for w in model.graph.initializer if w.data_type == TensorProto.FLOAT]
    assert sorted(floats) == ["normalise.offset", "normalise.scale"]
    convolutions = [node for node in model.graph.node if node.op_type == "Conv"]
    half = {w.name for w in model.graph.initializer if w.data_type == TensorProto.FLOAT16}
    assert convolutions
    assert all(node.input[1] in half for node in convolutions)


def test_softmax_and_argmax_work_in_float32():
    nodes = [
        helper.make_node("Softmax", ["features"], ["p"], axis=1),
        helper.make_node("Relu", ["p"], ["out"]),
    ]
    model = to_fp16(small_model(nodes, np.ones(6), ["N", 2, 4, 4]), "x")
    types = {v.name: v.type.tensor_type.elem_type for v in onnx.shape_inference.infer_shapes(model).graph.value_info}
    softmax = next(node for node in model.graph.node if node.op_type == "Softmax")
    assert types["features"] == TensorProto.FLOAT16
    assert types[softmax.input[0]] == types["p"] == TensorProto.FLOAT


def test_the_model_passed_in_stays_as_it_was(artifact_of):
    model = onnx.load(artifact_of("fast_scnn", "logits"))
    before = model.SerializeToString()
    to_fp16(model, "x")
    assert model.SerializeToString() == before


@pytest.mark.parametrize("value", [7e4, -1e30, np.inf, np.nan])
def test_a_weight_beyond_float16_is_told(value):
    model = small_model([helper.make_node("Relu", ["features"], ["out"])], [1, 1, 1, 1, 1, value], ["N", 2, 4, 4])
    with pytest.raises(ModelError, match=r"big\.onnx: the weight w is not finite or exceeds 65504.*the precision fp32"):
        to_fp16(model, "big.onnx")
