from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from edgeseg.synthetic.classes import CAMVID_NAMES

torch = pytest.importorskip("torch", reason="training needs torch; pip install 'edgeseg[train]'")
torch.set_num_threads(1)  # more only fight over cores at the sizes of these tests

NAMES = ("ground", "box", "disc")
COLORS = np.array([[90, 60, 60], [200, 50, 50], [50, 180, 70]], np.uint8)
SIZE = (64, 96)


def write_shapes(folder: Path, label_format: str) -> Path:
    """12 training and 6 validation images 96x64 of boxes and discs on noisy ground, with dataset.yaml."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    for split, count in (("train", 12), ("val", 6)):
        for kind in ("images", "labels"):
            (folder / split / kind).mkdir(parents=True)
        for index in range(count):
            labels = np.zeros(SIZE, np.uint8)
            left, top = rng.integers(4, 60), rng.integers(4, 36)
            labels[top : top + 24, left : left + 30] = 1
            labels[(x - rng.integers(16, 80)) ** 2 + (y - rng.integers(16, 48)) ** 2 < 14**2] = 2
            image = np.clip(COLORS[labels] + rng.normal(0, 15, (*SIZE, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(image).save(folder / split / "images" / f"{index:02}.png")
            coded = COLORS[labels] if label_format == "rgb" else labels
            Image.fromarray(coded).save(folder / split / "labels" / f"{index:02}.png")
    splits = {split: {"images": f"{split}/images", "labels": f"{split}/labels"} for split in ("train", "val")}
    dataset: dict[str, Any] = {
        "names": list(NAMES),
        "colors": COLORS.tolist(),
        "label_format": label_format,
        "splits": splits,
    }
    (folder / "dataset.yaml").write_text(yaml.safe_dump(dataset))
    return folder


@pytest.fixture(scope="session")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset folder of ground, box and disc with index labels; see ``write_shapes``."""
    return write_shapes(tmp_path_factory.mktemp("shapes"), "index")


@pytest.fixture(scope="session")
def shapes_rgb(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``shapes`` with labels as colours."""
    return write_shapes(tmp_path_factory.mktemp("shapes_rgb"), "rgb")


@pytest.fixture(scope="session")
def camvid_like(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset of one image 24x16 with CamVid's classes, of which it shows 0, 0, 3 and 11 ("no label")."""
    folder = tmp_path_factory.mktemp("camvid_like")
    for kind in ("images", "labels"):
        (folder / kind).mkdir()
    labels = np.array([0, 0, 3, 11], np.uint8).repeat(6)[None].repeat(16, axis=0)
    Image.fromarray(labels).save(folder / "labels" / "a.png")
    Image.fromarray(np.full((16, 24, 3), 99, np.uint8)).save(folder / "images" / "a.png")
    dataset = {
        "names": list(CAMVID_NAMES),
        "ignore_index": 11,
        "splits": {"train": {"images": "images", "labels": "labels"}},
    }
    (folder / "dataset.yaml").write_text(yaml.safe_dump(dataset))
    return folder
