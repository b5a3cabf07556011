"""``edgeseg compare``: one table of two models on the same frames."""

from __future__ import annotations

import shutil
import sys

import numpy as np
import pytest
from PIL import Image

import edgeseg.cli


@pytest.fixture
def compare(monkeypatch, capsys):
    """``compare(…)`` runs the verb here and returns exit code, stdout and stderr."""

    def run(*args):
        monkeypatch.setattr(sys, "argv", ["edgeseg", "compare", *map(str, args), "--threads", "1"])
        with pytest.raises(SystemExit) as caught:
            edgeseg.cli.main()
        return caught.value.code or 0, *capsys.readouterr()

    return run


def rows(stdout):
    return {line[:30].strip(): line[30:].split() for line in stdout.splitlines() if line.strip()}


def test_a_model_equals_itself(run_cli, convnet, convnet_data, tmp_path):
    twin = shutil.copy(convnet, tmp_path / "[twin].onnx")
    done = run_cli("compare", convnet, twin, "--data", convnet_data, "--threads", 1)
    assert done.rc == 0, done.stderr
    assert done.stderr == "comparing: 4/4\n"
    assert done.stdout.splitlines()[:2] == [f"A  {convnet}", f"B  {twin}"]
    found = rows(done.stdout)
    assert found["precision"] == ["fp32", "fp32"]
    assert found["mIoU %"] == ["100.00", "100.00", "+0.00"]
    assert found["labels that agree %"] == ["100.00"]
    assert found["largest logit, and difference"][-1] == "0"
    for name in ("engine ms", "frame to labels ms"):
        ms_a, ms_b, ratio, *words = found[name]
        assert float(ratio.removesuffix("x")) == pytest.approx(float(ms_a) / float(ms_b), rel=0.5)
        assert words == ["as", "fast"]
    assert done.stdout.splitlines()[-1] == f"4 images of val of {convnet_data / 'dataset.yaml'}; threads: 1"


def test_other_weights_differ(compare, convnet, write_onnx, convnet_data, tmp_path):
    rc, stdout, _ = compare(
        *(convnet, write_onnx(tmp_path / "b.onnx"), "--data", convnet_data, "--split", "train", "--max-images", 3)
    )
    assert rc == 0
    found = rows(stdout)
    miou_a, miou_b, change = map(float, found["mIoU %"])
    assert miou_a == 100
    assert miou_b < 60
    assert change == pytest.approx(miou_b - miou_a, abs=0.011)
    assert float(found["labels that agree %"][0]) < 80
    assert float(found["largest logit, and difference"][-1]) > 1
    assert "3 images of train" in stdout


def test_labels_are_compared_with_logits(compare, tiny_onnx, tiny_labels_onnx, convnet_data):
    rc, stdout, _ = compare(tiny_onnx, tiny_labels_onnx, "--data", convnet_data)
    assert rc == 0
    assert "largest logit" not in stdout
    assert 50 < float(rows(stdout)["labels that agree %"][0]) < 100  # nearest against bilinear


def test_mistakes_are_one_line(compare, convnet, convnet_data, write_onnx, tiny_spec, tmp_path):
    other = write_onnx(tmp_path / "o.onnx", spec_json=tiny_spec.to_json().replace('"blue"', '"azure"'))
    for arguments, message in (
        ((convnet, "nothing", "--data", convnet_data), "there is no model 'nothing'"),
        ((convnet, other, "--data", convnet_data), "class 2 is 'azure' to the model"),
        ((convnet, convnet, "--data", tmp_path), "no dataset at"),
        ((convnet, convnet, "--data", convnet_data, "--split", "dev"), "has no split 'dev'"),
        ((convnet, convnet, "--data", convnet_data, "--backend-b", "tvm"), "no backend 'tvm'"),
    ):
        rc, stdout, stderr = compare(*arguments)
        assert (rc, stdout) == (2, "")
        assert message in stderr
        assert len(stderr.splitlines()) == 1


def test_a_mean_over_fewer_classes_says_so(compare, convnet, convnet_data, tmp_path):
    """Of a class without a pixel in truth and prediction there is no IoU; without any, there is nothing to say."""
    folder = shutil.copytree(convnet_data, tmp_path / "data")
    for path in (folder / "val" / "labels").iterdir():
        labels = np.asarray(Image.open(path))
        Image.fromarray(np.where(labels == 1, labels, 255).astype(np.uint8)).save(path)
    _, stdout, _ = compare(convnet, convnet, "--data", folder)
    for side in "AB":
        assert f"{side}: mIoU is the mean of 1 of 3 classes; no pixel of or as red, blue\n" in stdout
    for path in (folder / "val" / "labels").iterdir():
        Image.fromarray(np.full((32, 48), 255, np.uint8)).save(path)
    _, stdout, _ = compare(convnet, convnet, "--data", folder)
    assert rows(stdout)["mIoU %"] == ["-", "-", "-"]
    assert "A: mIoU is the mean of 0 of 3 classes; no pixel of or as red, green, blue\n" in stdout
    _, stdout, _ = compare(convnet, convnet, "--data", convnet_data)
    assert "mean of" not in stdout
