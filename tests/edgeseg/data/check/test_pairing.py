"""Files without their counterpart, as planted in a good data set, are found, and nothing else."""

from __future__ import annotations

import shutil

import pytest
from PIL import Image
from planted_faults import STEMS, scene, the_only


def test_image_without_a_label(data):
    data.path("b", "labels").unlink()
    found = the_only(data.check(), "unlabelled-image")
    assert found.files == (data.path("b"),)
    assert found.what == f"{data.path('b')} has no label"


def test_label_without_an_image(data):
    data.path("b").unlink()
    assert the_only(data.check(), "label-without-image", "warning").files == (data.path("b", "labels"),)


def test_labels_of_all_splits_in_one_folder_belong_to_their_images(data):
    labels = data.folder / "labels"
    labels.mkdir()
    for stem in data.every():
        data.path(stem, "labels").rename(labels / f"{stem}.png")
    data.describe(splits={split: {"images": f"{split}/images", "labels": "labels"} for split in STEMS})
    assert data.check().findings == ()


def test_files_called_by_a_pattern(data):
    for stem in data.every():
        data.path(stem, "labels").rename(data.path(stem, "labels", "_mask.png"))
    splits = {split: {"images": f"{split}/images", "labels": f"{split}/labels/{{stem}}_mask.png"} for split in STEMS}
    data.describe(splits=splits)
    assert data.check().findings == ()
    data.path("b").unlink()
    data.path("c", "labels", "_mask.png").unlink()
    found = {finding.kind: finding.files for finding in data.check().findings}
    assert found == {
        "unlabelled-image": (data.path("c"),),
        "label-without-image": (data.path("b", "labels", "_mask.png"),),
    }


def test_two_files_of_one_stem(data):
    Image.fromarray(scene(1)).save(data.path("a", suffix=".bmp"))
    assert the_only(data.check(), "same-stem").files == (data.path("a", suffix=".bmp"), data.path("a"))


@pytest.mark.parametrize("left", ["an empty folder", "no folder"])
def test_empty_split(data, left):
    for kind in ("images", "labels"):
        shutil.rmtree(data.folder / "val" / kind)
        if left == "an empty folder":
            (data.folder / "val" / kind).mkdir()
    found = the_only(data.check(), "empty-split" if left == "an empty folder" else "unusable-split")
    assert str(data.folder / "val" / "images") in found.what
