"""YOLO segmentation: data.yaml as Ultralytics and Roboflow write it, polygons in fractions, and what is wrong."""

from __future__ import annotations

import shutil

import cv2
import numpy as np
import pytest
import yaml
from dataset_exports import FIRST, picture, yolo, yolo_line

from edgeseg.data.dataset import Dataset
from edgeseg.errors import DatasetError


def one(folder, text, **changes):
    picture(folder / "images" / "train" / "a.jpg")
    (folder / "labels" / "train").mkdir(parents=True, exist_ok=True)
    (folder / "labels" / "train" / "a.txt").write_text(text)
    described = {"train": "images/train", "names": ["car", "tree"], **changes}
    (folder / "data.yaml").write_text(yaml.safe_dump({k: v for k, v in described.items() if v is not None}))
    return Dataset.load(folder)


def labels_of(dataset, split="train"):
    return dataset.split(split).samples()[0].read_labels()


def test_counts_are_those_of_opencv_as_ultralytics_calls_it(tmp_path):
    rng = np.random.default_rng(6)
    outlines = [rng.uniform(0, 1, (7, 2)).astype(np.float32) for _ in range(5)]
    dataset = one(tmp_path, "\n".join("1 " + " ".join(map(str, outline.ravel())) for outline in outlines))
    expected = np.zeros((12, 16), np.uint8)
    for outline in outlines:
        cv2.fillPoly(expected, [(outline * np.float32([16, 12])).astype(np.int32)], 2)
    assert labels_of(dataset).tolist() == expected.tolist()


def test_roboflow_leads_out_of_the_folder_and_means_it(tmp_path):
    folder = yolo(tmp_path).folder
    for split, other in (("train", "train"), ("val", "valid")):
        (folder / other).mkdir()
        for kind in ("images", "labels"):
            shutil.move(folder / kind / split, folder / other / kind)
    described = {"train": "../train/images", "val": "../valid/images", "nc": 2, "names": ["car", "tree"]}
    (folder / "data.yaml").write_text(yaml.safe_dump(described))
    dataset = Dataset.load(folder)
    assert list(dataset.splits) == ["train", "val"]
    assert labels_of(dataset, "val").tolist() == FIRST.tolist()


def test_lists_of_pictures_and_several_folders(tmp_path):
    folder = yolo(tmp_path).folder
    (folder / "train.txt").write_bytes(b"\xef\xbb\xbf./images/train/a.jpg\r\n\r\nimages/val/c.jpg\r\n")
    described = {
        "path": "elsewhere",
        "train": "train.txt",
        "val": ["images/val", "images/train"],
        "names": {0: "x", 1: "y"},
    }
    (folder / "data.yaml").write_text(yaml.safe_dump(described))
    dataset = Dataset.load(folder)
    assert [sample.image.stem for sample in dataset.split("train").samples()] == ["a", "c"]
    assert [sample.image.stem for sample in dataset.split("val").samples()] == ["c", "a", "b", "e"]
    (folder / "train.txt").write_text("images/train/z.jpg\n")
    with pytest.raises(DatasetError, match=r"train\.txt: line 1 names .*z\.jpg, which is not there"):
        dataset.split("train").samples()


def test_colors_and_no_background_are_said_in_a_dataset_yaml(tmp_path):
    folder = yolo(tmp_path).folder
    (folder / "dataset.yaml").write_text("format: yolo\nbackground: null\ncolors: [[1, 2, 3], [4, 5, 6]]\n")
    dataset = Dataset.load(folder)
    assert (dataset.names, dataset.colors) == (("car", "tree"), ((1, 2, 3), (4, 5, 6)))
    assert labels_of(dataset).tolist() == np.array([255, 0, 1], np.uint8)[FIRST].tolist()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0 0.1 0.1 0.5 0.5", "line 1 has 2 points, or a box"),
        ("0 0.5 0.5 0.2 0.2\n", "line 1 has 2 points, or a box"),
        (
            yolo_line(0, 1, 1, 5, 5) + "\n2 0.1 0.1 0.5 0.1 0.5 0.5",
            r"line 2 has the class 2, but the classes are 0\.\.1",
        ),
        ("-1 0.1 0.1 0.5 0.1 0.5 0.5", "has the class -1"),
        ("0.5 0.1 0.1 0.5 0.1 0.5 0.5", "has the class 0.5"),
        ("0 0.1 0.1 0.5 0.1 0.5", "no class and pairs of numbers"),
        ("car 0.1 0.1 0.5 0.1 0.5 0.5", "no class and pairs of numbers"),
        ("0 0.1 0.1 0.5 0.1 0.5 nan", "no class and pairs of numbers"),
        ("0 0.1 0.1 0.5 0.1 0.5 50", "points far outside the picture"),
        ("0 0.1 0.1 0.5 0.1 0.5 1e300", "no class and pairs of numbers"),
    ],
)
def test_a_broken_line_is_told(tmp_path, text, message):
    with pytest.raises(DatasetError, match=rf"a\.txt: .*{message}") as caught:
        labels_of(one(tmp_path, text))
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"names": None}, "the key 'names' is missing"),
        ({"names": {0: "car", 2: "tree"}}, r"names has the numbers \[0, 2\]"),
        ({"names": ["car", "car", True]}, "names holds True"),
        ({"train": None}, "it names no split"),
        ({"train": "nowhere"}, "there is no .*nowhere"),
        ({"train": 7.5}, "train is 7.5"),
    ],
)
def test_a_broken_data_yaml_is_told(tmp_path, changes, message):
    with pytest.raises(DatasetError, match=rf"data\.yaml: {message}"):
        one(tmp_path, "", **changes)


def test_the_data_yaml_may_be_given_as_ultralytics_is_given_it(tmp_path):
    folder = yolo(tmp_path).folder
    assert labels_of(Dataset.load(folder / "data.yaml", "yolo")).tolist() == FIRST.tolist()


def test_labels_that_lie_nowhere(tmp_path):
    dataset = one(tmp_path, "")
    shutil.rmtree(tmp_path / "labels")
    with pytest.raises(DatasetError, match=r"there is no text of labels in .*labels"):
        dataset.split("train").samples()
    with pytest.raises(DatasetError, match=r"there is no data\.yaml"):
        Dataset.load(tmp_path / "images", "yolo")
