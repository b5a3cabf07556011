"""Cityscapes, PASCAL VOC, ADE20K and Roboflow's masks: what differs from their usual layout, and what is wrong."""

from __future__ import annotations

import numpy as np
import pytest
from dataset_exports import ade20k, blocks, cityscapes, picture, roboflow, save, voc

from edgeseg.data.dataset import Dataset
from edgeseg.errors import DatasetError


def labels_of(folder, split="train"):
    return [sample.read_labels() for sample in Dataset.load(folder).split(split).samples()]


def test_cityscapes_train_ids_are_the_same_labels(tmp_path):
    ids, train_ids = cityscapes(tmp_path / "a"), cityscapes(tmp_path / "b", "labelTrainIds")
    assert [labels.tolist() for labels in labels_of(ids.folder)] == [
        labels.tolist() for labels in labels_of(train_ids.folder)
    ]
    assert Dataset.load(ids.folder).colors[13] == (0, 0, 142)
    (ids.folder / "gtFine").rename(ids.folder / "gtCoarse")
    with pytest.raises(DatasetError, match=r"has no label aachen_000000_000019_gtCoarse_labelIds\.png below"):
        labels_of(ids.folder)


def test_cityscapes_values_that_are_no_ids(tmp_path):
    folder = cityscapes(tmp_path).folder
    path = next((folder / "gtFine" / "val").glob("*/*.png"))
    save(path, blocks((34, 0, 0, 3, 3)))
    with pytest.raises(DatasetError, match=rf"{path.name} holds the value 34, which is no class"):
        labels_of(folder, "val")
    with pytest.raises(DatasetError, match=r"there is no split in .*leftImg8bit"):
        Dataset.load(folder / "gtFine", "cityscapes")


def test_voc_with_classes_of_ones_own(tmp_path):
    folder = voc(tmp_path).folder
    (folder / "dataset.yaml").write_text("format: voc\nnames: [ground, car]\n")
    with pytest.raises(DatasetError, match=r"2007_000032\.png holds label index 20, but the classes are 0\.\.1"):
        labels_of(folder)


def test_voc_with_the_colours_of_a_label_map(tmp_path):
    folder = voc(tmp_path).folder
    (folder / "labelmap.txt").write_bytes(
        b"\xef\xbb\xbf# label:color_rgb:parts:actions\r\nbackground:0,0,0::\r\ncar:9,8,7::\r\n"
    )
    rgb = np.zeros((12, 16, 3), np.uint8)
    rgb[2:5, 1:7] = (9, 8, 7)
    for path in (folder / "SegmentationClass").iterdir():
        save(path, rgb)
    dataset = Dataset.load(folder)
    assert (dataset.names, dataset.colors) == (("background", "car"), ((0, 0, 0), (9, 8, 7)))
    assert labels_of(folder)[0].tolist() == blocks((1, 1, 2, 7, 5)).tolist()
    (folder / "labelmap.txt").write_text("background:0,0::\n")
    with pytest.raises(DatasetError, match=r"labelmap\.txt: line 1 is 'background:0,0::'"):
        Dataset.load(folder)


def test_voc_lists_that_name_what_is_not_there(tmp_path):
    folder = voc(tmp_path).folder
    path = folder / "ImageSets" / "Segmentation" / "val.txt"
    for text, message in (
        ("2007_000033\nnowhere\n", r"val\.txt: line 2 names 'nowhere', of which there is no picture"),
        ("2007_unlabelled\n", r"val\.txt: line 1 names '2007_unlabelled', of which there is no label"),
        ("\r\n\r\n", r"val\.txt names no picture"),
    ):
        path.write_text(text)
        with pytest.raises(DatasetError, match=message):
            labels_of(folder, "val")
    path.write_bytes(b"caf\xe9\n")
    with pytest.raises(DatasetError, match=r"val\.txt is not text in UTF-8"):
        labels_of(folder, "val")
    for text in (folder / "ImageSets" / "Segmentation").iterdir():
        text.unlink()
    with pytest.raises(DatasetError, match="there is no list in"):
        Dataset.load(folder)


def test_ade20k_without_its_names(tmp_path):
    folder = ade20k(tmp_path).folder
    (folder / "objectInfo150.txt").unlink()
    dataset = Dataset.load(folder)
    assert (dataset.names[0], dataset.names[-1], len(dataset.names)) == ("class_1", "class_150", 150)
    (folder / "objectInfo150.txt").write_text("wall\nbuilding\n")
    with pytest.raises(DatasetError, match=r"objectInfo150\.txt has no column Name"):
        Dataset.load(folder)


def test_ade20k_names_that_begin_alike_are_told_apart(tmp_path):
    folder = ade20k(tmp_path).folder
    (folder / "objectInfo150.txt").write_text("Idx\tName\tStuff\n1\tscreen, silver\t0\n2\tscreen, blind\t1\n")
    assert Dataset.load(folder).names == ("screen, silver", "screen, blind")


def test_ade20k_values_beyond_its_classes_and_missing_labels(tmp_path):
    folder = ade20k(tmp_path).folder
    path = folder / "annotations" / "validation" / "ADE_val_00000001.png"
    save(path, blocks((151, 0, 0, 3, 3)))
    with pytest.raises(DatasetError, match=r"ADE_val_00000001\.png holds the value 151"):
        labels_of(folder, "val")
    path.unlink()
    with pytest.raises(DatasetError, match=r"ADE_val_00000001\.jpg has no label in"):
        labels_of(folder, "val")
    with pytest.raises(DatasetError, match="there is no folder in both"):
        Dataset.load(folder / "images", "ade20k")


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("Pixel Value, Class\n0, background\n1, car\n", "lists other classes than"),
        ("Pixel Value, Class\nx, background\n", r"line 2 is \['x', 'background'\]"),
        ("Pixel Value, Class\n0\n", r"line 2 is \['0'\]"),
        ("Pixel Value, Class\n255, a\n", "line 2 is"),
        ("Pixel Value, Class\n0, a\n0, b\n", "line 3 has the value 0 once more"),
        ("", "lists no class"),
    ],
)
def test_a_broken_table_of_roboflow(tmp_path, table, message):
    folder = roboflow(tmp_path).folder
    (folder / "valid" / "_classes.csv").write_text(table)
    with pytest.raises(DatasetError, match=rf"_classes\.csv.*{message}"):
        Dataset.load(folder)


def test_roboflow_values_that_are_not_in_the_table(tmp_path):
    folder = roboflow(tmp_path).folder
    for split in ("train", "valid"):
        (folder / split / "_classes.csv").write_text("Pixel Value,Class\r\n0,ground\r\n2,tree\r\n")
    assert Dataset.load(folder).names == ("ground", "tree")
    with pytest.raises(DatasetError, match=r"a_jpg\.rf\.1_mask\.png holds the value 1, which is no class"):
        labels_of(folder)
    picture(folder / "valid" / "new.jpg")
    with pytest.raises(DatasetError, match=r"new\.jpg has no mask new_mask\.png"):
        labels_of(folder, "val")
    with pytest.raises(DatasetError, match=r"no folder in .* has a _classes\.csv"):
        Dataset.load(folder / "train", "roboflow")
