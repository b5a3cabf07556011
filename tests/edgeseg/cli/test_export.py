"""``edgeseg export``: what it writes, what it notes, and when it refuses."""

from __future__ import annotations

import json
import re
import shutil
import sys

import numpy as np
import pytest
import yaml
from PIL import Image

pytest.importorskip("torch", reason="the export needs torch; pip install 'edgeseg[export]'")
pytest.importorskip("onnxscript", reason="the export needs onnxscript; pip install 'edgeseg[export]'")

import onnx
import torch
from counting import opens_of
from onnx import numpy_helper

import edgeseg.cli
import edgeseg_export.onnx
from edgeseg.artifact.onnx import read_spec
from edgeseg.errors import InputError
from edgeseg.models.checkpoint import save_network
from edgeseg.models.network import count_macs
from edgeseg.models.registry import build
from edgeseg.spec import ModelSpec
from edgeseg_export import run

SPEC = ModelSpec(
    "fast_scnn",
    ("a", "b", "c"),
    input_size=(64, 96),
    stride=8,
    data="noise",
    license="CC0-1.0",
    metrics={"val_miou": 0.125},
)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A 64x96 checkpoint of Fast-SCNN with fresh weights, which claims a mIoU; its folder's name has a bracket."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("[run]") / "model.pt"
    save_network(path, build("fast_scnn", 3), SPEC)
    return path


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Two images of noise, 150x100, with labels of three classes and some pixels without."""
    folder, rng = tmp_path_factory.mktemp("data"), np.random.default_rng(0)
    for kind, highest, channels in (("images", 255, (3,)), ("labels", 3, ())):
        (folder / kind).mkdir()
        for name in ("a.png", "b.png"):
            array = rng.integers(0, highest + 1, (100, 150, *channels), dtype=np.uint8)
            Image.fromarray(array).save(folder / kind / name)
    splits = {"test": {"images": "images", "labels": "labels"}}
    dataset = {"names": ["a", "b", "c"], "ignore_index": 3, "splits": splits}
    (folder / "dataset.yaml").write_text(yaml.safe_dump(dataset))
    return folder


@pytest.fixture
def export(monkeypatch, capsys):
    """``export(…)`` runs the verb here and returns exit code, stdout and stderr."""

    def run(*args):
        monkeypatch.setattr(sys, "argv", ["edgeseg", "export", *map(str, args)])
        with pytest.raises(SystemExit) as caught:
            edgeseg.cli.main()
        return caught.value.code or 0, *capsys.readouterr()

    return run


def test_another_size_is_exported_measured_and_noted(export, run_cli, checkpoint, data, tmp_path):
    target = tmp_path / "a folder" / "wide.onnx"
    rc, stdout, _ = export(
        *(checkpoint, "--output", target, "--height", 72, "--width", 128, "--data", data, "--split", "test"),
        *("--license", "CC-BY-4.0", "--trained-on", "my street"),
    )
    assert rc == 0
    lines = stdout.splitlines()
    assert lines[0].endswith("MB, uint8 72x128 to logits")
    assert lines[1].startswith("parity with PyTorch on 4 images: 100.000 % of labels agree, largest logit difference")
    assert lines[-1] == f"next: edgeseg run --model {target}"
    assert [p.name for p in target.parent.iterdir()] == ["wide.onnx"]

    spec = read_spec(target)
    assert (spec.input_size, spec.output, spec.stride) == ((72, 128), "logits", 8)
    assert (spec.license, spec.data, spec.class_names) == ("CC-BY-4.0", "my street", ("a", "b", "c"))
    assert spec.metrics["macs"] == count_macs(build("fast_scnn", 3), (72, 128))
    measured = json.loads(run_cli("eval", target, "--data", data, "--split", "test", "--json").stdout)["miou"]
    assert spec.metrics["val_miou"] == pytest.approx(measured, abs=1e-9)
    assert f"mIoU {100 * measured:.2f} % on test of" in stdout


@pytest.fixture(scope="module")
def exported(checkpoint, run_cli):
    """The artifact of ``edgeseg export model.pt`` without any flag, beside it, and what the command said."""
    done = run_cli("export", checkpoint)
    assert done.rc == 0, done.stderr
    return checkpoint.with_suffix(".onnx"), done


def test_the_defaults(exported):
    """Beside the model, at its own size, with what it knows of itself; a claim that was not measured anew stays."""
    target, done = exported
    assert done.stderr == ""
    assert done.stdout.splitlines()[-1] == f"next: edgeseg run --model {target}"
    assert read_spec(target) == SPEC.with_metrics(macs=count_macs(build("fast_scnn", 3), (64, 96)))


@pytest.fixture
def mistaken_exporter(exported, monkeypatch):
    """Exports come out with the classifier's signs turned."""

    def to_onnx(*_):
        model = onnx.load(exported[0])
        last = [node for node in model.graph.node if node.op_type == "Conv"][-1]
        for tensor in model.graph.initializer:
            if tensor.name in last.input:
                tensor.CopyFrom(numpy_helper.from_array(-numpy_helper.to_array(tensor), tensor.name))
        return model

    monkeypatch.setattr(edgeseg_export.onnx, "to_onnx", to_onnx)


