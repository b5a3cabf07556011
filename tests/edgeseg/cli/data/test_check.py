"""``edgeseg data check`` from outside."""

from __future__ import annotations

import json

import numpy as np
import pytest
from dataset_exports import folders, save
from PIL import Image


@pytest.fixture
def data(tmp_path):
    """Good, and with pictures that differ, which those of ``folders`` do not."""
    folder = folders(tmp_path / "data").folder
    for seed, path in enumerate(sorted(folder.glob("*/images/*.png"))):
        Image.fromarray(np.random.default_rng(seed).integers(0, 256, (12, 16, 3), dtype=np.uint8)).save(path)
    return folder


def test_a_good_data_set_is_told_and_drawn(run_cli, data, tmp_path):
    sheet = tmp_path / "sheet.png"
    done = run_cli("data", "check", data, "--height", "12", "--width", "16", "--sheet", sheet)
    assert done.rc == 0, done.stdout
    assert "train: 16x12 (2)" in done.stdout
    assert f"{data / 'dataset.yaml'}: no errors, " in done.stdout
    assert "check: 3/3" in done.stderr
    assert Image.open(sheet).format == "PNG"


def test_an_error_is_named_and_is_exit_code_1(run_cli, data):
    label = save(data / "train" / "labels" / "a.png", np.array([[0, 1, 2]], np.uint8))
    done = run_cli("data", "check", data, "--height", "12", "--width", "16")
    assert done.rc == 1
    image = data / "train" / "images" / "a.png"
    line = f"error size-mismatch: {image} is 16x12 but its label {label} is 3x1. Make both the same size."
    assert line in done.stdout.splitlines()
    assert ": 1 error, " in done.stdout


def test_json(run_cli, data):
    (data / "train" / "labels" / "a.png").unlink()
    done = run_cli("data", "check", data, "--json")
    assert done.rc == 1
    report = json.loads(done.stdout)
    assert report["findings"][0]["kind"] == "unlabelled-image"
    assert report["findings"][0]["files"] == [str(data / "train" / "images" / "a.png")]


def test_a_sheet_that_cannot_be_written_is_told_before_the_work(run_cli, data):
    done = run_cli("data", "check", data, "--sheet", data / "dataset.yaml")
    assert (done.rc, done.stdout) == (2, "")
    assert "check:" not in done.stderr


def test_no_data_set_is_a_mistake(run_cli, tmp_path):
    done = run_cli("data", "check", tmp_path / "none")
    assert done.rc == 2
    assert "no dataset at" in done.stderr
