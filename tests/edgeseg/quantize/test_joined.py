"""What Concats tie together has one scale in a file for TensorRT, however the Concats hang together."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("onnx", reason="pip install 'edgeseg[quantize]'")

import onnx
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from edgeseg.quantize.ptq import calibrate_model
from edgeseg.runtime.ort.backend import OrtBackend
from edgeseg.spec import METADATA_KEY

CONV = ("a", "b", "c", "d")
"""Convolutions that all read the frame; the results of each are some ten times as large as those of the one before."""

GRAPHS = {
    "nested": [("Concat", ["a", "b"], "ab"), ("Concat", ["ab", "c"], "abc"), ("Concat", ["abc", "d"], "out")],
    "inner last": [("Concat", ["c", "d"], "cd"), ("Concat", ["a", "b"], "ab"), ("Concat", ["ab", "cd"], "out")],
    "one tensor in two": [
        ("Concat", ["a", "b"], "ab"),
        ("Concat", ["b", "c"], "bc"),
        ("Concat", ["c", "d"], "cd"),
        ("Add", ["ab", "bc"], "sum"),
        ("Add", ["sum", "cd"], "out"),
    ],
    "one twice": [("Concat", ["a", "a"], "aa"), ("Concat", ["aa", "d", "aa"], "out")],
    "behind a pool": [
        ("Concat", ["a", "b"], "ab"),
        ("MaxPool", ["ab"], "pooled"),
        ("Concat", ["pooled", "d"], "out"),
    ],
    "behind pools and resizes": [
        ("Concat", ["a", "d"], "ad"),
        ("AveragePool", ["ad"], "pooled"),
        ("Resize", ["pooled"], "same"),
        ("Concat", ["same", "b"], "out"),
    ],
    "behind what moves values": [
        ("Concat", ["a", "b"], "ab"),
        ("Transpose", ["ab"], "moved"),
        ("Identity", ["moved"], "still"),
        ("Concat", ["still", "d"], "out"),
    ],
    "a constant": [("Concat", ["a", "table"], "at"), ("Concat", ["at", "d"], "out")],
}
ATTRIBUTES = {
    "Concat": {"axis": 1},
    "MaxPool": {"kernel_shape": [3, 3], "pads": [1] * 4},
    "AveragePool": {"kernel_shape": [3, 3], "pads": [1] * 4},
    "Resize": {"mode": "linear"},
    "Transpose": {"perm": [0, 1, 2, 3]},
}


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    for index in range(3):
        Image.fromarray(rng.integers(0, 256, (32, 48, 3), dtype=np.uint8)).save(folder / f"{index}.png")
    return sorted(folder.iterdir())


def write(path, spec, layers):
    rng = np.random.default_rng(1)
    constants = {"scales": np.ones(4), "table": rng.uniform(-400, 400, (1, 4, 4, 6))}
    nodes = [
        helper.make_node("Transpose", ["images"], ["nchw"], perm=[0, 3, 1, 2]),
        helper.make_node("Cast", ["nchw"], ["f32"], to=TensorProto.FLOAT),
    ]
    channels = {"table": 4}
    for size, name in enumerate(CONV):
        constants[f"{name}.weight"] = rng.standard_normal((4, 3, 8, 8)) * 10.0 ** (size - 4)
        nodes.append(helper.make_node("Conv", ["f32", f"{name}.weight"], [name], name=name, strides=[8, 8]))
        channels[name] = 4
    for op_type, inputs, output in layers:
        names = [*inputs, "", "scales"] if op_type == "Resize" else inputs
        nodes.append(helper.make_node(op_type, names, [output], name=output, **ATTRIBUTES.get(op_type, {})))
        channels[output] = sum(channels[name] for name in inputs) if op_type == "Concat" else channels[inputs[0]]
    constants["last.weight"] = rng.standard_normal((3, channels["out"], 1, 1)) * 0.1
    nodes.append(helper.make_node("Conv", ["out", "last.weight"], ["logits"], name="last"))
    graph = helper.make_graph(
        nodes,
        "joined",
        [helper.make_tensor_value_info("images", TensorProto.UINT8, [1, 32, 48, 3])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, 3, 4, 6])],
        [numpy_helper.from_array(value.astype(np.float32), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    model.metadata_props.add(key=METADATA_KEY, value=spec.to_json())
    onnx.checker.check_model(model)
    onnx.save(model, path)
    return path


@pytest.mark.parametrize("name", GRAPHS)
def test_all_that_is_joined_has_one_scale(images, tiny_spec, tmp_path, name):
    path = write(tmp_path / "float.onnx", tiny_spec, GRAPHS[name])
    model = calibrate_model(path, images, "tensorrt", "minmax").quantize()
    graph = model.graph
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    produced = {output: node for node in graph.node for output in node.output}
    scales = []
    for node in graph.node:
        if node.op_type == "Concat":
            after = [reader for reader in graph.node if reader.input[0] == node.output[0]]
            assert {reader.op_type for reader in after} == {"QuantizeLinear"}
            found = [*(produced[tensor] for tensor in node.input), *after]
            scales += [float(constants[pair.input[1]]) for pair in found]
    assert len(scales) >= 6
    assert len(set(scales)) == 1, scales

    onnx.save(model, tmp_path / "int8.onnx")  # and the largest of what is joined still fits
    frame = np.asarray(Image.open(images[0]))[np.newaxis]
    expected = OrtBackend(path, threads=1).infer(frame)
    got = OrtBackend(tmp_path / "int8.onnx", threads=1).infer(frame)
    assert np.abs(got - expected).max() < 0.1 * np.abs(expected).max()
