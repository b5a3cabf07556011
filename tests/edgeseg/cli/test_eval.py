from __future__ import annotations

import json

import numpy as np
import pytest
import yaml
from PIL import Image

from edgeseg import weights


@pytest.fixture
def folders(tmp_path):
    """predictions/ and labels/ of one image: mIoU (2/3 + 1/2) / 2."""
    for name, row in (("labels", [0, 0, 1, 1, 11]), ("predictions", [0, 0, 0, 1, 0])):
        (tmp_path / name).mkdir()
        Image.fromarray(np.array([row], np.uint8)).save(tmp_path / name / "a.png")
    return tmp_path


@pytest.fixture
def dataset(tmp_path):
    """A dataset whose single image is green on the left and red on the right, labelled right."""
    labels = np.zeros((64, 96), np.uint8)
    labels[:, :48] = 1
    for name, array in (("images", np.array([[255, 0, 0], [0, 255, 0]], np.uint8)[labels]), ("labels", labels)):
        (tmp_path / name).mkdir()
        Image.fromarray(array).save(tmp_path / name / "a.png")
    splits = {"test": {"images": "images", "labels": "labels"}}
    (tmp_path / "dataset.yaml").write_text(yaml.safe_dump({"names": ["red", "green", "blue"], "splits": splits}))
    return tmp_path


def test_predictions_against_labels(run_cli, folders):
    done = run_cli("eval", "--predictions", "predictions", "--labels", "labels", "--ignore-index", 11, cwd=folders)
    assert done.rc == 0
    assert "mIoU 58.33 %   pixel accuracy 75.00 %" in done.stdout
    rows = [line.split() for line in done.stdout.splitlines()]
    assert ["0", "66.67", "100.00", "80.00", "2"] in rows
    assert ["1", "50.00", "50.00", "66.67", "2"] in rows
    assert ["mean", "58.33", "75.00", "73.33", "4"] in rows
    assert "1 images; classes: 0..1, the highest index found" in done.stdout
    assert done.stderr == ""


def test_a_part_of_the_labels_is_said_to_be_one(run_cli, folders):
    Image.fromarray(np.zeros((1, 5), np.uint8)).save(folders / "labels" / "b.png")
    arguments = ("eval", "--predictions", "predictions", "--labels", "labels", "--ignore-index", 11)
    done = run_cli(*arguments, cwd=folders)
    assert done.rc == 2
    assert "1 file(s) in labels have no partner in predictions: b" in done.stderr
    done = run_cli(*arguments, "--partial", cwd=folders)
    assert done.rc == 0
    assert "mIoU 58.33 %" in done.stdout
    assert "1 of 2 labels; classes: 0..1" in done.stdout


def test_means_over_fewer_classes_say_so(run_cli, folders):
    arguments = ("--predictions", "predictions", "--labels", "labels", "--ignore-index", 11, "--num-classes", 3)
    done = run_cli("eval", *arguments, cwd=folders)
    assert "mIoU 58.33 %   pixel accuracy 75.00 %   (means over 2 of 3 classes; no pixel of 2)" in done.stdout
    assert "means" not in run_cli("eval", *arguments[:-2], cwd=folders).stdout


def test_json_is_all_there_is_on_stdout(run_cli, folders):
    arguments = (
        "--predictions",
        folders / "predictions",
        "--labels",
        folders / "labels",
        "--ignore-index",
        11,
        "--json",
    )
    figures = json.loads(run_cli("eval", *arguments).stdout)
    assert figures["miou"] == pytest.approx(7 / 12)
    assert figures["images"] == 1


def test_a_doubtful_value_is_asked_about(run_cli, folders):
    done = run_cli("eval", "--predictions", "predictions", "--labels", "labels", cwd=folders)
    assert done.rc == 2
    assert done.stderr == (
        "edgeseg: error: labels hold index 11, which no prediction holds: is it a class or 'no label'? "
        "Pass --ignore-index 11 or --num-classes 12.\n"
    )


