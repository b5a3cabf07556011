"""ONNX files as strangers may make them: refused in one line before anything loads them, or run within limits."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import numpy as np
import pytest

pytest.importorskip("onnx", reason="onnx writes the test models; pip install 'edgeseg[export]'")

import onnx
from onnx import TensorProto, helper, numpy_helper
from peak_memory import PEAK_MIB
from PIL import Image

from edgeseg.artifact.onnx import load_model, look_through, read_spec
from edgeseg.errors import EdgesegError, ModelError, SpecError
from edgeseg.quantize.ptq import calibrate_model, check_quantizable
from edgeseg.runtime.ort.backend import OrtBackend
from edgeseg.runtime.registry import open_backend
from edgeseg.spec import METADATA_KEY
from edgeseg.weights import shipped

POOLED = (
    ("Cast", ["images"], ["f32"], {"to": TensorProto.FLOAT}),
    ("Transpose", ["f32"], ["nchw"], {"perm": [0, 3, 1, 2]}),
    ("AveragePool", ["nchw"], ["pooled"], {"kernel_shape": [8, 8], "strides": [8, 8]}),
)
SIDE = 1 << 15


@pytest.fixture
def save(tiny_spec, tmp_path):
    """``save(nodes, initializers)``: an artifact of the tiny model's form whose ``logits`` these nodes make."""

    def write(nodes, initializers=(), change=lambda model: None, name="model.onnx", logits=(1, 3, 4, 6)):
        graph = helper.make_graph(
            [*(helper.make_node(op, inputs, outputs, **more) for op, inputs, outputs, more in POOLED), *nodes],
            "g",
            [helper.make_tensor_value_info("images", TensorProto.UINT8, [1, 32, 48, 3])],
            [helper.make_tensor_value_info("logits", TensorProto.FLOAT, logits)],
            list(initializers),
        )
        opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
        model.metadata_props.add(key=METADATA_KEY, value=tiny_spec.to_json())
        change(model)
        path = tmp_path / name
        path.write_bytes(model.SerializeToString())  # onnx.save would write external data
        return path

    return write


def constant(name, values, dtype=np.int64):
    return numpy_helper.from_array(np.array(values, dtype), name)


def empty(dims, raw=b"", name="w"):
    return TensorProto(name=name, data_type=TensorProto.FLOAT, dims=dims, raw_data=raw)


def add(name):
    return helper.make_node("Add", ["pooled", name], ["logits"])


def external(location, **more):
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[1, 3, 4, 6])
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in {"location": location, **more}.items():
        tensor.external_data.add(key=key, value=value)
    return tensor


def one_line(path, *functions):
    """What each of these says of a file: the same kind of line."""
    lines = []
    for function in functions:
        with pytest.raises(EdgesegError) as caught:
            function(path)
        line = str(caught.value)
        assert line.isprintable()
        assert len(line) < 800
        assert path.name in line
        lines.append(line)
    return lines


ALL = (OrtBackend, open_backend, read_spec, load_model, check_quantizable)


def test_shipped_models_are_taken():
    for model in shipped():
        assert look_through(model.path).domains == {""}


def test_a_model_as_onnx_writes_it_is_read_as_onnx_reads_it(save, tiny_spec):
    path = save([add("w")], [constant("w", np.ones((1, 3, 4, 6)), np.float32)])
    assert read_spec(path) == tiny_spec
    assert look_through(path).op_types == {"Cast", "Transpose", "AveragePool", "Add"}
    images = np.full((1, 32, 48, 3), 7, np.uint8)
    np.testing.assert_array_equal(OrtBackend(path).infer(images), np.full((1, 3, 4, 6), 8, np.float32))


