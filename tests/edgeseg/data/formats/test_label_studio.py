"""Label Studio's JSON: regions in percent, brushes, addresses of pictures, and what is wrong in one line."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import yaml
from dataset_exports import (
    FIRST,
    SECOND,
    label_studio,
    label_studio_document,
    label_studio_regions,
    packed_brush,
    picture,
    region,
    write_json,
)

from edgeseg.data.dataset import Dataset
from edgeseg.errors import DatasetError


def one(folder, regions, change=lambda tasks: None, name="a.png"):
    picture(folder / "images" / name)
    tasks = copy.deepcopy(label_studio_document({name: regions}))
    change(tasks)
    write_json(folder / "project.json", tasks)
    return Dataset.load(folder, "label-studio")


def labels_of(dataset):
    return dataset.split("train").samples()[0].read_labels()


@pytest.mark.parametrize(
    "address",
    [
        "/data/upload/1/0a1b2c3d-a.png",
        "/data/local-files/?d=some/where/images/a.png",
        "s3://bucket/deep/a.png",
        "https://example.com/x/a.png?signed=1",
        "a.png",
    ],
)
def test_pictures_are_found_by_the_end_of_their_address(tmp_path, address):
    def change(tasks):
        tasks[0]["data"] = {"title": "a picture", "photo": address}

    assert labels_of(one(tmp_path, label_studio_regions(), change)).tolist() == FIRST.tolist()


def test_the_mark_of_an_upload_may_be_there(tmp_path):
    dataset = one(tmp_path, label_studio_regions(), name="0a1b2c3d-a.png")
    assert labels_of(dataset).tolist() == FIRST.tolist()


def test_regions_whose_class_stands_apart(tmp_path):
    """With <Labels> and <Polygon> a region comes twice: bare, and with its class."""
    bare, _ = label_studio_regions()
    value = {key: bare["value"][key] for key in ("points", "closed")}
    named = {**value, "labels": ["x"]}
    regions = [{**bare, "type": "polygon", "value": value}, {**bare, "type": "labels", "value": named}]
    choice = {"type": "choices", "value": {"choices": ["sunny"]}}
    dataset = one(tmp_path, [choice, *regions])
    assert dataset.names == ("background", "x")
    assert labels_of(dataset).sum() == 40


def test_ellipses_turned_rectangles_and_half_opaque_brushes(tmp_path):
    ellipse = region("ellipselabels", "x", x=50, y=50, radiusX=25, radiusY=25, rotation=0)
    labels = labels_of(one(tmp_path, [ellipse]))
    assert abs(np.count_nonzero(labels) - np.pi * 4 * 3) < 4
    turned = region("rectanglelabels", "x", x=50, y=25, width=25, height=25, rotation=90)  # 4 by 3 pixels, at 8, 3
    assert np.argwhere(labels_of(one(tmp_path, [turned]))).min(axis=0).tolist() == [3, 5]
    packed = packed_brush(SECOND > 0)
    assert labels_of(one(tmp_path, [region("brushlabels", "x", format="rle", rle=packed)])).sum() == 60


def test_a_json_for_each_split(tmp_path):
    folder = label_studio(tmp_path).folder
    splits = {name: {"images": "images", "labels": "project-1-at-2026.json"} for name in ("train", "val")}
    (folder / "dataset.yaml").write_text(
        yaml.safe_dump({"format": "label-studio", "splits": splits, "names": ["tree", "background", "car"]})
    )
    dataset = Dataset.load(folder)
    assert len(dataset.split("val").samples()) == 5
    assert labels_of(dataset).tolist() == np.array([1, 2, 0], np.uint8)[FIRST].tolist()


def _region(**changes):
    def change(tasks):
        tasks[0]["annotations"][1]["result"][0].update(changes)

    return change


def _value(**changes):
    def change(tasks):
        tasks[0]["annotations"][1]["result"][0]["value"].update(changes)

    return change


BROKEN = {
    "two points": (_value(points=[[1, 1], [5, 5]]), "task 1, region 'r1' has 2 points where 3 must be"),
    "no pairs": (_value(points=[[1, 1], [5]]), "no pairs of numbers"),
    "far": (_value(points=[[1, 1], [5, 5], [9e9, 3]]), "far outside the picture"),
    "brush of another size": (
        _value(rle=packed_brush(np.ones((3, 4), bool))),
        "a brush mask of 12 pixels for a picture of 16x12",
    ),
    "no bytes": (_value(rle=[1, 2, 300]), "no list of bytes"),
    "turned": (_region(image_rotation=90), "a picture that was turned in Label Studio"),
    "size": (_region(original_width=None), "lacks the key 'original_width'"),
    "huge": (_region(original_width=1 << 40, original_height=9), "Correct its width and height"),
    "no address": (lambda tasks: tasks[0].update(data={"text": "x"}), "the data of task 1 name no image"),
    "no data": (lambda tasks: tasks[0].pop("data"), "task 1 lacks the key 'data'"),
    "json-min": (lambda tasks: tasks[0].pop("annotations"), "lacks the key 'annotations'.*not as JSON-MIN"),
    "no result": (lambda tasks: tasks[0]["annotations"][1].pop("result"), "without the key 'result'"),
    "gone": (lambda tasks: tasks[0].update(data={"image": "z.png"}), r"task 1: the image 'z\.png' is not in"),
    "nothing": (lambda tasks: tasks[0]["annotations"].clear(), "holds no task that is labelled"),
    "no tasks": (lambda tasks: tasks.clear(), "holds no task that is labelled"),
    "words": (lambda tasks: tasks.append("x"), "is no list of tasks"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_export_is_one_line(tmp_path, case):
    change, message = BROKEN[case]
    with pytest.raises(DatasetError, match=rf"project\.json.*{message}") as caught:
        labels_of(one(tmp_path, label_studio_regions(), change))
    assert caught.value.remedy


def test_two_exports_in_a_folder_are_in_doubt(tmp_path):
    one(tmp_path, label_studio_regions())
    write_json(tmp_path / "other.json", [])
    with pytest.raises(DatasetError, match="holds 2 JSON files of Label Studio"):
        Dataset.load(tmp_path, "label-studio")
