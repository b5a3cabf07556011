"""A first convolution over four pixels at a time: the same integers."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("onnx", reason="pip install 'edgeseg[quantize]'")

import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from edgeseg.quantize.stem import widen_stem

CHANNELS = 5


def stem_model(
    kernel=(3, 3), strides=(2, 2), pads=(1, 1, 1, 1), size=(12, 16), group=1, dilations=(1, 1), has_bias=True
):
    """A uint8 frame, transposed, and a convolution of it with Q/DQ pairs, whose result two nodes read."""
    rng = np.random.default_rng(0)
    colours = 3 // group
    channels = CHANNELS if group == 1 else 3
    constants = {
        "frame_scale": np.float32(1),
        "frame_zero": np.uint8(115),
        "w": rng.integers(-127, 128, (channels, colours, *kernel)).astype(np.int8),
        "w_scale": rng.uniform(0.001, 0.01, channels).astype(np.float32),
        "w_zero": np.zeros(channels, np.int8),
        "b": rng.integers(-2000, 2000, channels).astype(np.int32),
        "b_scale": np.float32(0.004),
        "b_zero": np.int32(0),
        "y_scale": np.float32(0.4),
        "y_zero": np.uint8(120),
    }
    biased = ["b_float"] if has_bias else []
    nodes = [
        helper.make_node("DequantizeLinear", ["w", "w_scale", "w_zero"], ["w_float"], axis=0),
        helper.make_node("DequantizeLinear", ["b", "b_scale", "b_zero"], ["b_float"]),
        helper.make_node("Transpose", ["images"], ["nchw"], perm=[0, 3, 1, 2]),
        helper.make_node("DequantizeLinear", ["nchw", "frame_scale", "frame_zero"], ["pixels"]),
        helper.make_node(
            "Conv",
            ["pixels", "w_float", *biased],
            ["y"],
            strides=strides,
            pads=pads,
            kernel_shape=kernel,
            group=group,
            dilations=dilations,
        ),
        helper.make_node("QuantizeLinear", ["y", "y_scale", "y_zero"], ["y_u8"]),
        helper.make_node("DequantizeLinear", ["y_u8", "y_scale", "y_zero"], ["one"]),
        helper.make_node("DequantizeLinear", ["y_u8", "y_scale", "y_zero"], ["other"]),
        helper.make_node("Relu", ["other"], ["relu"]),
    ]
    graph = helper.make_graph(
        nodes[: 1 if not has_bias else 2] + nodes[2:],
        "stem",
        [helper.make_tensor_value_info("images", TensorProto.UINT8, ("batch", *size, 3))],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, tuple("nchw")) for name in ("one", "relu")],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    model.ir_version = 9
    return model


def results_of(model, size):
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"images": np.random.default_rng(1).integers(0, 256, (2, *size, 3), dtype=np.uint8)})


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"pads": (0, 0, 1, 1)},
        {"kernel": (2, 2), "pads": (0, 0, 0, 0)},
        {"kernel": (5, 5), "pads": (2, 2, 2, 2), "size": (13, 20)},
        {"kernel": (7, 7), "pads": (3, 3, 3, 3)},
        {"kernel": (7, 7), "pads": (3, 3, 3, 3), "strides": (4, 4), "size": (16, 24)},
        {"kernel": (4, 4), "pads": (0, 0, 0, 0), "strides": (4, 4), "size": (24, 32)},
        {"kernel": (3, 5), "pads": (1, 2, 1, 1), "strides": (1, 2)},
    ],
    ids=str,
)
def test_it_says_the_same(changes):
    model = stem_model(**changes)
    size = changes.get("size", (12, 16))
    expected = results_of(model, size)
    widen_stem(model)
    onnx.checker.check_model(model, full_check=True)
    shapes = {one.name: one.dims for one in model.graph.initializer}
    assert shapes["w.wide"][1] == 12
    assert "w" not in shapes
    for got, wanted in zip(results_of(model, size), expected, strict=True):
        assert len(np.unique(wanted)) > 15
        np.testing.assert_array_equal(got, wanted)
    once = model.SerializeToString()
    widen_stem(model)
    assert model.SerializeToString() == once


@pytest.mark.parametrize(
    "changes",
    [
        {"strides": (1, 1)},
        {"strides": (2, 1)},
        {"strides": (3, 3)},
        {"size": (12, 18)},
        {"group": 3},
        {"dilations": (2, 2)},
        {"pads": (1, 2, 1, 2)},
        {"pads": (0, 0, 0, 0)},
        {"has_bias": False},
    ],
    ids=str,
)
def test_others_are_left_alone(changes):
    model = stem_model(**changes)
    before = model.SerializeToString()
    widen_stem(model)
    assert model.SerializeToString() == before


def test_weights_that_another_convolution_has_too_are_left_alone():
    model = stem_model()
    again = helper.make_node("Conv", ["one", "w_float"], ["again"])
    model.graph.node.append(again)
    before = model.SerializeToString()
    widen_stem(model)
    assert model.SerializeToString() == before


def test_a_frame_of_no_known_size_is_left_alone():
    model = stem_model()
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_param = "height"
    before = model.SerializeToString()
    widen_stem(model)
    assert model.SerializeToString() == before