@pytest.mark.parametrize("kind", ["above", "absolute", "link", "linked folder", "folder", "none", "pipe", "memory"])
def test_weights_outside_the_folder_are_refused(save, tmp_path, kind):
    folder = tmp_path / "model"
    folder.mkdir()
    secret = tmp_path / "secret"
    secret.write_bytes(np.arange(72, dtype=np.float32).tobytes())
    location = {
        "above": "../secret",
        "absolute": str(secret),
        "linked folder": "out/secret",
        "memory": "*/_ORT_MEM_ADDR_/*",
    }
    location = location.get(kind, "weights")
    if kind == "link":
        (folder / "weights").symlink_to(secret)
    elif kind == "linked folder":
        (folder / "out").symlink_to(tmp_path)
    elif kind == "folder":
        (folder / "weights").mkdir()
    elif kind == "pipe":
        os.mkfifo(folder / "weights")
    path = save([add("w")], [external(location, offset="0", length="288")], name="model/x.onnx")
    for line in one_line(path, *ALL):
        assert "which is no file in its folder" in line


def test_weights_in_a_subgraphs_attribute_are_looked_at_too(save):
    node = helper.make_node("Constant", [], ["w"])
    node.attribute.add(name="value", type=onnx.AttributeProto.TENSOR).t.CopyFrom(external("../secret"))
    branch = helper.make_graph([node], "b", [], [helper.make_tensor_value_info("w", TensorProto.FLOAT, None)])
    nodes = [helper.make_node("If", ["yes"], ["v"], then_branch=branch, else_branch=branch), add("v")]
    path = save(nodes, [constant("yes", True, bool)])
    for line in one_line(path, *ALL):
        assert "'../secret', which is no file in its folder" in line


def test_weights_beside_the_model_are_loaded(save, tmp_path):
    (tmp_path / "weights").write_bytes(np.ones(72, np.float32).tobytes())
    path = save([add("w")], [external("weights", offset="0", length="288")])
    images = np.full((1, 32, 48, 3), 7, np.uint8)
    assert (OrtBackend(path).infer(images) == 8).all()
    assert numpy_helper.to_array(load_model(path).graph.initializer[0]).sum() == 72


@pytest.mark.parametrize(
    "tensor",
    [
        empty([SIDE, SIDE]),
        empty([1 << 62, 1 << 62], b"1234"),
        empty([-1, 4], b"1234"),
        empty([SIDE, SIDE], b"1234"),
        empty([3], b"1234"),
        empty([1] * 1000, b"1234"),
        TensorProto(name="w", data_type=TensorProto.STRING, dims=[SIDE, SIDE], string_data=[b"a"]),
    ],
    ids=["nothing", "overflow", "negative", "four bytes", "not quite", "dimensions", "strings"],
)
def test_tensors_larger_than_what_is_there_of_them_are_refused(save, tensor):
    path = save([helper.make_node("ReduceMax", ["w"], ["m"], keepdims=0), add("m")], [tensor])
    for line in one_line(path, *ALL):
        assert "of which" in line or "has the shape" in line


def test_sparse_weights_and_built_engines_are_refused(save):
    def sparse(model):
        weights = model.graph.sparse_initializer.add(dims=[SIDE, SIDE])
        weights.values.CopyFrom(constant("w", [1.0], np.float32))
        weights.indices.CopyFrom(constant("i", [3]))

    reduced = [helper.make_node("ReduceMax", ["w"], ["m"], keepdims=0), add("m")]
    for line in one_line(save(reduced, change=sparse), *ALL):
        assert "sparse weights" in line
    engine = helper.make_node(
        "EPContext", ["pooled"], ["logits"], domain="com.microsoft", embed_mode=0, ep_cache_context="../evil.engine"
    )
    for line in one_line(save([engine]), *ALL):
        assert "holds a built engine (EPContext), which is a program" in line


