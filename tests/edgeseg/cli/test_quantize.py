"""``edgeseg quantize``: what it prints, what it writes, and when it refuses."""

from __future__ import annotations

import re
import shutil
import sys

import pytest
import yaml

pytest.importorskip("onnx", reason="quantization needs onnx; pip install 'edgeseg[quantize]'")

import numpy as np
import onnx
import onnxruntime
from counting import calls_of
from PIL import Image

import edgeseg.cli
from edgeseg.artifact.onnx import look_through, read_spec
from edgeseg.errors import InputError
from edgeseg.installing import pip_install
from edgeseg.quantize import run


@pytest.fixture
def model(convnet, tmp_path):
    return shutil.copy(convnet, tmp_path / "model.onnx")


@pytest.fixture
def loud(write_convnet, tmp_path):
    """A model of the same function, with two layers that INT8 ruins."""
    return write_convnet(tmp_path / "loud.onnx", outlier=1e4)


@pytest.fixture
def quantize(monkeypatch, capsys):
    """``quantize(…)`` runs the verb here and returns exit code, stdout and stderr."""

    def run(*args):
        monkeypatch.setattr(sys, "argv", ["edgeseg", "quantize", *map(str, args), "--threads", "1"])
        with pytest.raises(SystemExit) as caught:
            edgeseg.cli.main()
        return caught.value.code or 0, *capsys.readouterr()

    return run


def figures(line):
    return [float(figure) for figure in re.findall(r"[-+]?\d+\.\d\d", line)]


def miou_line(stdout):
    return next(line for line in stdout.splitlines() if line.startswith("mIoU  "))


@pytest.mark.parametrize(("target", "suffix"), [("cpu", "-int8"), ("tensorrt", "-int8-tensorrt")])
def test_the_artifact_lies_beside_the_model_and_says_what_was_printed(
    run_cli, model, convnet_data, tmp_path, target, suffix
):
    done = run_cli("quantize", model, "--data", convnet_data, "--target", target, "--max-drop", 20, "--threads", 1)
    assert done.rc == 0, done.stderr
    output = tmp_path / f"model{suffix}.onnx"
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["model.onnx", output.name])
    assert done.stderr.splitlines() == [
        "calibrating (percentile): 6/6",
        "measuring the float model: 4/4",
        "measuring INT8: 4/4",
    ]
    rows = {line.split()[0]: figures(line) for line in done.stdout.splitlines() if figures(line)}
    assert list(rows)[:4] == ["red", "green", "blue", "mIoU"]
    before, after, change = rows["mIoU"]
    assert before == 100  # its own labels
    assert change == pytest.approx(after - before, abs=0.011)
    assert after < 100
    assert "4 images of val; calibrated on 6 of train (percentile)" in done.stdout
    assert done.stdout.splitlines()[-1].startswith(f"next: edgeseg compare {model} {output}")

    spec, own = read_spec(output), read_spec(model)
    assert (spec.precision, own.precision) == (f"int8-{target}", "fp32")
    assert (spec.class_names, spec.license, spec.stride) == (own.class_names, own.license, own.stride)
    assert spec.metrics["val_miou"] == pytest.approx(after / 100, abs=1e-4)
    measured = run_cli("eval", output, "--data", convnet_data)
    assert f"mIoU {after:.2f} %" in measured.stdout


@pytest.mark.parametrize("auto_exclude", [False, True])
def test_the_float_model_is_looked_through_and_opened_once(model, convnet_data, tmp_path, auto_exclude):
    """Four sessions: the float model, what ONNX Runtime optimises of it and sees the ranges of, and the result."""
    session = onnxruntime.InferenceSession.__init__
    with calls_of(look_through, session) as called:
        done = run.quantize(model, convnet_data, max_drop=100, auto_exclude=auto_exclude, threads=1)
    choosing = 1 if auto_exclude else 0  # INT8 in all layers, on the calibration split
    assert called.count("look_through") == 2 + choosing
    assert called.count(session.__qualname__) == 4 + choosing
    assert done.path == tmp_path / "model-int8.onnx"
    assert read_spec(done.path).metrics["val_miou"] == done.after.confusion.miou()
    assert done.drop == pytest.approx(100 * (1 - done.after.confusion.miou()))


