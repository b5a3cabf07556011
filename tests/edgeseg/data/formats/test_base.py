"""Label files as class indices: masks, colours, indices of any depth."""

from __future__ import annotations

import logging

import cv2
import numpy as np
import pytest
import yaml
from PIL import Image

from edgeseg.data.dataset import Dataset
from edgeseg.data.formats.base import LabelCoding
from edgeseg.data.formats.binary import are_masks
from edgeseg.errors import DatasetError

BINARY = LabelCoding(2, format="binary")


def save(path, array, mode=None, palette=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(np.asarray(array))
    if palette is not None:
        image = image.copy()
        image.putpalette(palette)
    (image.convert(mode) if mode else image).save(path)
    return path


GREY = [value for level in range(256) for value in (level, level, level)]


@pytest.mark.parametrize(
    "write",
    [
        lambda path: save(path, np.array([[0, 255, 255]], np.uint8)),
        lambda path: save(path, np.array([[0, 1, 1]], np.uint8)),
        lambda path: save(path, np.array([[False, True, True]])),
        lambda path: save(path, np.array([[0, 255, 255]], np.uint8), palette=GREY),
        lambda path: save(path, np.array([[0, 1, 1]], np.uint8), palette=[0, 0, 0, 255, 255, 255]),
        lambda path: save(path, np.array([[0, 255, 255]], np.uint8), mode="RGB"),
        lambda path: save(path, np.array([[0, 255, 255]], np.uint8), mode="RGBA"),
        lambda path: save(path, np.array([[0, 65535, 65535]], np.uint16)),
        lambda path: save(path, np.array([[0, 255, 255]], np.uint16)),
    ],
    ids=["0/255", "0/1", "1 bit", "palette 0/255", "palette 0/1", "RGB", "RGBA", "16 bit", "16 bit 0/255"],
)
def test_a_mask_is_two_classes_in_all_its_forms(tmp_path, write):
    path = tmp_path / "mask.png"
    write(path)
    assert BINARY.read(path).tolist() == [[0, 1, 1]]


def test_a_mask_with_smooth_edges_names_the_value(tmp_path):
    path = save(tmp_path / "mask.png", np.array([[0, 128, 255]], np.uint8))
    with pytest.raises(DatasetError, match=r"mask\.png holds the value 128, but a mask holds 0 and 255.*ignore_index"):
        BINARY.read(path)
    assert LabelCoding(2, 128, format="binary").read(path).tolist() == [[0, 255, 1]]


def dataset(folder, values, names=("ground", "crack"), **keys):
    """A data set whose train and val labels hold these values, one array each."""
    for split, arrays in values.items():
        for index, array in enumerate(arrays):
            save(folder / split / "images" / f"{index}.png", np.zeros((*np.shape(array), 3), np.uint8))
            save(folder / split / "labels" / f"{index}.png", np.array(array, np.uint8))
    splits = {split: {"images": f"{split}/images", "labels": f"{split}/labels"} for split in values}
    (folder / "dataset.yaml").write_text(yaml.safe_dump({"names": list(names), "splits": splits, **keys}))
    return folder


def test_a_data_set_of_two_classes_in_0_and_255_is_understood_and_told(tmp_path, caplog):
    folder = dataset(tmp_path, {"train": [[[0, 255]], [[0, 0]]], "val": [[[255, 255]]]})
    with caplog.at_level(logging.WARNING, logger="edgeseg"):
        found = Dataset.load(folder)
    (record,) = caplog.records
    assert "dataset.yaml hold 0 and 255 and nothing else: taken as masks of two classes" in record.getMessage()
    assert "set label_format" in record.getMessage()
    assert found.read(found.split("train").samples()[0])[1].tolist() == [[0, 1]]
    assert found.class_pixels("train").tolist() == [3, 1]
    assert found.absent_classes("train") == ()
    assert found.absent_classes("val") == ("ground",)


@pytest.mark.parametrize(
    ("values", "keys"),
    [
        ({"train": [[[0, 255]]], "val": [[[0, 1]]]}, {}),  # another split says what 255 is
        ({"train": [[[0, 0]], [[0, 255]], [[1, 255]]]}, {}),
        ({"train": [[[0, 255]]]}, {"label_format": "index"}),
        ({"train": [[[0, 255]]]}, {"ignore_index": 255}),
        ({"train": [[[0, 255]]]}, {"names": ["a", "b", "c"]}),
        ({"train": [[[0, 255]]]}, {"names": ["a"]}),
        ({"train": [[[0, 0]]]}, {}),
    ],
)
def test_255_is_no_label_wherever_it_may_be(tmp_path, caplog, values, keys):
    found = Dataset.load(dataset(tmp_path, values, **keys))
    assert found.coding.format == "index"
    assert not caplog.records
    first = found.read(found.split("train").samples()[0])[1]
    assert 1 not in first


def test_a_label_that_puts_the_masks_in_doubt_is_refused(tmp_path):
    found = Dataset.load(dataset(tmp_path, {"train": [[[0, 255]]]}))
    late = save(tmp_path / "late.png", np.array([[0, 1, 255]], np.uint8))
    with pytest.raises(
        DatasetError, match=r"late\.png holds the value 1, but other labels 0 and 255 alone.*to index if"
    ):
        found.coding.read(late)


def test_only_a_part_of_many_labels_is_read(tmp_path):
    paths = [save(tmp_path / f"{index}.png", np.array([[0, 255]], np.uint8)) for index in range(5)]
    odd = save(tmp_path / "odd.png", np.array([[0, 1]], np.uint8))
    assert are_masks([*paths, *paths] * 50)
    assert not are_masks([*paths, odd])
    assert are_masks([tmp_path / "gone.png", *paths]), "what cannot be read is told elsewhere"
    assert not are_masks([])


def test_class_pixels_count_labels_and_open_no_image(tmp_path):
    folder = dataset(tmp_path, {"train": [[[0, 1, 7]], [[1, 1, 255]]]}, names=["a", "b", "c"], ignore_index=7)
    for image in (folder / "train" / "images").iterdir():
        image.write_bytes(b"no image")
    found = Dataset.load(folder)
    assert found.class_pixels("train").tolist() == [1, 3, 0]
    assert found.absent_classes("train") == ("c",)
    seen = []
    found.class_pixels("train", progress=lambda samples: (seen.append(sample) or sample for sample in samples))
    assert len(seen) == 2
    with pytest.raises(DatasetError, match="has no split 'val'"):
        found.absent_classes("val")


def test_16_bit_colours_as_classes(tmp_path):
    values = np.array([[[0, 0, 0], [1, 1, 1], [2, 2, 2]]], np.uint16)
    cv2.imwrite(str(tmp_path / "index.png"), values)
    assert LabelCoding(3).read(tmp_path / "index.png").tolist() == [[0, 1, 2]]
    colors = ((0, 0, 0), (255, 0, 0), (0, 128, 255))
    coding = LabelCoding(3, colors=colors, format="rgb")
    for scale in (1, 257):
        cv2.imwrite(str(tmp_path / "rgb.png"), np.array([colors], np.uint16)[..., ::-1] * scale)
        assert coding.read(tmp_path / "rgb.png").tolist() == [[0, 1, 2]]
    cv2.imwrite(str(tmp_path / "rgb.png"), np.full((1, 1, 3), 1000, np.uint16))
    with pytest.raises(DatasetError, match="label values up to 1000"):
        coding.read(tmp_path / "rgb.png")


@pytest.mark.parametrize(
    ("values", "message"),
    [([0.5, 1], "holds fractions"), ([float("nan"), 1], "holds fractions"), ([-1, 1], "holds the label value -1")],
)
def test_labels_that_are_no_whole_numbers(tmp_path, values, message):
    path = tmp_path / "label.tif"
    Image.fromarray(np.array([values], np.float32)).save(path)
    with pytest.raises(DatasetError, match=message):
        LabelCoding(3).read(path)
    Image.fromarray(np.array([[0, 2]], np.float32)).save(path)
    assert LabelCoding(3).read(path).tolist() == [[0, 2]]