@pytest.mark.parametrize("kind", ["empty", "text", "half", "folder", "pipe", "device", "missing", "no graph", "deep"])
def test_what_is_no_model_is_one_line(save, tiny_onnx, tmp_path, kind):
    path = tmp_path / "odd.onnx"
    whole = tiny_onnx.read_bytes()
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "deep":
        path.write_bytes(nested_graphs(500))
    elif kind != "missing":
        content = {"empty": b"", "text": b"hello " * 50, "half": whole[: len(whole) // 2], "no graph": b"\x08\x08"}
        path.write_bytes(content[kind])
    one_line(path, *ALL)


def nested_graphs(depth: int) -> bytes:
    """A graph in the attribute of a node of a graph, and so on, by hand: protobuf's own writer stops at 100."""

    def field(number: int, content: bytes) -> bytes:
        size, length = len(content), b""
        while size > 127:
            length += bytes([size & 127 | 128])
            size >>= 7
        return bytes([number << 3 | 2]) + length + bytes([size]) + content

    graph = b""
    for _ in range(depth):
        graph = field(1, field(5, field(6, graph)))
    return field(7, graph)


def test_a_name_too_long_and_a_folder_that_may_not_be_entered_are_one_line(tmp_path, run_cli):
    for name in ("x" * 300 + ".onnx", "a\0b.onnx"):
        with pytest.raises(ModelError, match=r"cannot be read|no model"):
            open_backend(tmp_path / name)
    done = run_cli("eval", "x" * 300 + ".onnx", "--data", tmp_path)
    assert done.rc == 2
    assert done.stderr.count("\n") == 1


def test_two_specs_are_refused(save, tiny_spec):
    path = save(
        [add("f")], [constant("f", 0, np.float32)], lambda m: m.metadata_props.add(key=METADATA_KEY, value="{}")
    )
    for line in one_line(path, *ALL):
        assert "carries two specs" in line


def test_an_opset_that_is_too_new_is_one_line(save):
    def future(model):
        model.opset_import[0].version = 9999

    (line,) = one_line(save([add("f")], [constant("f", 0, np.float32)], future), OrtBackend)
    assert "cannot be loaded by ONNX Runtime" in line


def test_names_in_a_graph_do_not_steer_the_terminal(save):
    evil = "a\x1b[2J"
    nodes = {
        "type": helper.make_node(evil, ["pooled"], ["logits"], domain="nowhere"),
        "domain": helper.make_node("Conjure", ["pooled"], ["logits"], domain=evil),
        "node": helper.make_node("Relu", ["pooled"], ["logits"], name=evil),
        "tensor": helper.make_node("Relu", [evil], ["logits"]),
        "attribute": helper.make_node("Relu", ["pooled"], ["logits"], **{evil: 3}),
    }
    paths = [save([node], name=f"{kind}.onnx") for kind, node in nodes.items()]

    def dimension(model):
        model.graph.output[0].type.tensor_type.shape.dim[0].dim_param = evil

    paths.append(save([add("f")], [constant("f", 0, np.float32)], dimension, name="dimension.onnx"))
    paths.append(save([add("f")], [constant("f", 0, np.float32), constant(evil, 0)], name="weight.onnx"))
    for path in paths:
        for line in one_line(path, *ALL):
            assert "the name 'a\\x1b[2J' in it cannot be shown" in line


def test_nothing_is_printed_beside_the_one_line(save, capfd):
    """ONNX Runtime would say on standard output that it tries again: into whatever reads a run's results there."""
    path = save([add("nowhere")])
    one_line(path, OrtBackend)
    path.write_bytes(path.read_bytes().replace(b"nowhere", b"nowh\xe4re"))
    one_line(path, *ALL)
    assert capfd.readouterr() == ("", "")


def test_a_model_that_only_the_checker_refuses_is_one_line(convnet, tmp_path):
    model = onnx.load(convnet)
    model.ClearField("ir_version")
    path = tmp_path / "old.onnx"
    path.write_bytes(model.SerializePartialToString())
    picture = tmp_path / "picture.png"
    Image.fromarray(np.zeros((32, 48, 3), np.uint8)).save(picture)
    one_line(path, lambda path: calibrate_model(path, [picture], "cpu", "minmax").quantize())


def test_an_output_of_another_shape_than_the_spec_says_is_told(save):
    """The graph leaves its dimensions open until it runs."""
    tile = helper.make_node("Tile", ["pooled", "times"], ["logits"])
    path = save([tile], [constant("times", [1, 2, 1, 1])], logits=None)
    model = onnx.load(path)
    model.graph.output[0].type.tensor_type.shape.CopyFrom(
        helper.make_tensor_value_info("x", TensorProto.FLOAT, ["a", "b", "c", "d"]).type.tensor_type.shape
    )
    model.graph.node[-1].input[1] = "chosen"
    model.graph.node.insert(0, helper.make_node("Cast", ["times"], ["t"], to=TensorProto.FLOAT))
    model.graph.node.insert(3, helper.make_node("Cast", ["t"], ["chosen"], to=TensorProto.INT64))
    onnx.save(model, path)
    with pytest.raises((ModelError, SpecError), match=r"\[?\(?1, 6, 4, 6\)?\]?.*but its spec says"):
        OrtBackend(path).infer(np.zeros((1, 32, 48, 3), np.uint8))


MEASURED = """
import sys
from pathlib import Path
import numpy as np
from edgeseg.errors import ModelError
from edgeseg.runtime.ort import memory as onnxruntime_memory
from edgeseg.runtime.ort.backend import OrtBackend
onnxruntime_memory.memory_limit = lambda: 256 << 20
try:
    OrtBackend(Path(sys.argv[1]), threads=1).infer(np.zeros((1, 32, 48, 3), np.uint8))
except ModelError as error:
    print(error)
print(peak_mib())
"""


@pytest.mark.parametrize("kind", ["ConstantOfShape", "Expand", "Tile", "of the image", "Range"])
def test_a_small_file_does_not_take_all_memory(save, kind):
    """Four gigabytes are asked for; the limit, set to 256 MiB, holds."""
    shape, one = constant("s", [SIDE, SIDE]), constant("one", [[1.0]], np.float32)
    nodes = {
        "ConstantOfShape": [helper.make_node("ConstantOfShape", ["s"], ["big"])],
        "Expand": [helper.make_node("Expand", ["one", "s"], ["big"])],
        "Tile": [helper.make_node("Tile", ["one", "s"], ["big"])],
        "of the image": [
            helper.make_node("ReduceMax", ["pooled"], ["p"], keepdims=0),
            helper.make_node("Expand", ["p", "s"], ["big"]),
        ],
        "Range": [helper.make_node("Range", ["zero", "end", "step"], ["big"])],
    }[kind]
    scalars = [constant(name, value, np.float32) for name, value in (("zero", 0), ("end", 1 << 30), ("step", 1))]
    path = save([*nodes, helper.make_node("ReduceMax", ["big"], ["m"], keepdims=0), add("m")], [shape, one, *scalars])
    done = subprocess.run(
        [sys.executable, "-c", PEAK_MIB + MEASURED, path], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    line, peak_mib = done.stdout.splitlines()
    assert "wants more than the 0.2 GiB of memory that a model may take" in line
    assert int(peak_mib) < 1000


def endless(save):
    """A model that adds one to its logits for ever."""
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["again"], ["again_out"]),
            helper.make_node("Add", ["a", "one"], ["a_out"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("again", TensorProto.BOOL, []),
            helper.make_tensor_value_info("a", TensorProto.FLOAT, [1, 3, 4, 6]),
        ],
        [
            helper.make_tensor_value_info("again_out", TensorProto.BOOL, []),
            helper.make_tensor_value_info("a_out", TensorProto.FLOAT, [1, 3, 4, 6]),
        ],
        [constant("one", 1, np.float32)],
    )
    return save([helper.make_node("Loop", ["", "yes", "pooled"], ["logits"], body=body)], [constant("yes", True, bool)])


def test_closing_ends_a_model_that_would_never_end(save):
    backend = OrtBackend(endless(save), threads=1)
    ended = []

    def infer():
        try:
            backend.infer(np.zeros((1, 32, 48, 3), np.uint8))
        except ModelError as error:
            ended.append(str(error))

    thread = threading.Thread(target=infer, daemon=True)
    thread.start()
    while not backend._running:
        assert thread.is_alive()
    backend.close()
    thread.join(timeout=60)
    assert not thread.is_alive()
    assert ended == [f"{backend._path} is closed. Open the model again."]
    with pytest.raises(ModelError, match="is closed"):
        backend.infer(np.zeros((1, 32, 48, 3), np.uint8))
