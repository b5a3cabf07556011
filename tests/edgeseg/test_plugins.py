"""What another package brings by its entry points: used by every verb as if it were edgeseg's own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from edgeseg.artifact.onnx import read_spec
from edgeseg.plugins import Plugins
from edgeseg.spec import ModelSpec

OUTSIDE = Path(__file__).resolve().parents[1] / "support" / "outside"
NAMES = ("red", "green", "blue")


COMMANDS = """
import contextlib, io, json, sys
from edgeseg.cli import main
told = []
for words in json.loads(sys.argv[1]):
    sys.argv = ["edgeseg", *words]
    with contextlib.redirect_stdout(io.StringIO()) as stdout:
        try:
            main()
        except SystemExit as end:
            if end.code:
                raise
    told.append(stdout.getvalue())
print(json.dumps(told))
"""


@pytest.fixture
def edgeseg(tmp_path):
    """``edgeseg(["doctor"], …)`` runs commands where the package is installed; what each prints."""

    def run(*commands):
        words = json.dumps([[str(word) for word in command] for command in commands])
        done = subprocess.run(
            [sys.executable, "-c", COMMANDS, words],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(OUTSIDE), "NO_COLOR": "1", "TERM": "dumb", "COLUMNS": "200"},
            capture_output=True,
            text=True,
            timeout=280,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    return run


@pytest.fixture
def data(tmp_path):
    """Pictures of red, green and blue columns, labelled in .npy files."""
    labels = np.arange(3, dtype=np.uint8).repeat(32)[None].repeat(64, axis=0)
    for split in ("train", "val"):
        for kind in ("images", "labels"):
            (tmp_path / "data" / split / kind).mkdir(parents=True)
        for name in "ab":
            Image.fromarray(200 * np.eye(3, dtype=np.uint8)[labels]).save(
                tmp_path / "data" / split / "images" / f"{name}.png"
            )
            np.save(tmp_path / "data" / split / "labels" / f"{name}.npy", labels)
    splits = {split: {"images": f"{split}/images", "labels": f"{split}/labels"} for split in ("train", "val")}
    dataset = {"names": list(NAMES), "label_format": "npy", "splits": splits}
    (tmp_path / "data" / "dataset.yaml").write_text(yaml.safe_dump(dataset))
    return tmp_path / "data"


@pytest.fixture
def model(tmp_path):
    """A file of the outside engine's."""
    spec = ModelSpec("brightest", NAMES, input_size=(64, 96), output="labels")
    (tmp_path / "model.brightest").write_text(spec.to_json())
    return tmp_path / "model.brightest"


def test_a_network_is_trained_by_its_loss_on_labels_of_its_format(edgeseg, data, tmp_path):
    pytest.importorskip("onnxscript", reason="the export needs onnxscript; pip install 'edgeseg[export]'")
    output, artifact = tmp_path / "run", tmp_path / "model.onnx"
    recipe = ["--network", "tiny_net_wide", "--network-args", "channels=16", "--epochs", 60, "--eval-every", 60]
    recipe += ["--batch-size", 2, "--height", 64, "--width", 96, "--learning-rate", 0.05, "--loss-stride", 1]
    recipe += ["--loss", "cross_entropy + brier"]
    networks, _, _, measured = edgeseg(
        ["models", "--all"],
        ["train", "--data", data, "--output", output, *recipe, "--device", "cpu", "--threads", 1],
        ["export", output / "model.pt", "--output", artifact],
        ["eval", artifact, "--data", data, "--json"],
    )
    listed = {line.split()[0]: line for line in networks.splitlines() if line}
    assert "channels=8" in listed["tiny_net"]
    assert "channels=32" in listed["tiny_net_wide"]
    assert json.loads(measured)["miou"] > 0.9
    spec = read_spec(artifact)
    assert (spec.network, spec.network_args) == ("tiny_net_wide", {"channels": 16})


def test_an_engine_runs_its_files(edgeseg, data, model):
    measured, found = edgeseg(["eval", model, "--data", data, "--json"], ["doctor"])
    assert json.loads(measured)["miou"] == 1
    assert "numpy engine" in found


def test_labels_of_its_format_are_the_truth_of_a_run_and_of_predictions(edgeseg, data, model, tmp_path):
    images, labels = data / "val" / "images", data / "val" / "labels"
    (tmp_path / "predictions").mkdir()
    for label in labels.iterdir():
        Image.fromarray(np.load(label)).save(tmp_path / "predictions" / f"{label.stem}.png")
    report, measured = edgeseg(
        ["run", images, "--labels", labels, "--model", model, "--no-show"],
        ["eval", "--predictions", "predictions", "--labels", labels, "--json"],
    )
    assert "mIoU 100.00 %" in report
    assert json.loads(measured)["miou"] == 1


def test_a_data_set_of_its_format_is_known_by_its_looks(edgeseg, data, tmp_path):
    for split in ("train", "val"):
        (tmp_path / "beside" / split).mkdir(parents=True)
        for kind in ("images", "labels"):
            for file in (data / split / kind).iterdir():
                file.rename(tmp_path / "beside" / split / file.name)
    (tmp_path / "beside" / "classes.txt").write_text("\n".join(NAMES))
    (told,) = edgeseg(["data", "convert", "beside", "written"])
    assert "3 classes, splits train, val" in told
    label = Image.open(tmp_path / "written" / "val" / "labels" / "a.png")
    assert np.array_equal(np.array(label), np.load(tmp_path / "beside" / "val" / "a.npy"))


def test_a_source_is_known_by_its_scheme(edgeseg, model, tmp_path):
    edgeseg(["run", "noise:3", "--model", model, "--no-show", "--jsonl", "out.jsonl"])
    assert len((tmp_path / "out.jsonl").read_text().splitlines()) == 3


def test_a_sink_is_known_by_its_name(edgeseg, model, tmp_path):
    edgeseg(["run", "noise:3", "--model", model, "--sink", "count:a.txt", "--sink", "count:b.txt"])
    assert [(tmp_path / name).read_text() for name in ("a.txt", "b.txt")] == ["3 3", "3 3"]


def test_names_of_its_own_come_first_and_stay():
    own = Plugins("edgeseg.none", {"path": "pathlib:Path", "module": "json", "home": "pathlib:Path.home"})
    assert list(own) == ["path", "module", "home"]
    assert (own["path"], own["module"]) == (Path, json)
    assert own["home"]() == Path.home()
    assert "other" not in own
    with pytest.raises(KeyError):
        own["other"]


def test_what_cannot_be_loaded_names_the_package(tmp_path):
    info = tmp_path / "broken_plugins-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: broken-plugins\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[edgeseg.backends]\nodd = no_such_module:ENGINE\n")
    done = subprocess.run(
        [sys.executable, "-m", "edgeseg", "doctor"],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" not in done.stderr
    assert "odd, which broken-plugins brings, cannot be loaded (No module named 'no_such_module')" in done.stderr
    assert "Mend or remove broken-plugins" in done.stderr
