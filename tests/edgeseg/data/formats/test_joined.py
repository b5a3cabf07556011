from __future__ import annotations

import numpy as np
import pytest
import yaml
from dataset_exports import FIRST, joined

from edgeseg.data.dataset import Dataset
from edgeseg.errors import DatasetError


@pytest.fixture
def described(tmp_path):
    """``described(**changes)`` loads the data set whose dataset.yaml says otherwise there."""
    joined(tmp_path / "data")
    path = tmp_path / "data" / "dataset.yaml"
    values = yaml.safe_load(path.read_text())

    def load(**changes):
        path.write_text(yaml.safe_dump({**values, **changes}))
        return Dataset.load(path)

    return load


def test_what_a_part_does_not_tell_apart_is_a_union(described):
    dataset = described()
    assert dataset.unions == ((0, 1),)
    sample = dataset.split("train").samples()[-1]
    assert dataset.read(sample, unions=True)[1].tolist() == np.array([0, 3, 2], np.uint8)[FIRST].tolist()
    assert dataset.read(sample)[1].tolist() == np.array([0, 255, 2], np.uint8)[FIRST].tolist()


def test_equal_sets_of_classes_are_one_union_and_a_set_of_one_is_a_class(described):
    parts = [{"data": "first", "map": {"car": ["tree", "ground"], "tree": ["car"]}}]
    parts += [{"data": "second", "map": {"stone": ["ground", "tree"], "bush": None}}]
    dataset = described(parts=parts)
    assert dataset.unions == ((0, 1),)
    labels = dataset.read(dataset.split("train").samples()[0], unions=True)[1]
    assert labels.tolist() == np.array([0, 3, 2], np.uint8)[FIRST].tolist()


def test_a_part_gives_only_the_splits_that_are_asked_of_it(described):
    parts = [{"data": "first", "splits": ["val"]}, {"data": "second", "map": {"stone": "ground", "bush": "tree"}}]
    dataset = described(parts=parts)
    assert {name: len(split.samples()) for name, split in dataset.splits.items()} == {"val": 1, "train": 1}


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ([], "parts is empty"),
        ("first", "parts is not a list"),
        ([{"folder": "first"}], "unknown key 'folder' in parts[0]"),
        ([{"data": "gone"}], "no dataset at"),
        ([{"data": "first"}, {"data": "../data"}], "it is made of itself"),
        ([{"data": "second"}], "names has no 'stone', which"),
        ([{"data": "second"}], "Say what it is in parts[0].map: stone: CLASS, [CLASS, CLASS] or null"),
        ([{"data": "first", "map": {"roof": "car"}}], "parts[0].map names 'roof', which is no class of"),
        ([{"data": "first", "map": {"car": "roof"}}], "parts[0].map.car is 'roof', which is not in names"),
        ([{"data": "first", "map": {"car": []}}], "parts[0].map.car is an empty list"),
        ([{"data": "first", "map": {"car": {}}}], "parts[0].map.car is {}, which is not in names"),
        ([{"data": "first", "splits": ["test"]}], "parts[0].splits has 'test', which"),
    ],
)
def test_what_does_not_fit_is_told_with_its_key(described, parts, message):
    with pytest.raises(DatasetError) as caught:
        described(parts=parts)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
