"""``edgeseg tune-crf``: what it prints, what it writes, and when it refuses."""

from __future__ import annotations

import re
import shutil
import sys
from dataclasses import replace

import numpy as np
import pytest
import yaml
from PIL import Image

pytest.importorskip("torch", reason="the writer of ONNX files needs torch; pip install 'edgeseg[export]'")

import onnxruntime
import torch

import edgeseg.cli
from edgeseg.artifact.onnx import read_spec
from edgeseg.data.dataset import Dataset
from edgeseg.evaluation.tune_crf import tune_model
from edgeseg.installing import pip_install
from edgeseg.models.checkpoint import load_network, read_checkpoint, save_atomically, save_network
from edgeseg.models.registry import build
from edgeseg.segmenter import Segmenter
from edgeseg.spec import ModelSpec


@pytest.fixture
def data(tmp_path):
    """Three pictures of an ellipse, whose edges the model's blocks miss, once as train and once as test."""
    folder = tmp_path / "data"
    for kind in ("images", "labels"):
        (folder / kind).mkdir(parents=True)
    y, x = np.mgrid[:64, :96] + 0.5
    for index in range(3):
        labels = ((x - 40 - 6 * index) / 28) ** 2 + ((y - 32) / 20) ** 2 < 1
        image = np.array([[120, 80, 80], [80, 120, 80]], np.uint8)[labels.astype(int)]
        Image.fromarray(image).save(folder / "images" / f"{index}.png")
        Image.fromarray(labels.astype(np.uint8)).save(folder / "labels" / f"{index}.png")
    splits = {name: {"images": "images", "labels": "labels"} for name in ("train", "test")}
    (folder / "dataset.yaml").write_text(yaml.safe_dump({"names": ["red", "green", "blue"], "splits": splits}))
    return folder


@pytest.fixture
def model(tiny_onnx, tmp_path):
    return shutil.copy(tiny_onnx, tmp_path / "model.onnx")


@pytest.fixture
def tune(monkeypatch, capsys):
    """``tune(…)`` runs the verb here and returns exit code, stdout and stderr."""

    def run(*args):
        monkeypatch.setattr(sys, "argv", ["edgeseg", "tune-crf", *map(str, args), "--threads", "1"])
        with pytest.raises(SystemExit) as caught:
            edgeseg.cli.main()
        return caught.value.code or 0, *capsys.readouterr()

    return run


def percentages(line):
    return [float(figure) for figure in re.findall(r"\d+\.\d\d", line)]