@pytest.mark.parametrize("wrong", [{"target": "gpu"}, {"method": "median"}, {"images": 0}, {"output": "x.pt"}])
def test_what_cannot_be_asked_for_is_told_from_python_too(model, convnet_data, wrong):
    with pytest.raises(InputError):
        run.quantize(model, convnet_data, threads=1, **wrong)


def test_too_much_lost_is_an_error_that_knows_the_layers(loud, convnet_data, tmp_path):
    with pytest.raises(run.TooMuchLostError, match=r"more than max_drop 5: nothing is written") as caught:
        run.quantize(loud, convnet_data, method="minmax", max_drop=5, threads=1)
    assert {one.layer.name for one in caught.value.worst[:2]} == {"loud", "soft"}
    assert caught.value.found.drop > 5
    assert [path.name for path in tmp_path.iterdir()] == ["loud.onnx"]


def test_too_much_lost_is_exit_code_1_and_names_the_worst_layers(quantize, loud, convnet_data, tmp_path):
    rc, stdout, stderr = quantize(loud, "--data", convnet_data, "--method", "minmax", "--max-drop", 5)
    assert rc == 1
    assert "quantizing one layer at a time" in stderr
    lines = stdout.splitlines()
    (drop,) = figures(next(line for line in lines if "more than --max-drop 5: nothing is written" in line))
    assert drop == pytest.approx(-figures(miou_line(stdout))[2], abs=0.011)
    index = next(i for i, line in enumerate(lines) if line.startswith("layer"))
    assert {line.split()[0] for line in lines[index + 1 : index + 3]} == {"loud", "soft"}
    assert "--auto-exclude" in lines[-1]
    assert [path.name for path in tmp_path.iterdir()] == ["loud.onnx"]


def test_the_worst_layers_are_left_in_float_on_request(quantize, loud, convnet_data, tmp_path):
    arguments = (loud, "--data", convnet_data, "--method", "minmax", "--max-drop", 10, "--output", tmp_path / "x.onnx")
    rc, stdout, _ = quantize(*arguments, "--auto-exclude")
    assert rc == 0
    assert "2 of 11 layers are left in float" in stdout
    assert figures(miou_line(stdout))[2] >= -10
    weights = {tensor.name: tensor.data_type for tensor in onnx.load(tmp_path / "x.onnx").graph.initializer}
    assert weights["loud.weight"] == weights["soft.weight"] == onnx.TensorProto.FLOAT
    assert weights["logits.weight_quantized"] == onnx.TensorProto.INT8


def test_an_existing_file_stays_where_too_much_is_lost(quantize, loud, convnet_data, tmp_path):
    (tmp_path / "x.onnx").write_text("of yesterday")
    rc, _, _ = quantize(loud, "--data", convnet_data, "--method", "minmax", "--output", tmp_path / "x.onnx")
    assert rc == 1
    assert (tmp_path / "x.onnx").read_text() == "of yesterday"


@pytest.fixture
def spoiled_data(convnet_data, tmp_path):
    """``spoiled_data(change)``: a copy of the data whose dataset.yaml and folder were changed by it."""

    def make(name, change):
        folder = tmp_path / name
        shutil.copytree(convnet_data, folder)
        content = yaml.safe_load((folder / "dataset.yaml").read_text())
        change(folder, content)
        (folder / "dataset.yaml").write_text(yaml.safe_dump(content))
        return folder

    return make


def empty_train(folder, _):
    for path in (folder / "train" / "images").iterdir():
        path.unlink()


def other_classes(_, content):
    content["names"] = ["red", "green", "azure"]


def no_labels(folder, _):
    for path in (folder / "val" / "labels").iterdir():
        Image.fromarray(np.full((32, 48), 255, np.uint8)).save(path)


