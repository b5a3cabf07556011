"""Pictures with tags: which classes are in them, by a table beside."""

from __future__ import annotations

import numpy as np
import pytest
import yaml
from PIL import Image

from edgeseg.data.dataset import Dataset
from edgeseg.data.tags import read_tags
from edgeseg.errors import DatasetError

NAMES = ("road", "car", "tree, old")


def write(folder, tags):
    """A data set with two tagged pictures and one with labels."""
    for name in ("images", "labels", "seen"):
        (folder / name).mkdir()
    for path in ("images/a.png", "labels/a.png", "seen/1.png", "seen/2.png"):
        Image.fromarray(np.zeros((4, 6), np.uint8)).save(folder / path)
    (folder / "tags.csv").write_text(tags, encoding="utf-8")
    splits = {"train": {"images": "images", "labels": "labels"}, "seen": {"images": "seen", "tags": "tags.csv"}}
    (folder / "dataset.yaml").write_text(yaml.safe_dump({"names": list(NAMES), "splits": splits}))
    return Dataset.load(folder)


def test_pictures_come_with_the_indices_of_their_classes(tmp_path):
    dataset = write(tmp_path, '\ufeff2.png, road ,car\n\n1,"tree, old",\n3,car\n')
    pictures = dataset.tagged["seen"].pictures()
    assert [(one.image.name, set(one.classes)) for one in pictures] == [("1.png", {2}), ("2.png", {0, 1})]
    assert [path.name for path in dataset.pictures("seen")] == ["1.png", "2.png"]
    assert [path.name for path in dataset.pictures("train")] == ["a.png"]


def test_a_split_with_tags_is_none_with_labels(tmp_path):
    dataset = write(tmp_path, "1,road\n2,road\n")
    assert list(dataset.splits) == ["train"]
    with pytest.raises(DatasetError, match="has no split 'seen'"):
        dataset.split("seen")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1,road\n", "has no line for 1 of 2 images"),
        ("1,road\n2,lorry\n", "line 2 of .* has the class 'lorry'. Use road, car"),
        ("1,road\n2\n", "line 2 of .*: '2' has no class"),
        ("1,road\n1.jpg,car\n2,car\n", "line 2 of .*: '1' comes a second time"),
        (",road\n", "does not begin with a picture's name"),
        ("1," + "x" * 200_000 + "\n", "no table of tags"),
    ],
)
def test_what_cannot_be_meant_is_one_line(tmp_path, text, message):
    with pytest.raises(DatasetError, match=message) as caught:
        write(tmp_path, text).tagged["seen"].pictures()
    assert "\n" not in str(caught.value)


def test_a_table_that_is_none_is_one_line(tmp_path):
    (tmp_path / "tags.csv").write_bytes(b"\xff\xfe\x00")
    for path in (tmp_path / "tags.csv", tmp_path / "none.csv", tmp_path):
        with pytest.raises(DatasetError):
            read_tags(path, NAMES)


@pytest.mark.parametrize("split", [{"images": "x"}, {"images": "x", "tags": 1.5}, {"images": "x", "tags": "t", "z": 1}])
def test_keys_of_a_split_are_checked(tmp_path, split):
    (tmp_path / "dataset.yaml").write_text(yaml.safe_dump({"names": ["a", "b"], "splits": {"s": split}}))
    with pytest.raises(DatasetError, match=r"splits\.s"):
        Dataset.load(tmp_path)
