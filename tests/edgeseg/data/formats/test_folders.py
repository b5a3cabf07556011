"""Folders and label files: by stem, by pattern, nested, and by lists."""

from __future__ import annotations

import os

import numpy as np
import pytest
import yaml
from dataset_exports import FIRST, SECOND, picture, save

from edgeseg.data.convert import convert
from edgeseg.data.dataset import Dataset
from edgeseg.errors import DatasetError


def write(folder, split, **keys):
    values = {"names": ["ground", "car", "tree"], "splits": {"train": split}, **keys}
    (folder / "dataset.yaml").write_text(yaml.safe_dump(values))
    return Dataset.load(folder)


def found(dataset):
    return {
        sample.image.relative_to(dataset.path.parent).as_posix(): dataset.read(sample)[1].tolist()
        for sample in dataset.split("train").samples()
    }


def test_labels_that_are_called_otherwise(tmp_path):
    for stem, labels in (("a", FIRST), ("b", SECOND)):
        picture(tmp_path / "images" / f"{stem}.jpg")
        save(tmp_path / "masks" / f"{stem}_ids.png", labels)
        (tmp_path / "masks" / f"{stem}_polygons.json").write_text("{}")
    dataset = write(tmp_path, {"images": "images", "labels": "masks/{stem}_ids.png"})
    assert found(dataset) == {"images/a.jpg": FIRST.tolist(), "images/b.jpg": SECOND.tolist()}
    (tmp_path / "masks" / "b_ids.png").unlink()
    with pytest.raises(DatasetError, match=r"1 of 2 images in .* have no label called .*\{stem\}_ids\.png: b\.jpg"):
        found(dataset)


def test_labels_among_the_images(tmp_path):
    picture(tmp_path / "all" / "a.png")
    save(tmp_path / "all" / "a_mask.png", FIRST)
    assert found(write(tmp_path, {"images": "all", "labels": "all/{stem}_mask.png"})) == {"all/a.png": FIRST.tolist()}


def test_folders_in_folders(tmp_path):
    for city, stem, labels in (("b", "x", FIRST), ("a", "x", SECOND)):
        picture(tmp_path / "left" / city / f"{stem}.jpg")
        save(tmp_path / "fine" / city / f"{stem}.png", labels)
        save(tmp_path / "ids" / city / f"{stem}_ids.png", labels)
    expected = {"left/a/x.jpg": SECOND.tolist(), "left/b/x.jpg": FIRST.tolist()}
    dataset = write(tmp_path, {"images": "left", "labels": "fine", "nested": True})
    assert found(dataset) == expected
    assert (
        found(write(tmp_path, {"images": "left", "labels": "ids/{folder}/{stem}_ids.png", "nested": True})) == expected
    )
    written = Dataset.load(convert(dataset, tmp_path / "new"))
    assert [sample.image.name for sample in written.split("train").samples()] == ["b_x.jpg", "x.jpg"]
    assert sorted(found(written).values()) == sorted(expected.values())
    (tmp_path / "fine" / "a" / "x.png").unlink()
    with pytest.raises(DatasetError, match=r"1 of 2 images in .*left have no label in .*fine: x\.jpg"):
        found(dataset)


