from __future__ import annotations

import numpy as np
import pytest
import yaml
from dataset_exports import folders

from edgeseg.data.dataset import Dataset
from edgeseg.data.formats.edges import edges_of
from edgeseg.errors import DatasetError

ROWS = np.array([[0, 0, 0, 1, 1, 1, 255, 1]] * 2, np.uint8)


def test_both_sides_of_a_border_are_an_edge_and_what_is_beside_the_unknown_is_unknown():
    assert edges_of(ROWS)[0].tolist() == [0, 0, 1, 1, 0, 255, 255, 255]
    assert edges_of(ROWS.T)[:, 0].tolist() == [0, 0, 1, 1, 0, 255, 255, 255]


def test_an_edge_beside_the_unknown_is_known():
    assert edges_of(np.array([[0, 0, 1, 255]], np.uint8)).tolist() == [[0, 1, 1, 255]]


def test_a_wider_edge_grows_on_both_sides_but_not_into_the_unknown():
    assert edges_of(ROWS, 4)[0].tolist() == [0, 1, 1, 1, 1, 255, 255, 255]
    assert edges_of(ROWS, 6)[0].tolist() == [1, 1, 1, 1, 1, 1, 255, 255]


def test_a_picture_of_one_class_has_none():
    assert not edges_of(np.full((3, 4), 7, np.uint8)).any()


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"width": 3}, "width"),
        ({"width": 0}, "width"),
        ({"data": "gone"}, "no dataset at"),
        ({"data": None}, "data"),
        ({"names": ["a", "b"]}, "unknown key 'names'"),
        ({"data": "."}, "it is made of itself"),
    ],
)
def test_what_does_not_fit_is_told(tmp_path, said, message):
    folders(tmp_path / "whole")
    path = tmp_path / "dataset.yaml"
    path.write_text(yaml.safe_dump({"format": "edges", "data": "whole", **said}))
    with pytest.raises(DatasetError) as caught:
        Dataset.load(path)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
