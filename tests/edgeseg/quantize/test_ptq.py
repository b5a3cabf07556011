"""What a quantized file holds and does, for both targets."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("onnx", reason="pip install 'edgeseg[quantize]'")

import onnx

from edgeseg.artifact.onnx import read_spec, set_spec
from edgeseg.data.dataset import Dataset
from edgeseg.errors import DatasetError, InputError, ModelError, SpecError
from edgeseg.quantize.calibrate import Method, samples_of
from edgeseg.quantize.exclude import exclude_worst
from edgeseg.quantize.graph import GraphView
from edgeseg.quantize.ptq import calibrate_model, check_quantizable, model_with_ranges
from edgeseg.quantize.sensitivity import sensitivities
from edgeseg.runtime import choose
from edgeseg.runtime.cuda.gpu import Gpu
from edgeseg.runtime.ort.backend import OrtBackend
from edgeseg.runtime.tensorrt.info import TENSORRT
from edgeseg.spec.int8 import INT8_TARGETS

INT8, UINT8, INT32 = onnx.TensorProto.INT8, onnx.TensorProto.UINT8, onnx.TensorProto.INT32


@pytest.fixture(scope="module")
def dataset(convnet_data):
    return Dataset.load(convnet_data)


@pytest.fixture(scope="module")
def samples(dataset):
    return samples_of(dataset, "train", 6)


@pytest.fixture(scope="module")
def images(samples):
    return [sample.image for sample in samples]


@pytest.fixture(scope="module", params=INT8_TARGETS)
def calibrated(request, convnet, images):
    return calibrate_model(convnet, images, request.param, "percentile")


def logits_of(model, images, tmp_path):
    if isinstance(model, onnx.ModelProto):
        onnx.save(model, tmp_path / "model.onnx")
        model = tmp_path / "model.onnx"
    return OrtBackend(model, threads=1).infer(images)


@pytest.fixture(scope="module")
def frames():
    return np.random.default_rng(2).integers(0, 256, (3, 32, 48, 3), dtype=np.uint8)


def test_int8_says_nearly_what_float_says(calibrated, convnet, frames, tmp_path):
    expected = logits_of(convnet, frames, tmp_path)
    got = logits_of(calibrated.quantize(), frames, tmp_path)
    assert 0 < np.abs(got - expected).mean() < 0.1 * expected.std()
    assert len(np.unique(expected.argmax(axis=1))) == 3
    assert np.mean(got.argmax(axis=1) == expected.argmax(axis=1)) > 0.9


def test_the_spec_says_int8_and_none_of_the_floats_figures(write_convnet, tiny_spec, images, tmp_path, monkeypatch):
    """From Python as from the command line: by it, ``auto`` finds the engine that computes such INT8."""
    path = write_convnet(tmp_path / "float.onnx")
    spec = tiny_spec.with_metrics(val_miou=0.9, macs=100)
    model = onnx.load(path)
    set_spec(model, spec)
    onnx.save(model, path)
    for target, precision in (("cpu", "int8-cpu"), ("tensorrt", "int8-tensorrt")):
        calibrated = calibrate_model(path, images, target, "minmax")
        assert calibrated.spec == spec
        for layers in (None, calibrated.layers[:1]):
            onnx.save(calibrated.quantize(layers), tmp_path / f"{target}.onnx")
            found = read_spec(tmp_path / f"{target}.onnx")
            assert found == replace(spec, precision=precision, metrics={"macs": 100})
        onnx.save(calibrated.quantize([]), tmp_path / "none.onnx")
        assert read_spec(tmp_path / "none.onnx") == spec

    monkeypatch.setattr(choose, "find_gpu", lambda: Gpu("Orin", "sm87"))
    monkeypatch.setattr(TENSORRT, "lacking", lambda: "")
    engines = [choose.choose(tmp_path / name).backend for name in ("float.onnx", "cpu.onnx", "tensorrt.onnx")]
    assert engines == ["tensorrt", "ort", "tensorrt"]


def test_all_work_is_between_int8_tensors(calibrated):
    """But the classifier's result where TensorRT is the target."""
    graph = calibrated.quantize().graph
    produced = {name: node for node in graph.node for name in node.output}
    for node in graph.node:
        if node.op_type in ("Conv", "Add", "MaxPool", "AveragePool", "Resize", "Concat"):
            sources = [produced[name].op_type for name in node.input if name in produced]
            assert set(sources) == {"DequantizeLinear"}, node.name
    counts = Counter(node.op_type for node in graph.node)
    assert not {"Mul", "BatchNormalization"} & set(counts)


def zero_points(graph):
    """The type and values of each Q/DQ's zero point, by the tensor it works on."""
    constants = {tensor.name: tensor for tensor in graph.initializer}
    pairs = [node for node in graph.node if node.op_type in ("QuantizeLinear", "DequantizeLinear")]
    return {node.input[0]: constants[node.input[2]] for node in pairs}