@pytest.mark.parametrize(
    "text",
    [
        "images/a.jpg labels/a.png\n\nimages/b c.jpg\tlabels/b c.png\n",
        "\ufeffimages/a.jpg labels/a.png\r\nimages/b c.jpg\tlabels/b c.png\r\n",
        "images\\a.jpg  labels\\a.png\r\n  images\\b c.jpg \t labels\\b c.png",
    ],
    ids=["plain", "Windows' line ends and mark", "Windows' separators"],
)
def test_lists(tmp_path, text):
    for stem, labels in (("a", FIRST), ("b c", SECOND)):
        picture(tmp_path / "images" / f"{stem}.jpg")
        save(tmp_path / "labels" / f"{stem}.png", labels)
    (tmp_path / "train.txt").write_bytes(text.encode())
    dataset = write(tmp_path, {"list": "train.txt"})
    assert found(dataset) == {"images/a.jpg": FIRST.tolist(), "images/b c.jpg": SECOND.tolist()}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"images/a.jpg\n", r"line 1 is not an image and a label \('images/a\.jpg'\)"),
        (b"\nimages/a.jpg labels/a.png 3\n", "line 2 is not an image and a label"),
        (b"images/z.jpg labels/a.png\n", r"line 1 names .*z\.jpg, which is not there"),
        (b"images/a.jpg labels/z.png\n", r"line 1 names .*z\.png, which is not there"),
        (b"images/a.jpg\0 labels/a.png\n", "line 1 is not an image and a label"),
        (b"dataset.yaml labels/a.png\n", r"names .*dataset\.yaml, which is not an image"),
        (b"caf\xe9.jpg labels/a.png\n", "is not text in UTF-8"),
        (b"\r\n", "lists no image"),
    ],
)
def test_a_broken_list_is_one_line(tmp_path, content, message):
    picture(tmp_path / "images" / "a.jpg")
    save(tmp_path / "labels" / "a.png", FIRST)
    (tmp_path / "train.txt").write_bytes(content)
    with pytest.raises(DatasetError, match=rf"train\.txt.*{message}") as caught:
        found(write(tmp_path, {"list": "train.txt"}))
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("split", "message"),
    [
        ({"list": "a.txt", "images": "b"}, r"unknown key 'images' in splits\.train"),
        ({"list": True}, r"splits\.train\.list is True"),
        ({"images": "a", "labels": "b", "nested": "yes"}, r"splits\.train\.nested is 'yes'"),
        ({"labels": "b"}, r"splits\.train lacks 'images'"),
    ],
)
def test_keys_of_another_kind(tmp_path, split, message):
    with pytest.raises(DatasetError, match=message):
        write(tmp_path, split)


def test_the_format_is_one_of_those_there_are(tmp_path):
    for name, message in (
        ("bmp", "format is 'bmp'.*Use one of folders, cityscapes"),
        ("rgb", "format is 'rgb'. Write label_format: rgb"),
        (["voc"], r"format is \['voc'\]"),
    ):
        (tmp_path / "dataset.yaml").write_text(yaml.safe_dump({"format": name}))
        with pytest.raises(DatasetError, match=message):
            Dataset.load(tmp_path)


def test_folders_that_look_like_nothing_or_like_two_things(tmp_path):
    with pytest.raises(DatasetError, match=r"no dataset at .*dataset\.yaml. Write a dataset.yaml there"):
        Dataset.load(tmp_path)
    (tmp_path / "annotations.xml").write_text("<x/>")
    (tmp_path / "data.yaml").write_text("x: 1")
    with pytest.raises(DatasetError, match="looks like cvat and yolo"):
        Dataset.load(tmp_path)


def test_names_that_are_no_utf8(tmp_path):
    name = os.fsdecode(b"caf\xe9")
    try:
        picture(tmp_path / "images" / f"{name}.jpg")
    except (OSError, UnicodeError):
        pytest.skip("the file system takes no such names")
    save(tmp_path / "labels" / f"{name}.png", FIRST)
    dataset = write(tmp_path, {"images": "images", "labels": "labels"})
    (sample,) = dataset.split("train").samples()
    assert dataset.read(sample)[1].tolist() == FIRST.tolist()
    (written,) = Dataset.load(convert(dataset, tmp_path / "new")).split("train").samples()
    assert os.fsencode(written.image.name) == b"caf\xe9.jpg"


def test_masks_are_found_by_patterns_and_lists_too(tmp_path):
    picture(tmp_path / "images" / "a.jpg")
    save(tmp_path / "labels" / "a_mask.png", (FIRST > 0) * np.uint8(255))
    split = {"images": "images", "labels": "labels/{stem}_mask.png"}
    assert write(tmp_path, split, names=["ground", "car"]).coding.format == "binary"
    (tmp_path / "train.txt").write_text("images/a.jpg labels/a_mask.png\n")
    assert write(tmp_path, {"list": "train.txt"}, names=["ground", "car"]).coding.format == "binary"
