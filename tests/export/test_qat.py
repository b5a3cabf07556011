"""What is exported after quantization-aware training: the form of ``edgeseg quantize`` with the ranges learned."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
import torch
from counting import opens_of

pytest.importorskip("torchao", reason="quantization-aware training needs torchao; pip install 'edgeseg[qat]'")

from edgeseg.errors import InputError, ModelError
from edgeseg.evaluation.parity import compare, probe_images
from edgeseg.models.checkpoint import load_network, load_trusted, save_network
from edgeseg.models.normalise import Normalise
from edgeseg.models.registry import build
from edgeseg.quantize.graph import GraphView
from edgeseg.quantize.ptq import calibrate_model
from edgeseg.runtime.registry import open_backend
from edgeseg.spec import ModelSpec
from edgeseg.train.config import TrainConfig
from edgeseg.train.fake_quantize import FakeQuantized
from edgeseg.train.qat import begin, read_learned, save_learned
from edgeseg_export import run
from edgeseg_export.qat import TOLERANCE, FakeQuantizedBackend, expected_agreement, export_quantized

SIZE = (64, 96)
CASES = [("fast_scnn", "cpu"), ("fast_scnn", "tensorrt"), ("enet", "cpu")]


def pixels():
    return torch.from_numpy(np.stack(probe_images(SIZE)).transpose(0, 3, 1, 2))


@pytest.fixture(scope="module")
def taught(tmp_path_factory):
    """A Fast-SCNN that tells which channel of smooth pictures is the brightest; its fourth class is never seen.

    With random weights a network blows up what one last bit in its first layer changes.
    """
    path = tmp_path_factory.mktemp("taught") / "fast_scnn.pt"
    torch.manual_seed(0)
    network = build("fast_scnn", 4)
    spec = ModelSpec("fast_scnn", ("red", "green", "blue", "none"), input_size=SIZE, stride=network.stride)
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3)
    normalise = Normalise(spec)
    for step in range(100):
        smooth = torch.from_numpy(np.stack([probe_images(SIZE, 1000 * step + seed)[0] for seed in range(4)]))
        images = smooth.permute(0, 3, 1, 2)
        logits = torch.nn.functional.interpolate(network(normalise(images)), SIZE, mode="bilinear")
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(logits, images.float().argmax(dim=1)).backward()
        optimizer.step()
    save_network(path, network, spec)
    return path


@pytest.fixture(scope="module", params=CASES, ids=["-".join(case) for case in CASES])
def case(request, checkpoint_of, taught, tmp_path_factory):
    """A checkpoint with learned ranges, what it was saved from, and its artifact."""
    name, target = request.param
    path = tmp_path_factory.mktemp("qat") / f"{name}.pt"
    start = taught if name == "fast_scnn" else checkpoint_of(name)
    config = TrainConfig(data=Path(), qat=str(start), qat_target=target, network=name, height=SIZE[0], width=SIZE[1])
    network, spec = begin(config)
    rounding = FakeQuantized(network, target, SIZE)
    rounding.calibrate([Normalise(spec)(pixels())])
    save_learned(path, rounding.eval(), spec, target)
    export_quantized(path, path.with_suffix(".onnx"))
    return path, rounding, path.with_suffix(".onnx")


def pairs(model):
    """How often which nodes are joined by a Q/DQ pair, and of which type and with how many scales."""
    graph = model.graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    makers = {name: node.op_type for node in graph.node for name in node.output}
    found = Counter()
    for node in graph.node:
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            zero_point = constants[node.input[2]]
            readers = sorted(other.op_type for other in graph.node if node.output[0] in other.input)
            source = makers.get(node.input[0], "constant")
            found[(source, node.op_type, *readers, zero_point.data_type, *zero_point.dims)] += 1
    return found


def test_the_verb_reads_it_once_and_judges_it_by_what_hangs_on_its_rounding(case, tmp_path):
    path, _, artifact = case
    if read_learned(path).target != "cpu" or "enet" in path.name:
        pytest.skip("one is enough")
    with opens_of(path) as opened:
        exported = run.export(path, output=tmp_path / "x.onnx")
    assert len(opened) == 1
    assert exported.spec.precision == "int8-cpu"
    assert exported.parity.label_agreement >= exported.expected_agreement - TOLERANCE
    assert onnx.load(exported.path).graph == onnx.load(artifact).graph


def test_it_has_the_form_that_quantize_writes(case, artifact_of, tmp_path):
    path, _, artifact = case
    for number, image in enumerate(probe_images(SIZE)):
        cv2.imwrite(str(tmp_path / f"{number}.png"), image)
    images = sorted(tmp_path.glob("*.png"))
    calibrated = calibrate_model(artifact_of(path.stem, "logits"), images, read_learned(path).target, "minmax")
    expected, got = calibrated.quantize(), onnx.load(artifact)
    assert Counter(node.op_type for node in got.graph.node) == Counter(node.op_type for node in expected.graph.node)
    assert pairs(got) == pairs(expected)
    assert [i.name for i in got.graph.input] == ["images"]
    assert [o.name for o in got.graph.output] == ["logits"]


def test_its_ranges_are_the_learned_ones(case):
    path, _, artifact = case
    learned = read_learned(path)
    lowest, highest = (0, 255) if learned.target == "cpu" else (-127, 127)
    graph = onnx.load(artifact).graph
    constants = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
    found = []
    for node in graph.node:
        if node.op_type == "QuantizeLinear" and node.input[0] not in constants:
            scale, zero_point = float(constants[node.input[1]]), int(constants[node.input[2]])
            if scale != 1:  # that of the frame
                found.append(((lowest - zero_point) * scale, (highest - zero_point) * scale))
    for limits in learned.ranges:
        assert any(limits == pytest.approx(others, rel=1e-5) for others in found), limits
    for others in found:
        assert any(limits == pytest.approx(others, rel=1e-5) for limits in learned.ranges), others


def test_it_says_what_the_network_said_in_training(case):
    path, rounding, artifact = case
    if "enet" in path.name:
        pytest.skip("this ENet has random weights, which blow up what one last bit changes")
    reference = FakeQuantizedBackend(path)
    with torch.no_grad():
        trained = rounding(Normalise(reference.spec)(pixels())).numpy()
    own = reference.infer(np.stack(probe_images(SIZE)))
    expected = expected_agreement(reference)  # of what rounds alike; how much lies between two steps hangs on the CPU
    assert expected - TOLERANCE > 0.9
    assert np.mean(own.argmax(axis=1) == trained.argmax(axis=1)) > expected - TOLERANCE
    assert len(np.unique(own.argmax(axis=1))) == 3
    parity = compare(reference, open_backend(artifact, threads=1), ((image, None) for image in probe_images(SIZE)))
    assert parity.label_agreement > expected - TOLERANCE


@pytest.mark.parametrize("case", [("enet", "cpu")], indirect=True, ids=["enet-cpu"])
def test_a_network_that_hangs_on_single_steps_is_expected_to_agree_less(case):
    path, _, _ = case
    assert expected_agreement(FakeQuantizedBackend(path)) < 0.9  # it has random weights


def test_it_says_what_it_is(case):
    path, _, artifact = case
    _, own = load_network(path)
    spec = open_backend(artifact, threads=1).spec
    assert spec == own.unmeasured(precision=f"int8-{read_learned(path).target}", stride=spec.stride)
    assert [prop.key for prop in onnx.load(artifact).metadata_props] == ["edgeseg.spec"]


def test_on_the_cpu_the_first_convolution_reads_the_frame_itself(case):
    path, _, artifact = case
    if read_learned(path).target != "cpu" or "enet" in path.name:
        pytest.skip("TensorRT casts bytes first, and ENet reads its input twice")
    graph = onnx.load(artifact).graph
    assert GraphView(graph).chain("images", ["Reshape", "Transpose", "DequantizeLinear", "Conv"])


@pytest.mark.parametrize("case", [("fast_scnn", "cpu")], indirect=True, ids=["fast_scnn-cpu"])
def test_what_cannot_be_exported_so_is_refused(checkpoint_of, tmp_path, case):
    path, _, _ = case
    output = tmp_path / "x.onnx"
    with pytest.raises(ModelError, match=r"was not trained for INT8\. Export it in float"):
        export_quantized(checkpoint_of("fast_scnn"), output)
    _, own = load_network(path)
    with pytest.raises(InputError, match=r"ends in logits\. Set output to logits"):
        export_quantized(path, output, spec=replace(own, output="labels"))
    state = load_trusted(path)
    state["qat"]["ranges"].pop()
    torch.save(state, tmp_path / "short.pt")
    with pytest.raises(ModelError, match=r"has \d+ ranges, but .* needs \d+\. Train it for INT8 again"):
        export_quantized(tmp_path / "short.pt", output)
    assert not output.exists()
