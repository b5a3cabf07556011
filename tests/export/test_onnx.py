"""What an exported file holds and does: the protocol of its inputs, its spec, and PyTorch's own answers."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

import edgeseg
from edgeseg.errors import InputError, ModelError, SinkError
from edgeseg.evaluation.parity import compare, probe_images
from edgeseg.models.checkpoint import load_network
from edgeseg.runtime.postprocess import to_labels
from edgeseg.runtime.registry import open_backend
from edgeseg_export.onnx import export_onnx

CASES = [("fast_scnn", "logits"), ("fast_scnn", "labels"), ("enet", "logits"), ("enet", "labels")]


@pytest.fixture(params=CASES, ids=["-".join(case) for case in CASES])
def case(request, checkpoint_of, artifact_of):
    """A checkpoint and an artifact of it."""
    return checkpoint_of(request.param[0]), artifact_of(*request.param)


def test_the_graph_takes_uint8_frames_in_a_free_batch(case):
    _, artifact = case
    model = onnx.load(artifact)
    onnx.checker.check_model(model, full_check=True)
    (images,), (output,) = model.graph.input, model.graph.output
    assert images.name == "images"
    assert images.type.tensor_type.elem_type == onnx.TensorProto.UINT8
    batch, *size = images.type.tensor_type.shape.dim
    assert batch.dim_param
    assert [d.dim_value for d in size] == [64, 96, 3]
    assert output.name == ("labels" if "labels" in artifact.stem else "logits")
    assert output.type.tensor_type.shape.dim[0].dim_param == batch.dim_param
    assert model.opset_import[0].version == 18


def test_batch_normalisation_after_a_convolution_is_folded_away(case):
    _, artifact = case
    nodes = onnx.load(artifact).graph.node
    convolved = {node.output[0] for node in nodes if node.op_type == "Conv"}
    assert convolved
    assert not [node.name for node in nodes if node.op_type == "BatchNormalization" and node.input[0] in convolved]


def test_it_says_what_pytorch_says(case):
    checkpoint, artifact = case
    frames = [(image, None) for image in probe_images((64, 96))]
    parity = compare(open_backend(checkpoint), open_backend(artifact, threads=1), frames)
    assert parity.holds()
    assert parity.images == 4
    assert parity.label_agreement >= 0.999


def test_its_labels_depend_on_the_image(case):
    """Without which the comparisons above would be worth nothing."""
    backend = open_backend(case[1], threads=1)
    labels = [to_labels(backend.infer(image[None]), (64, 96)) for image in probe_images((64, 96))]
    assert len(np.unique(labels)) >= 3
    assert max(np.mean(labels[0] != other) for other in labels[1:]) > 0.1


def test_it_carries_its_spec(case):
    checkpoint, artifact = case
    network, own = load_network(checkpoint)
    output = "labels" if "labels" in artifact.stem else "logits"
    stride = 1 if output == "labels" else network.stride
    assert open_backend(artifact).spec == replace(own, output=output, stride=stride, license="CC0-1.0", data="noise")


def test_a_batch_equals_its_images_one_by_one(case):
    _, artifact = case
    backend = open_backend(artifact, threads=1)
    images = np.stack(probe_images((64, 96))[:3])
    together = backend.infer(images)
    alone = np.concatenate([backend.infer(image[None]) for image in images])
    assert together.shape == alone.shape
    if backend.spec.output == "labels":
        assert np.mean(together == alone) >= 0.999  # where two logits tie in float32, either may win
    else:
        np.testing.assert_allclose(together, alone, atol=1e-4 * np.abs(alone).max())


def test_nothing_tells_of_the_machine_it_was_made_on(case):
    checkpoint, artifact = case
    model = onnx.load(artifact)
    assert [prop.key for prop in model.metadata_props] == ["edgeseg.spec"]
    for tensor in model.graph.initializer:
        tensor.raw_data = b""  # any few letters may turn up among the weights
    content = model.SerializeToString()
    homes = (Path(edgeseg.__file__).parent, Path(os.__file__).parent, checkpoint.parent)
    for trace in (
        *(str(home).encode() for home in homes),
        b".py",
        b"Traceback",
        b"stack_trace",
        b'File "',
        b"pkg.torch",
    ):
        assert trace not in content


def test_a_size_the_network_cannot_take(checkpoint_of, tmp_path):
    _, spec = load_network(checkpoint_of("enet"))
    with pytest.raises(InputError, match="multiples of 8"):
        export_onnx(checkpoint_of("enet"), tmp_path / "x.onnx", spec=replace(spec, input_size=(60, 96)))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("content", [b"hello", b""])
def test_what_is_no_checkpoint(tmp_path, content):
    (tmp_path / "model.pt").write_bytes(content)
    with pytest.raises(ModelError, match=r"model\.pt is not a checkpoint"):
        export_onnx(tmp_path / "model.pt", tmp_path / "x.onnx")
    assert not (tmp_path / "x.onnx").exists()


def test_a_target_that_cannot_be_written_is_told_at_once(checkpoint_of, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(SinkError, match=r"x\.onnx cannot be written .*Choose another place"):
        export_onnx(checkpoint_of("fast_scnn"), tmp_path / "file" / "x.onnx")
    assert (tmp_path / "file").read_text() == "in the way"


def test_a_checkpoint_is_never_written_over(checkpoint_of, tmp_path):
    model = tmp_path / "model.pt"
    model.write_bytes(checkpoint_of("fast_scnn").read_bytes())
    (tmp_path / "link.onnx").symlink_to(model)
    with pytest.raises(SinkError, match="would be lost"):
        export_onnx(model, tmp_path / "link.onnx")
    assert model.read_bytes() == checkpoint_of("fast_scnn").read_bytes()