def test_the_tuned_model_is_a_copy_with_the_printed_parameters(run_cli, model, data, tmp_path):
    before = model.read_bytes()
    output = tmp_path / "tuned.onnx"
    done = run_cli("tune-crf", model, "--data", data, "--output", output, "--trials", 6, "--threads", 1)
    assert done.rc == 0, done.stderr
    assert model.read_bytes() == before

    progress = done.stderr.splitlines()
    assert [line.split()[1] for line in progress] == [f"{number}/6" for number in range(7)]
    assert progress[0].endswith("no CRF")
    assert progress[1].endswith("defaults")
    mious = [percentages(line)[0] for line in progress]
    rows = {line.split()[0]: line.split()[1:] for line in done.stdout.splitlines() if line.strip()}
    assert rows["mIoU"] == ["%", *(f"{miou:.2f}" for miou in (mious[0], mious[1], max(mious[1:])))]
    assert max(mious[1:]) > mious[0]
    assert "The mean is over 2 of 3 classes; no pixel of blue." in done.stdout
    assert "flatter" in done.stdout
    assert done.stdout.splitlines()[-1] == f"next: edgeseg eval {output} --data {data} --split test --refine crf"

    crf = read_spec(output).crf
    for name in ("bilateral_sigma_xy_px", "bilateral_sigma_rgb", "bilateral_weight", "spatial_weight", "iterations"):
        assert rows[name][-1] == f"{getattr(crf, name):g}"
    graphs = [onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"]) for path in (model, output)]
    image = np.random.default_rng(0).integers(0, 256, (1, 32, 48, 3), dtype=np.uint8)
    np.testing.assert_array_equal(*(graph.run(None, {"images": image})[0] for graph in graphs))

    measured = run_cli("eval", output, "--data", data, "--split", "test", "--refine", "crf", "--backend", "ort")
    assert measured.stderr == ""
    assert percentages(measured.stdout.splitlines()[-2])[0] == pytest.approx(max(mious[1:]), abs=0.2)


def test_in_place(tune, model, data):
    rc, stdout, _ = tune(model, "--data", data, "--output", model, "--trials", 3)
    assert rc == 0
    assert str(model) in stdout
    assert read_spec(model).crf is not None


def test_no_picture_or_label_is_written_over(tune, model, data, tmp_path):
    link = tmp_path / "tuned.onnx"
    for target in (data / "images" / "1.png", data / "labels" / "1.png", data / "dataset.yaml"):
        before = target.read_bytes()
        link.symlink_to(target)
        rc, _, stderr = tune(model, "--data", data, "--output", link, "--trials", 1, "--force")
        assert rc == 2
        assert f"tuned.onnx is {target}" in stderr
        assert target.read_bytes() == before
        link.unlink()


@pytest.fixture
def perfect(model, data):
    """The data with the labels that the model gives: no CRF can do better."""
    with Segmenter.open(model) as segmenter:
        for path in (data / "images").iterdir():
            Image.fromarray(segmenter(np.asarray(Image.open(path))).labels).save(data / "labels" / path.name)
    return data


def test_nothing_is_written_where_the_network_alone_is_better(tune, model, perfect, tmp_path):
    arguments = (model, "--data", perfect, "--output", tmp_path / "tuned.onnx", "--trials", 3)
    rc, stdout, _ = tune(*arguments)
    assert rc == 0
    assert f"No setting beats the network alone: run {model} without --refine crf." in stdout
    assert "Nothing is written" in stdout
    assert not (tmp_path / "tuned.onnx").exists()

    rc, stdout, _ = tune(*arguments, "--force")
    assert rc == 0
    assert "No setting beats the network alone" in stdout
    assert "Nothing is written" not in stdout
    assert read_spec(tmp_path / "tuned.onnx").crf is not None


def test_a_checkpoint_keeps_its_weights(tune, data, tmp_path):
    torch.manual_seed(0)
    spec = ModelSpec("fast_scnn", ("red", "green", "blue"), input_size=(64, 96), stride=8, data="noise")
    save_network(tmp_path / "model.pt", build("fast_scnn", 3), spec)
    rc, _, stderr = tune(
        *(tmp_path / "model.pt", "--data", data, "--output", tmp_path / "tuned.pt", "--trials", 2, "--force")
    )
    assert rc == 0, stderr
    (network, _), (tuned, tuned_spec) = load_network(tmp_path / "model.pt"), load_network(tmp_path / "tuned.pt")
    assert tuned_spec.crf is not None
    assert tuned_spec.data == "noise"
    for name, weight in network.state_dict().items():
        assert torch.equal(weight, tuned.state_dict()[name]), name


def test_a_checkpoint_keeps_what_is_beside_its_weights(data, tmp_path):
    """What training for INT8 has learned would else be lost."""
    torch.manual_seed(0)
    network = build("fast_scnn", 3)
    spec = ModelSpec("fast_scnn", ("red", "green", "blue"), input_size=(64, 96), stride=8)
    beside = {"qat": {"target": "cpu", "ranges": [(0.0, 1.0)]}}
    save_atomically(tmp_path / "model.pt", {"spec": spec.to_json(), "model": network.state_dict(), **beside})
    tuning = tune_model(
        tmp_path / "model.pt", Dataset.load(data), tmp_path / "tuned.pt", trials=1, max_images=1, force=True
    )
    tuned = read_checkpoint(tmp_path / "tuned.pt")
    assert tuned.spec == replace(spec, crf=tuning.best.params)
    assert tuned.content["qat"] == beside["qat"]


def test_what_cannot_work_is_told_before_the_search(tune, model, tiny_labels_onnx, data, tmp_path):
    good = tmp_path / "tuned.onnx"
    for arguments, message in (
        (("nothing", "--data", data, "--output", good), "there is no model 'nothing'"),
        ((model, "--data", data, "--output", tmp_path / "tuned.pt"), "tuned.pt does not end in .onnx"),
        ((model, "--data", data, "--output", tmp_path / "none" / "x.onnx"), f"there is no folder {tmp_path / 'none'}"),
        ((model, "--data", tmp_path, "--output", good), "no dataset at"),
        ((model, "--data", data, "--output", good, "--split", "dev"), "has no split 'dev'"),
        ((tiny_labels_onnx, "--data", data, "--output", good), "the model returns labels"),
        ((model, "--data", data, "--output", good, "--backend", "tvm"), "no backend 'tvm'"),
    ):
        rc, stdout, stderr = tune(*arguments)
        assert (rc, stdout) == (2, "")
        assert message in stderr
        assert len(stderr.splitlines()) == 1
    assert not good.exists()


def test_an_output_that_cannot_be_written_is_one_line_and_the_figures_are_not_lost(tune, model, data, tmp_path):
    (tmp_path / "tuned.onnx").mkdir()
    rc, stdout, stderr = tune(model, "--data", data, "--output", tmp_path / "tuned.onnx", "--trials", 3)
    assert rc == 2
    assert "bilateral_weight" in stdout
    assert "tuned.onnx cannot be written" in stderr.splitlines()[-1]


def test_without_the_package_that_writes_the_result_the_remedy_is_told_at_once(run_python, model, data):
    done = run_python(f"""
import sys
sys.modules["onnx"] = None
sys.argv = ["edgeseg", "tune-crf", {str(model)!r}, "--data", {str(data)!r}, "--output", {str(model)!r}]
from edgeseg.cli import main
main()
""")
    assert (done.rc, done.stdout) == (2, "")
    assert (
        done.stderr == f"edgeseg: error: the package onnx is not installed. Run: {pip_install('edgeseg[quantize]')}.\n"
    )