def damaged_image(folder, _):
    (folder / "train" / "images" / "2.png").write_text("hello")


def test_mistakes_are_one_line_and_leave_nothing_behind(
    quantize, model, tiny_labels_onnx, convnet_data, spoiled_data, tmp_path
):
    output = ("--output", tmp_path / "out" / "x.onnx")
    (tmp_path / "out").mkdir()
    good = ("--data", convnet_data)
    assert quantize(model, *good, "--max-drop", 100, "--output", tmp_path / "done.onnx")[0] == 0
    for arguments, message in (
        (("nothing", *good, *output), "there is no model 'nothing'"),
        ((tmp_path / "done.onnx", *good, *output), "done.onnx is already quantized"),
        ((tiny_labels_onnx, *good, *output), "Export it with logits"),
        ((model, "--data", tmp_path, *output), "no dataset at"),
        ((model, *good, *output, "--split", "dev"), "has no split 'dev'"),
        ((model, *good, *output, "--calibration-split", "dev"), "has no split 'dev'"),
        ((model, "--data", spoiled_data("empty", empty_train), *output), "train/images is empty"),
        ((model, "--data", spoiled_data("other", other_classes), *output), "class 2 is 'blue' to the model"),
        ((model, *good, "--output", tmp_path / "out" / "x.pt"), "x.pt does not end in .onnx"),
        ((model, *good, "--output", model), "which would be lost"),
        ((model, *good, "--output", model / "x.onnx"), "x.onnx cannot be written"),
    ):
        rc, stdout, stderr = quantize(*arguments)
        assert (rc, stdout) == (2, ""), message
        assert message in stderr
        assert len(stderr.splitlines()) == 1
        assert not list((tmp_path / "out").iterdir())
    for change, message in ((damaged_image, "2.png is not an image"), (no_labels, "no pixel of split val")):
        rc, stdout, stderr = quantize(model, "--data", spoiled_data(change.__name__, change), *output)
        assert (rc, stdout) == (2, "")
        assert message in stderr.splitlines()[-1]
        assert not list((tmp_path / "out").iterdir())


def test_without_onnx_the_remedy_brings_no_torch(run_python, model, convnet_data):
    done = run_python(f"""
import sys
sys.modules["onnx"] = None
sys.argv = ["edgeseg", "quantize", {str(model)!r}, "--data", {str(convnet_data)!r}]
from edgeseg.cli import main
main()
""")
    assert (done.rc, done.stdout) == (2, "")
    assert (
        done.stderr == f"edgeseg: error: the package onnx is not installed. Run: {pip_install('edgeseg[quantize]')}.\n"
    )


def test_no_torch_is_needed(run_python, model, convnet_data, tmp_path):
    done = run_python(f"""
import sys
sys.modules["torch"] = None
sys.argv = ["edgeseg", "quantize", {str(model)!r}, "--data", {str(convnet_data)!r}, "--max-drop", "100"]
from edgeseg.cli import main
main()
""")
    assert done.rc == 0, done.stderr
    assert read_spec(tmp_path / "model-int8.onnx").precision == "int8-cpu"


def test_no_input_is_written_over_whatever_it_is_called_by(quantize, model, convnet_data, tmp_path):
    folder = shutil.copytree(convnet_data, tmp_path / "data")
    inputs = [
        model,
        folder / "dataset.yaml",
        folder / "train" / "images" / "0.png",
        folder / "val" / "labels" / "1.png",
    ]
    before = [path.read_bytes() for path in inputs]
    for index, path in enumerate(inputs):
        (tmp_path / f"soft{index}.onnx").symlink_to(path)
        (tmp_path / f"hard{index}.onnx").hardlink_to(path)
        for name in (f"soft{index}.onnx", f"./hard{index}.onnx"):
            rc, stdout, stderr = quantize(model, "--data", folder, "--output", tmp_path / name)
            assert (rc, stdout) == (2, ""), name
            assert "which would be lost" in stderr
    assert [path.read_bytes() for path in inputs] == before
