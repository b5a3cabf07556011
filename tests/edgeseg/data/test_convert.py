"""A data set written as folders: nothing of the source is touched, nothing is written over."""

from __future__ import annotations

import os

import numpy as np
import pytest
import yaml
from dataset_exports import FIRST, folders, picture, save
from PIL import Image

from edgeseg.data.convert import convert
from edgeseg.data.dataset import Dataset
from edgeseg.errors import DatasetError, SinkError


@pytest.fixture
def data(tmp_path):
    return folders(tmp_path / "data").folder


def test_images_are_links_and_labels_show_the_colours(data, tmp_path):
    path = convert(Dataset.load(data), tmp_path / "new")
    assert path == tmp_path / "new" / "dataset.yaml"
    image = tmp_path / "new" / "train" / "images" / "a.png"
    assert os.path.samefile(image, data / "train" / "images" / "a.png")
    label = Image.open(tmp_path / "new" / "train" / "labels" / "a.png")
    assert label.mode == "P"
    assert label.convert("RGB").getpixel((3, 2)) == (128, 0, 0)


def test_copies_where_there_can_be_no_links(data, tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    convert(Dataset.load(data), tmp_path / "new")
    source, written = data / "train" / "images" / "a.png", tmp_path / "new" / "train" / "images" / "a.png"
    assert written.read_bytes() == source.read_bytes()
    assert not os.path.samefile(written, source)


def test_what_lies_behind_a_link_is_what_is_linked(data, tmp_path):
    path = data / "train" / "images" / "a.png"
    path.rename(tmp_path / "real.png")
    path.symlink_to(tmp_path / "real.png")
    convert(Dataset.load(data), tmp_path / "new")
    assert not (tmp_path / "new" / "train" / "images" / "a.png").is_symlink()


def test_a_folder_that_holds_something_is_refused(data, tmp_path):
    for folder in (data, data / "train", tmp_path):
        before = sorted(tmp_path.rglob("*"))
        with pytest.raises(SinkError, match=r"is not empty .*Choose a new folder"):
            convert(Dataset.load(data), folder)
        assert sorted(tmp_path.rglob("*")) == before
    (tmp_path / "file").write_text("")
    with pytest.raises(SinkError, match="file cannot be written"):
        convert(Dataset.load(data), tmp_path / "file")


def test_the_description_comes_last(data, tmp_path):
    save(data / "val" / "labels" / "c.png", np.zeros((3, 3), np.uint8))
    with pytest.raises(DatasetError, match=r"c\.png is 16x12 but its label in .*c\.png is 3x3"):
        convert(Dataset.load(data), tmp_path / "new")
    assert not (tmp_path / "new" / "dataset.yaml").exists()


def test_no_label_stays_and_the_bit_depth_too(data, tmp_path):
    labels = FIRST.copy()
    labels[0] = 9
    save(data / "val" / "labels" / "c.png", labels)
    values = yaml.safe_load((data / "dataset.yaml").read_text())
    (data / "dataset.yaml").write_text(yaml.safe_dump({**values, "ignore_index": 9, "bit_depth": 12}))
    written = Dataset.load(convert(Dataset.load(data), tmp_path / "new"))
    assert written.bit_depth == 12
    (sample,) = written.split("val").samples()
    assert (sample.read_labels()[0] == 255).all()


def test_two_classes_without_a_label_are_not_taken_for_masks(tmp_path, caplog):
    picture(tmp_path / "data" / "images" / "a.png")
    save(tmp_path / "data" / "labels" / "a.png", (FIRST > 0) * np.uint8(255))
    splits = {"train": {"images": "images", "labels": "labels"}}
    described = {"names": ["a", "b"], "label_format": "index", "splits": splits}
    (tmp_path / "data" / "dataset.yaml").write_text(yaml.safe_dump(described))
    written = Dataset.load(convert(Dataset.load(tmp_path / "data"), tmp_path / "new"))
    assert written.coding.format == "index"
    assert not caplog.records


def test_splits_whose_names_are_no_folders(data, tmp_path):
    values = yaml.safe_load((data / "dataset.yaml").read_text())
    train = values["splits"]["train"]
    values["splits"] = {"../up": train, "Val": train, "val": train, "día": train}
    (data / "dataset.yaml").write_text(yaml.safe_dump(values, allow_unicode=True, sort_keys=False))
    written = Dataset.load(convert(Dataset.load(data), tmp_path / "new"))
    assert list(written.splits) == ["../up", "Val", "val", "día"]
    assert {path.name for path in (tmp_path / "new").iterdir()} == {
        *("split_0", "split_1", "split_2", "día", "dataset.yaml")
    }