def test_a_model_on_a_dataset(run_cli, tiny_onnx, dataset):
    done = run_cli("eval", tiny_onnx, "--data", dataset, "--split", "test", "--threads", 1)
    assert done.rc == 0, done.stderr
    assert "mIoU 100.00 %" in done.stdout
    assert "means over 2 of 3 classes; no pixel of blue" in done.stdout
    assert ["blue", "-", "-", "-", "0"] in [line.split() for line in done.stdout.splitlines()]
    assert f"classes: {dataset / 'dataset.yaml'}" in " ".join(done.stdout.split())


@pytest.mark.parametrize("refine", ["crf", "guided"])
def test_a_refined_model(run_cli, tiny_onnx, dataset, refine):
    image = np.full((64, 96, 3), (120, 80, 80), np.uint8)
    image[:, :46] = (80, 120, 80)  # the edge lies within one of the model's blocks
    Image.fromarray(image).save(dataset / "images" / "a.png")
    Image.fromarray((np.arange(96) < 46).astype(np.uint8)[None].repeat(64, 0)).save(dataset / "labels" / "a.png")
    arguments = ("eval", tiny_onnx, "--data", dataset, "--split", "test", "--threads", 1, "--json")
    alone, refined = (run_cli(*arguments, *flags) for flags in ((), ("--refine", refine)))
    assert json.loads(refined.stdout)["miou"] > json.loads(alone.stdout)["miou"]
    notes = refined.stderr.splitlines()
    assert notes[0].startswith("edgeseg: model tiny, backend ")
    assert (len(notes), "edgeseg tune-crf" in refined.stderr) == ((2, True) if refine == "crf" else (1, False))


def test_bad_input_is_one_line(run_cli, tiny_onnx, tiny_labels_onnx, dataset, tmp_path):
    (tmp_path / "bad.onnx").write_bytes(tiny_onnx.read_bytes()[:200])
    for arguments, message in (
        ([tiny_onnx, "--data", dataset], "has no split 'val'"),
        (["nothing", "--data", dataset, "--split", "test"], "there is no model 'nothing'"),
        ([tmp_path / "bad.onnx", "--data", dataset, "--split", "test"], "bad.onnx is no ONNX file"),
        ([tiny_onnx, "--data", dataset, "--split", "test", "--backend", "tvm"], "no backend 'tvm'"),
        ([tiny_onnx], "Add --data"),
        ([tiny_onnx, "--data", dataset, "--predictions", "x"], "Pass MODEL and --data, or --predictions and --labels"),
        (["--predictions", tmp_path], "Pass MODEL and --data, or --predictions and --labels"),
        ([tiny_onnx, "--data", dataset, "--split", "test", "--refine", "blur"], "no refinement 'blur'"),
        ([tiny_labels_onnx, "--data", dataset, "--split", "test", "--refine", "crf"], "the model returns labels"),
        (["--predictions", tmp_path, "--labels", tmp_path, "--refine", "crf"], "--refine is for a model"),
        (["--predictions", tmp_path, "--labels", tmp_path, "--fit", "crop"], "--fit is for a model"),
        ([tiny_onnx, "--data", dataset, "--split", "test", "--scales", "1,a"], "--scales is '1,a'. Give numbers"),
        ([tiny_onnx, "--data", dataset, "--split", "test", "--scales", "0.5,1"], "takes pictures of one size"),
        (["--predictions", tmp_path, "--labels", tmp_path, "--flip"], "--flip is for a model"),
        ([], "Pass MODEL and --data, or --predictions and --labels"),
    ):
        done = run_cli("eval", *arguments)
        assert done.rc == 2
        assert message in done.stderr
        assert len(done.stderr.splitlines()) == 1


MEASURED_ON = {"street": "camvid", "people": "people"}


def of_other_versions(model):
    """One form of each network is enough for other versions of ONNX Runtime."""
    marks = () if model.name.endswith("-int8") else pytest.mark.any_version
    return pytest.param(model, id=model.name, marks=marks)


@pytest.mark.parametrize("model", [of_other_versions(model) for model in weights.shipped()])
def test_a_shipped_model_reaches_the_figure_it_claims(model, data_root, run_cli):
    """On the val split that its card names."""
    from edgeseg.artifact.onnx import read_spec

    done = run_cli("eval", model.name, "--data", data_root / MEASURED_ON[weights.task_of(model.name)], "--json")
    assert json.loads(done.stdout)["miou"] == pytest.approx(read_spec(model.path).metrics["val_miou"], abs=1e-3)
