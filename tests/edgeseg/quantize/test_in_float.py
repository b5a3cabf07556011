"""What stays in float in an INT8 model: the scores that a softmax compares, and what INT8 has no kernel for."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

onnx = pytest.importorskip("onnx", reason="pip install 'edgeseg[quantize]'")

from edgeseg.quantize.in_float import before_softmax, float_operators  # noqa: E402
from edgeseg.quantize.ptq import calibrate_model  # noqa: E402
from edgeseg.runtime.ort.backend import OrtBackend  # noqa: E402
from edgeseg.spec.model_spec import METADATA_KEY  # noqa: E402

PIXELS = 24
"""That attend to one another: those of stride 8."""


@pytest.fixture(scope="module")
def attention(tmp_path_factory, tiny_spec):
    """A network whose pixels attend to each other, with a scale and a bias between scores and softmax."""
    helper, tensor = onnx.helper, onnx.TensorProto
    chance = np.random.default_rng(0)
    constants = {
        "conv.weight": chance.standard_normal((8, 3, 8, 8)) / 1000,
        "scale": np.array(0.35),
        "bias": chance.standard_normal((1, PIXELS, PIXELS)),
        "classify.weight": chance.standard_normal((3, 8, 1, 1)),
    }
    shapes = {"flat": [1, 8, PIXELS], "square": [1, 8, 4, 6]}
    nodes = [
        helper.make_node("Transpose", ["images"], ["nchw"], perm=[0, 3, 1, 2]),
        helper.make_node("Cast", ["nchw"], ["f32"], to=tensor.FLOAT),
        helper.make_node("Conv", ["f32", "conv.weight"], ["features"], kernel_shape=[8, 8], strides=[8, 8]),
        helper.make_node("Reshape", ["features", "flat"], ["keys"]),
        helper.make_node("Transpose", ["keys"], ["queries"], perm=[0, 2, 1]),
        helper.make_node("MatMul", ["queries", "keys"], ["products"]),
        helper.make_node("Mul", ["products", "scale"], ["scaled"]),
        helper.make_node("Add", ["scaled", "bias"], ["scores"]),
        helper.make_node("Softmax", ["scores"], ["shares"], axis=-1),
        helper.make_node("MatMul", ["keys", "shares"], ["heard"]),
        helper.make_node("Reshape", ["heard", "square"], ["grid"]),
        helper.make_node("Conv", ["grid", "classify.weight"], ["logits"], kernel_shape=[1, 1]),
    ]
    initializers = [onnx.numpy_helper.from_array(value.astype(np.float32), name) for name, value in constants.items()]
    initializers += [onnx.numpy_helper.from_array(np.array(shape), name) for name, shape in shapes.items()]
    images = helper.make_tensor_value_info("images", tensor.UINT8, [1, 32, 48, 3])
    logits = helper.make_tensor_value_info("logits", tensor.FLOAT, [1, 3, 4, 6])
    graph = helper.make_graph(nodes, "attention", [images], [logits], initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    model.metadata_props.add(key=METADATA_KEY, value=tiny_spec.to_json())
    path = tmp_path_factory.mktemp("attention") / "attention.onnx"
    onnx.save(model, path)
    return path


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder, chance = tmp_path_factory.mktemp("images"), np.random.default_rng(1)
    for index in range(4):
        pixels = chance.integers(0, 256, (4, 6, 3), dtype=np.uint8).repeat(8, axis=0).repeat(8, axis=1)
        Image.fromarray(pixels).save(folder / f"{index}.png")
    return sorted(folder.iterdir())


@pytest.mark.parametrize("target", ["cpu", "tensorrt"])
def test_scores_stay_in_float_and_what_is_heard_is_int8(attention, images, target):
    calibrated = calibrate_model(attention, images, target, "minmax")
    graph = calibrated.quantize().graph
    made_by = {name: node.op_type for node in graph.node for name in node.output}
    products, heard = (node for node in graph.node if node.op_type == "MatMul")
    (added,) = (node for node in graph.node if node.op_type == "Add")
    assert made_by[added.input[0]] == "Mul"
    assert [made_by[name] for name in heard.input] == ["DequantizeLinear"] * 2
    readers = [node.op_type for node in graph.node if products.output[0] in node.input]
    assert readers == ["Mul"]
    rounded = {name for layer in calibrated.layers for name in layer.nodes}
    assert float_operators(graph, rounded) == {"MatMul": 1, "Mul": 1, "Add": 1, "Softmax": 1}


def test_it_says_nearly_what_float_says(attention, images, tmp_path):
    onnx.save(calibrate_model(attention, images, "cpu", "minmax").quantize(), tmp_path / "int8.onnx")
    pixels = np.stack([np.asarray(Image.open(path)) for path in images[:1]])
    expected, got = (OrtBackend(path, threads=1).infer(pixels) for path in (attention, tmp_path / "int8.onnx"))
    assert 0 < np.abs(got - expected).mean() < 0.05 * expected.std()


def test_a_network_without_a_softmax_has_nothing_in_float(convnet, images):
    calibrated = calibrate_model(convnet, images, "cpu", "minmax")
    assert before_softmax(onnx.load(convnet).graph) == set()
    assert float_operators(calibrated.quantize().graph, {n for layer in calibrated.layers for n in layer.nodes}) == {}