def test_for_the_cpu_activations_are_uint8_and_weights_int8_per_channel(convnet, images):
    graph = calibrate_model(convnet, images, "cpu", "minmax").quantize().graph
    kinds = {name: tensor.data_type for name, tensor in zero_points(graph).items()}
    assert {kind for name, kind in kinds.items() if ".weight" in name} == {INT8}
    assert {kind for name, kind in kinds.items() if ".bias" in name} == {INT32}
    assert {kind for name, kind in kinds.items() if ".weight" not in name and ".bias" not in name} == {UINT8}
    scales = {tensor.name: tensor.dims for tensor in graph.initializer if tensor.name.endswith("weight_scale")}
    assert scales["depthwise.weight_scale"] == [8]
    weights = [onnx.numpy_helper.to_array(t) for t in graph.initializer if t.name.endswith("weight_quantized")]
    assert max(np.abs(weight.astype(int)).max() for weight in weights) <= 64, "8 bits saturate on x86 without VNNI"


def test_for_the_cpu_the_first_convolution_reads_the_frame_itself(convnet, images):
    graph = calibrate_model(convnet, images, "cpu", "minmax").quantize().graph
    assert GraphView(graph).chain("images", ["Reshape", "Transpose", "DequantizeLinear", "Conv"])
    assert not {"Cast", "Sub"} & {node.op_type for node in graph.node}


def test_for_tensorrt_all_is_int8_symmetric_with_float_biases(convnet, images):
    graph = calibrate_model(convnet, images, "tensorrt", "minmax").quantize().graph
    found = zero_points(graph)
    assert {tensor.data_type for tensor in found.values()} == {INT8}
    assert all((onnx.numpy_helper.to_array(tensor) == 0).all() for tensor in found.values())
    assert not [name for name in found if "bias" in name]
    produced = {name: node for node in graph.node for name in node.output}
    for node in graph.node:
        if node.op_type == "Conv":  # a pair on the weights too
            assert produced[produced[node.input[1]].input[0]].op_type == "QuantizeLinear"
        if node.op_type == "Relu":  # none between it and its convolution
            assert produced[node.input[0]].op_type == "Conv"
    assert [node.op_type for node in graph.node if "images" in node.input] == ["Cast"]  # all its uint8 can do
    assert produced["logits"].op_type == "Conv"


def test_for_tensorrt_joined_tensors_share_a_scale(convnet, images):
    graph = calibrate_model(convnet, images, "tensorrt", "minmax").quantize().graph
    constants = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
    produced = {name: node for node in graph.node for name in node.output}
    joined = next(node for node in graph.node if node.op_type == "Concat")
    after = next(node for node in graph.node if node.input[0] == joined.output[0])
    scales = [constants[produced[name].input[1]] for name in joined.input] + [constants[after.input[1]]]
    assert len(scales) == 3
    assert len(set(map(float, scales))) == 1


@pytest.mark.parametrize("method", get_args(Method))
def test_the_same_images_give_the_same_file(convnet, images, method, capfd):
    first, second = (calibrate_model(convnet, images, "cpu", method).quantize() for _ in range(2))
    assert first.SerializeToString(deterministic=True) == second.SerializeToString(deterministic=True)
    assert capfd.readouterr() == ("", "")


def test_known_ranges_give_the_file_that_calibration_gives(calibrated, convnet):
    """So that quantization-aware training has one form with quantization after training."""
    expected = calibrated.quantize()
    low_high = {}
    for node in expected.graph.node:
        name = node.input[0].removesuffix("_QuantizeLinear_Input")
        if node.op_type == "QuantizeLinear" and not name.endswith("weight") and name != "centred":
            low_high[name] = calibrated._ranges[name].range_value
    known = model_with_ranges(convnet, calibrated.target, low_high)
    assert known.quantize().SerializeToString(deterministic=True) == expected.SerializeToString(deterministic=True)


def test_ranges_of_other_tensors_are_refused(convnet):
    with pytest.raises(ModelError, match=r"has \d+ tensors to quantize, not the 1 whose ranges are known"):
        model_with_ranges(convnet, "cpu", {"logits": (-1.0, 1.0)})


def test_a_graph_that_cannot_be_folded_is_quantized_as_it_is(tiny_onnx, images, frames, tmp_path):
    expected = np.concatenate([logits_of(tiny_onnx, frame[None], tmp_path) for frame in frames])
    for target in INT8_TARGETS:
        model = calibrate_model(tiny_onnx, images, target, "minmax").quantize()
        got = np.concatenate([logits_of(model, frame[None], tmp_path) for frame in frames])
        assert 0 < np.abs(got - expected).max() < 3


