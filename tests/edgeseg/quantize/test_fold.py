"""Folding the normalisation: the same logits, and where it cannot be done the same graph."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("onnx", reason="pip install 'edgeseg[quantize]'")

import onnx
import onnxruntime

from edgeseg.quantize.fold import cast_first, fold_normalisation
from edgeseg.spec.int8 import INT8_LEVELS


def logits_of(model, images):
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"images": images})[0]


@pytest.fixture
def model(convnet):
    return onnx.load(convnet)


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(1).integers(0, 256, (2, 32, 48, 3), dtype=np.uint8)


def test_casting_before_transposing_changes_nothing(model, images):
    expected = logits_of(model, images)
    cast_first(model)
    onnx.checker.check_model(model)
    assert [node.op_type for node in model.graph.node][:2] == ["Cast", "Transpose"]
    np.testing.assert_array_equal(logits_of(model, images), expected)
    once = model.SerializeToString()
    cast_first(model)
    assert model.SerializeToString() == once


@pytest.mark.parametrize(("target", "zero_point"), [("cpu", 115), ("tensorrt", 128)])
def test_only_the_border_changes(model, images, target, zero_point):
    """The stem's padding means another grey, so its outermost rows and columns may differ, and what they reach."""
    cast_first(model)
    model.graph.output.append(onnx.helper.make_tensor_value_info("stem", onnx.TensorProto.FLOAT, None))
    del model.graph.output[0]
    expected = logits_of(model, images)
    folded = fold_normalisation(model, INT8_LEVELS[target])
    assert folded.zero_point == zero_point
    got = logits_of(model, images)
    np.testing.assert_allclose(got[:, :, 1:, 1:], expected[:, :, 1:, 1:], atol=1e-4)
    assert np.abs(got - expected).max() > 1e-3
    assert [node.op_type for node in model.graph.node][:4] == ["Cast", "Transpose", "Sub", "Conv"]
    read = {name for node in model.graph.node for name in node.input}
    assert all(tensor.name in read for tensor in model.graph.initializer)


def test_a_second_reader_of_the_normalised_frame_forbids_it(model):
    cast_first(model)
    model.graph.node.append(onnx.helper.make_node("Relu", ["normalised"], ["second"], name="second"))
    before = model.SerializeToString()
    assert fold_normalisation(model, INT8_LEVELS["cpu"]) is None
    assert model.SerializeToString() == before


def test_a_graph_without_normalisation_stays(tiny_onnx):
    model = onnx.load(tiny_onnx)
    before = model.SerializeToString()
    assert fold_normalisation(model, INT8_LEVELS["cpu"]) is None
    assert model.SerializeToString() == before
