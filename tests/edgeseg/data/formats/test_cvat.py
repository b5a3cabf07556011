"""CVAT for images 1.1: shapes, masks, subsets, and what is wrong with an XML in one line."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import yaml
from dataset_exports import CVAT_SHAPES, FIRST, cvat, cvat_document, picture

from edgeseg.data.dataset import Dataset
from edgeseg.errors import DatasetError


def one(folder, shapes, change=lambda text: text):
    picture(folder / "images" / "a.jpg")
    (folder / "annotations.xml").write_text(change(cvat_document({"a.jpg": shapes})))
    return Dataset.load(folder)


def labels_of(dataset):
    return dataset.split("train").samples()[0].read_labels()


def test_counts_are_those_of_pycocotools(tmp_path):
    mask = pytest.importorskip("pycocotools.mask", reason="pycocotools is not installed")
    rng = np.random.default_rng(4)
    outlines = [np.round(rng.uniform(0, 1, (6, 2)) * (16, 12), 2) for _ in range(5)]
    texts = [";".join(f"{x:.2f},{y:.2f}" for x, y in outline) for outline in outlines]
    dataset = one(tmp_path, "".join(f'<polygon label="tree" points="{text}" z_order="0"/>' for text in texts))
    runs = mask.frPyObjects([outline.ravel().tolist() for outline in outlines], 12, 16)
    assert dataset.class_pixels("train")[1] == mask.area(mask.merge(runs))


def test_colours_are_those_of_the_task(tmp_path):
    assert Dataset.load(cvat(tmp_path).folder).colors == ((0, 0, 0), (0x33, 0xDD, 0xFF), (0xFA, 0x32, 0x53))


def test_the_order_is_that_of_z(tmp_path):
    lines = CVAT_SHAPES.strip().splitlines()
    over = one(tmp_path, "".join(reversed(lines)))
    assert labels_of(over).tolist() == np.array([0, 2, 1], np.uint8)[FIRST].tolist()


def test_turned_boxes_and_ellipses(tmp_path):
    box = '<box label="car" xtl="4" ytl="2" xbr="6" ybr="10" rotation="90" z_order="0"/>'
    labels = labels_of(one(tmp_path, box))
    assert labels[5:7, 1:9].all()
    assert np.count_nonzero(labels) == 16
    ellipse = '<ellipse label="tree" cx="8" cy="6" rx="6" ry="3" z_order="0"/>'
    labels = labels_of(one(tmp_path, ellipse))
    assert (labels[6, 3:13] == 1).all()
    assert abs(np.count_nonzero(labels) - np.pi * 6 * 3) < 4


def test_masks_lie_in_their_box(tmp_path):
    labels = labels_of(one(tmp_path, '<mask label="car" rle="1, 2, 1" left="3" top="5" width="2" height="2"/>'))
    assert np.argwhere(labels == 2).tolist() == [[5, 4], [6, 3]]


def test_what_has_no_inside_is_left_out_and_told(tmp_path, caplog):
    shapes = '<polyline label="car" points="1,1;5,5"/><points label="car" points="1,1"/><tag label="car"/>'
    with caplog.at_level(logging.WARNING, logger="edgeseg"):
        assert not labels_of(one(tmp_path, shapes)).any()
    assert "2 shapes without an inside" in caplog.text


def test_subsets_are_splits(tmp_path):
    folder = cvat(tmp_path).folder
    path = folder / "annotations.xml"
    text = path.read_text()
    for name, subset in (("a", "Train"), ("b", "Train"), ("c", "Validation"), ("d", "Test"), ("e", "extra")):
        text = text.replace(f'name="{name}.jpg"', f'name="{name}.jpg" subset="{subset}"')
    path.write_text(text)
    splits = Dataset.load(folder).splits
    assert {name: [s.image.stem for s in split.samples()] for name, split in splits.items()} == {
        "train": ["a", "b"],
        "val": ["c"],
        "test": ["d"],
        "extra": ["e"],
    }


def test_a_file_for_each_split(tmp_path):
    folder = cvat(tmp_path).folder
    (folder / "annotations.xml").rename(folder / "first.xml")
    splits = {name: {"images": "images", "labels": "first.xml"} for name in ("train", "val")}
    (folder / "dataset.yaml").write_text(yaml.safe_dump({"format": "cvat", "splits": splits}))
    assert len(Dataset.load(folder).split("val").samples()) == 5


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ('<polygon label="car" points="1,1;5,5"/>', "a polygon has 2 points where 3 must be"),
        ('<polygon label="car" points="1,1;5,5;x,2"/>', "the points 'x', which is no number"),
        ('<polygon label="car" points="1,1;5,5;inf,2"/>', "the points 'inf', which is no number"),
        ('<polygon label="car" points="1,1;5,5;2"/>', "no pairs of numbers"),
        ('<polygon label="car"/>', "no points where 3"),
        ('<polygon label="bus" points="1,1;5,5;2,2"/>', "a polygon has the class 'bus', but the classes are"),
        ('<polygon points="1,1;5,5;2,2"/>', "a polygon has the class None"),
        ('<box label="car" xtl="1" ytl="1" xbr="5"/>', "a box has no ybr"),
        ('<mask label="car" rle="3" left="0" top="0" width="2" height="2"/>', "a mask has runs of 3 pixels"),
        ('<mask label="car" rle="" left="0" top="0" width="2" height="2"/>', "the rle '', which is no number"),
        ('<mask label="car" rle="4" left="0" top="0" width="-2" height="2"/>', "a mask of -2x2"),
        ('<mask label="car" rle="0, 3400000000" left="0" top="0" width="50000" height="68000"/>', "of 50000x68000"),
        ('<mask label="car" rle="1.5" left="0" top="0" width="2" height="2"/>', "no whole number"),
        ('<mask label="car" rle="0, 4" left="15" top="0" width="2" height="2"/>', "reaches out of the picture"),
        ('<ellipse label="car" cx="1" cy="1" rx="1e9" ry="2"/>', "far outside the picture"),
    ],
)
def test_a_broken_shape_is_one_line(tmp_path, shape, message):
    with pytest.raises(DatasetError, match=rf"annotations\.xml: image a\.jpg, .*{message}") as caught:
        labels_of(one(tmp_path, shape))
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text.replace("annotations>", "notes>"), "holds no annotations of images"),
        (lambda text: text.replace("<image", "<track").replace("</image", "</track"), "no annotations of images"),
        (lambda text: text.replace('width="16"', 'width="-1"'), "lacks name, width or height"),
        (lambda text: text.replace('height="12"', ""), "lacks name, width or height"),
        (lambda text: text.replace('name="a.jpg"', 'name="b.jpg"'), r"the image 'b\.jpg' is not in"),
        (lambda text: text[:-20], "is not XML that can be used"),
        (lambda text: text.replace("<annotations>", "<!DOCTYPE x [<!ENTITY y 'z'>]><annotations>"), "document type"),
    ],
)
def test_a_broken_xml_is_one_line(tmp_path, change, message):
    with pytest.raises(DatasetError, match=rf"annotations\.xml.*{message}"):
        one(tmp_path, CVAT_SHAPES, change)


def test_labels_that_no_task_lists_are_those_that_occur(tmp_path):
    dataset = one(tmp_path, CVAT_SHAPES, lambda text: text[: text.index("<meta>")] + text[text.index("</meta>") + 7 :])
    assert dataset.names == ("background", "car", "tree")
