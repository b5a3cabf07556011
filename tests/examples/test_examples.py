"""The scripts in examples/, as a user runs them."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from urllib.request import urlopen

import cv2
import numpy as np
import pytest
import yaml
from PIL import Image

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
GUARD_S = 120


@pytest.fixture
def example(tmp_path):
    """``example("batch.py", …)`` runs one to its end in a folder of its own; the lines that it prints."""

    def run(name, *arguments):
        command = [sys.executable, EXAMPLES / name, *map(str, arguments)]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=GUARD_S, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    return run


def test_batch(example, tiny_onnx, tmp_path):
    (tmp_path / "pictures").mkdir()
    for number in range(10):
        picture = np.zeros((48, 64, 3), np.uint8)
        picture[..., number % 3] = 200
        Image.fromarray(picture).save(tmp_path / "pictures" / f"{number}.png")
    lines = example("batch.py", "pictures", "labels", tiny_onnx)
    assert lines == [f"{number}: {('red', 'green', 'blue')[number % 3]}" for number in range(10)]
    for number in range(10):
        labels = cv2.imread(str(tmp_path / "labels" / f"{number}.png"), cv2.IMREAD_UNCHANGED)
        assert labels.shape == (48, 64)
        assert np.unique(labels).tolist() == [number % 3]


def test_own_sink(example, tiny_onnx):
    (line,) = example("own_sink.py", "synthetic:?frames=5&size=64x48", "blue", tiny_onnx)
    shown, of, frames = line.removeprefix("blue in ").removesuffix(" frames").split()
    assert (of, frames) == ("of", "5")
    assert 0 <= int(shown) <= 5


def test_own_network(example, tmp_path):
    pytest.importorskip("torch", reason="networks need torch; pip install 'edgeseg[train]'")
    labels = np.arange(2, dtype=np.uint8).repeat(48)[None].repeat(64, axis=0)
    for kind, array in (("images", 100 * labels[..., None].repeat(3, 2)), ("labels", labels)):
        (tmp_path / "data" / kind).mkdir(parents=True)
        for name in "ab":
            Image.fromarray(array).save(tmp_path / "data" / kind / f"{name}.png")
    split = {"images": "images", "labels": "labels"}
    dataset = {"names": ["dark", "light"], "label_format": "index", "splits": {"train": split, "val": split}}
    (tmp_path / "data" / "dataset.yaml").write_text(yaml.safe_dump(dataset))
    (line,) = example("own_network.py", "data", "run", 1)
    assert line.startswith("run/model.pt: mIoU ")
    assert (tmp_path / "run" / "model.pt").is_file()


def test_camera_to_page(tmp_path):
    command = [sys.executable, EXAMPLES / "camera_to_page.py", "synthetic:?live=1&size=64x48", "0"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        url = running.stdout.readline().split()[-1]
        try:
            with urlopen(url, timeout=GUARD_S) as page:
                assert b"<html" in page.read().lower()
        finally:
            running.terminate()
        assert running.wait(GUARD_S) == -signal.SIGTERM