def test_an_artifact_that_disagrees_with_pytorch_is_an_error(export, checkpoint, tmp_path, mistaken_exporter):
    rc, _, stderr = export(checkpoint, "--output", tmp_path / "x.onnx")
    assert rc == 2
    assert (
        stderr
        == f"edgeseg: error: {tmp_path / 'x.onnx'} does not do what {checkpoint} does. Report it with both files.\n"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--output", "x.pt"], "x.pt does not end in .onnx. Correct output"),
        (["--output", "DATA/dataset.yaml/x.onnx"], "x.onnx cannot be written"),
        (["--data", "nowhere"], "no dataset at nowhere"),
        (["--data", "DATA"], "has no split 'val'"),
    ],
)
def test_what_cannot_work_is_told_before_the_export(
    export, checkpoint, data, tmp_path, monkeypatch, arguments, message
):
    monkeypatch.chdir(tmp_path)
    before = sorted(data.rglob("*"))
    model = shutil.copy(checkpoint, tmp_path / "model.pt")
    rc, stdout, stderr = export(model, *(argument.replace("DATA", str(data)) for argument in arguments))
    assert (rc, stdout) == (2, "")
    assert message in stderr
    assert len(stderr.splitlines()) == 1
    assert [p.name for p in tmp_path.iterdir()] == ["model.pt"]
    assert sorted(data.rglob("*")) == before


def test_a_size_enet_cannot_take(export, tmp_path):
    save_network(tmp_path / "enet.pt", build("enet", 3), ModelSpec("enet", ("a", "b", "c"), input_size=(64, 96)))
    rc, _, stderr = export(tmp_path / "enet.pt", "--height", 100)
    assert rc == 2
    assert stderr == (
        "edgeseg: error: ENet cannot take images of 96x100. Give a width and height that are multiples of 8.\n"
    )


def test_a_checkpoint_is_read_once_whatever_is_asked_for(checkpoint, data, tmp_path):
    """By the network, what it learned of INT8, the export and the check; and Python has what the verb prints."""
    steps = []
    with opens_of(checkpoint) as opened:
        done = run.export(
            checkpoint, output=tmp_path / "x.onnx", data=data, split="test", license="MIT", on_step=steps.append
        )
    assert len(opened) == 1
    assert done.spec == read_spec(done.path)
    assert (done.spec.license, done.parity.images, done.evaluation.images) == ("MIT", 4, 2)
    assert done.spec.metrics["val_miou"] == done.evaluation.confusion.miou()
    assert steps[-1] is done
    assert [(step.parity is None, step.evaluation is None) for step in steps] == [
        *((True, True), (False, True)),
        (False, False),
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"height": 64, "format": "tensorrt"}, "height belongs to the format onnx. Leave it out, or use"),
        ({"batch": 2}, "batch belongs to the format tensorrt"),
        ({"format": "tflite"}, "format is 'tflite'. Use one of onnx, tensorrt"),
        ({"refine": "crf", "head": "labels"}, "refine crf needs logits"),
        ({"format": "tensorrt", "dla": -1}, "dla is -1"),
        ({"height": 0}, "height is 0. Use 8 or more"),
    ],
)
def test_what_cannot_be_asked_for_is_told_from_python_too(checkpoint, arguments, message):
    with pytest.raises(InputError, match=re.escape(message)):
        run.export(checkpoint, **arguments)


def test_bad_checkpoints_in_a_process_of_its_own(run_cli, tmp_path):
    (tmp_path / "bad.pt").write_bytes(b"hello")
    done = run_cli("export", "bad.pt", cwd=tmp_path)
    assert (done.rc, done.stdout) == (2, "")
    assert done.stderr.startswith("edgeseg: error: bad.pt is not a checkpoint or is damaged (")
    assert len(done.stderr.splitlines()) == 1
    assert [p.name for p in tmp_path.iterdir()] == ["bad.pt"]
