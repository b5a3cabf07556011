"""What ends a training later is refused before, by headers alone."""

from __future__ import annotations

import numpy as np
import pytest
from dataset_exports import coco, folders, save
from PIL import Image

from edgeseg.data.check.before_training import refuse_unusable
from edgeseg.data.dataset import Dataset
from edgeseg.errors import DatasetError


@pytest.fixture
def data(tmp_path):
    return folders(tmp_path / "data").folder


def refuse(folder, *splits):
    dataset = Dataset.load(folder)
    refuse_unusable(sample for name in splits or ("train", "val") for sample in dataset.split(name).samples())


def test_good_data_pass(data, tmp_path):
    refuse(data)
    refuse(coco(tmp_path / "coco").folder)


def test_sizes_that_differ_are_named_with_how_many_there_are(data):
    save(data / "train" / "labels" / "a.png", np.zeros((3, 4), np.uint8))
    with pytest.raises(DatasetError, match=r"a\.png is 16x12 but its label .*a\.png is 4x3\. Make both the same size"):
        refuse(data)
    save(data / "val" / "labels" / "c.png", np.zeros((3, 4), np.uint8))
    with pytest.raises(DatasetError, match=r"\(and 1 more like it: edgeseg data check\)"):
        refuse(data)


def test_exif_that_turns_one_of_them_is_named(data):
    path = data / "train" / "images" / "a.png"
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.open(path).save(path, exif=exif)
    with pytest.raises(DatasetError, match=r"EXIF turns .*images/a\.png but not .*labels/a\.png"):
        refuse(data)


def test_what_is_in_doubt_passes(data):
    path = data / "train" / "images" / "a.png"
    exif = Image.Exif()
    exif[0x0112] = 3
    Image.open(path).save(path, exif=exif)
    refuse(data)


def test_only_the_splits_of_the_training_count(data):
    save(data / "val" / "labels" / "c.png", np.zeros((3, 4), np.uint8))
    refuse(data, "train")


def test_nothing_is_decoded(data, monkeypatch):
    from edgeseg.data import pictures

    def never(*_, **__):
        raise AssertionError("decoded")

    dataset = Dataset.load(data)
    monkeypatch.setattr(pictures, "pages", never)
    refuse_unusable(sample for split in dataset.splits.values() for sample in split.samples())
