"""Pictures that two splits share, or one has twice, as planted in a good data set."""

from __future__ import annotations

import shutil

import cv2
import numpy as np
from PIL import Image
from planted_faults import SIZE, STEMS, scene, stripes, the_only


def test_identical_pictures_across_splits(data):
    shutil.copy(data.path("a"), data.path("e"))
    assert the_only(data.check(), "identical-across-splits").files == (data.path("e"), data.path("a"))


def test_a_split_that_joins_others_is_no_fault(data):
    lines = [f"{data.path(stem)}\t{data.path(stem, 'labels')}" for stem in data.every()]
    (data.folder / "all.txt").write_text("\n".join(lines))
    data.describe(splits={**data.values["splits"], "trainval": {"list": "all.txt"}})
    assert data.check().findings == ()


def test_near_identical_pictures_across_splits(data):
    darker = np.clip(scene(ord("a")).astype(float) * 0.9 + np.random.default_rng(0).normal(0, 4, (*SIZE, 3)), 0, 255)
    data.image("e", np.roll(darker, 1, axis=1).astype(np.uint8))
    found = the_only(data.check(), "near-identical-across-splits", "warning")
    assert found.files == (data.path("e"), data.path("a"))


def drive(data, moving: bool) -> None:
    """A camera that passes a long wall, in 30 frames of which every third is for val; or unrelated pictures."""
    for split in STEMS:
        shutil.rmtree(data.folder / split)
        (data.folder / split / "images").mkdir(parents=True)
        (data.folder / split / "labels").mkdir()
    wall = cv2.resize(np.random.default_rng(0).integers(0, 256, (6, 18, 3), dtype=np.uint8), (64 + 29 * 4, 48))
    for index in range(30):
        folder = data.folder / ("val" if index % 3 == 2 else "train")
        image = wall[:, index * 4 : index * 4 + 64] if moving else scene(100 + index)
        Image.fromarray(np.ascontiguousarray(image)).save(folder / "images" / f"way_{10 * index:04}.png")
        Image.fromarray(stripes(index)).save(folder / "labels" / f"way_{10 * index:04}.png")


def test_frames_of_one_recording_across_splits(data):
    drive(data, moving=True)
    found = the_only(data.check(), "one-recording-across-splits", "warning")
    assert found.count == 10
    assert found.files[:2] == (
        data.folder / "val" / "images" / "way_0020.png",
        data.folder / "train" / "images" / "way_0010.png",
    )
    assert "of the recording way_" in found.what


def test_numbered_photographs_are_no_recording(data):
    drive(data, moving=False)
    assert data.check().findings == ()


def test_identical_pictures_with_different_labels(data):
    shutil.copy(data.path("a"), data.path("b"))
    found = the_only(data.check(), "contradicting-labels")
    assert found.files == (data.path("a"), data.path("b"))
    shutil.copy(data.path("a", "labels"), data.path("b", "labels"))
    assert data.check().findings == ()