def test_the_layers_that_int8_ruins_come_first_and_are_left_out(write_convnet, dataset, samples, images, tmp_path):
    path = write_convnet(tmp_path / "loud.onnx", outlier=1e4)
    calibrated = calibrate_model(path, images, "cpu", "minmax")
    found = sensitivities(calibrated, images, threads=1)
    assert {one.layer.name for one in found} == {layer.name for layer in calibrated.layers}
    assert {one.layer.name for one in found[:2]} == {"loud", "soft"}
    assert [one.sqnr_db for one in found] == sorted(one.sqnr_db for one in found)
    assert found[0].labels_changed > 0.05
    assert found == sensitivities(calibrated, images, threads=1)

    left_out = exclude_worst(calibrated, dataset, samples, 0.1, threads=1)
    assert {one.layer.name for one in left_out} == {"loud", "soft"}
    kept = set(calibrated.layers) - {one.layer for one in left_out}
    produced = {name: node for node in calibrated.quantize(kept).graph.node for name in node.output}
    assert produced["soft"].input[1] == "soft.weight"


def test_nothing_is_left_out_where_int8_is_good_enough(convnet, dataset, samples, images):
    assert exclude_worst(calibrate_model(convnet, images, "cpu", "percentile"), dataset, samples, 0.1, threads=1) == []


def test_no_layer_at_all_is_the_float_model(calibrated, convnet, frames, tmp_path):
    np.testing.assert_array_equal(
        logits_of(calibrated.quantize([]), frames, tmp_path), logits_of(convnet, frames, tmp_path)
    )


def test_samples_are_spread_over_the_split(dataset):
    assert [sample.image.stem for sample in samples_of(dataset, "train", 2)] == ["0", "5"]
    with pytest.raises(InputError, match="0 images to calibrate on"):
        samples_of(dataset, "train", 0)
    with pytest.raises(DatasetError, match="has no split 'dev'"):
        samples_of(dataset, "dev", 2)


def test_what_cannot_be_quantized_is_refused(convnet, tiny_labels_onnx, write_onnx, images, tmp_path):
    onnx.save(calibrate_model(convnet, images, "cpu", "minmax").quantize(), tmp_path / "done.onnx")

    def broken(name, change):
        model = onnx.load(convnet)
        change(model.graph)
        onnx.save(model, tmp_path / name)
        return tmp_path / name

    def any_rank(graph):
        graph.input[0].type.tensor_type.ClearField("shape")

    def foreign_operator(graph):
        graph.node[-1].op_type = "ConvolutionOfTomorrow"

    (tmp_path / "model.pt").write_bytes(b"")
    (tmp_path / "text.onnx").write_text("hello")
    for path, kind, message in (
        (tmp_path / "done.onnx", ModelError, "done.onnx is already quantized. Pass the float model"),
        (tiny_labels_onnx, ModelError, "returns labels, .* Export it with logits: edgeseg export"),
        (tmp_path / "model.pt", ModelError, "Export it first: edgeseg export"),
        (Path("nowhere.onnx"), ModelError, "no model file nowhere.onnx"),
        (tmp_path / "text.onnx", ModelError, "is no ONNX file"),
        (write_onnx(tmp_path / "bare.onnx", spec_json=None), SpecError, "without edgeseg's spec"),
        (broken("rank.onnx", any_rank), SpecError, "the graph's input is"),
        (broken("future.onnx", foreign_operator), ModelError, "ConvolutionOfTomorrow"),
    ):
        with pytest.raises(kind, match=message) as caught:
            check_quantizable(path)
        assert "\n" not in str(caught.value)


def test_no_torch_is_needed(run_python, convnet, convnet_data):
    done = run_python(f"""
import sys
sys.modules["torch"] = None
from pathlib import Path
from typing import get_args
from edgeseg.data.dataset import Dataset
from edgeseg.quantize.calibrate import samples_of
from edgeseg.quantize.ptq import calibrate_model
images = [sample.image for sample in samples_of(Dataset.load({str(convnet_data)!r}), "train", 2)]
print(len(calibrate_model(Path({str(convnet)!r}), images, "cpu", "minmax").quantize().graph.node) > 10)
""")
    assert (done.rc, done.stdout) == (0, "True\n"), done.stderr


def test_the_onnx_runtime_of_python_3_10_is_enough(run_python):
    """Its newest version, 1.23, lacks names that later ones have at the top of their package."""
    done = run_python("""
import onnxruntime.quantization as quantization
for name in ("TensorData", "TensorsData", "load_tensors_data", "save_tensors_data"):
    if hasattr(quantization, name):
        delattr(quantization, name)
import edgeseg.quantize.ptq, edgeseg.quantize.exclude
""")
    assert (done.rc, done.stderr) == (0, "")


def test_the_bit_depth_of_a_data_set_is_the_one_its_images_are_read_with(convnet, tmp_path):
    rng = np.random.default_rng(0)
    for folder in ("twelve", "eight"):
        (tmp_path / folder).mkdir()
    pixels = rng.integers(0, 100, (32, 48), dtype=np.uint16)  # far below what 12 bits hold
    Image.fromarray(pixels * 16).save(tmp_path / "twelve/a.png")
    Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / "eight/a.png")
    deep = calibrate_model(convnet, [tmp_path / "twelve/a.png"], "cpu", "minmax", bit_depth=12).quantize()
    plain = calibrate_model(convnet, [tmp_path / "eight/a.png"], "cpu", "minmax").quantize()
    assert deep.graph == plain.graph
