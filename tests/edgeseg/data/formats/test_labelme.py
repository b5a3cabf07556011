"""labelme: JSON beside pictures, its kinds of shapes, labels.txt, and what is wrong in one line."""

from __future__ import annotations

import json

import numpy as np
import pytest
import yaml
from dataset_exports import FIRST, labelme, labelme_document, labelme_shapes, picture, write_json

from edgeseg.data.dataset import Dataset
from edgeseg.errors import DatasetError


def one(folder, shapes, changes=()):
    """A folder of one picture."""
    picture(folder / "a.jpg")
    write_json(folder / "a.json", {**labelme_document(shapes, "a.jpg"), **dict(changes)})
    return folder


def labels_of(folder, split="train"):
    return [sample.read_labels() for sample in Dataset.load(folder, "labelme").split(split).samples()]


def test_labels_txt_gives_the_order_and_what_is_ignored(tmp_path):
    ignored = {"label": "__ignore__", "points": [[0, 0], [1, 11]], "shape_type": "rectangle"}
    ground = {"label": "_background_", "points": [[4, 2], [5, 3]], "shape_type": "rectangle"}
    one(tmp_path, [*labelme_shapes(), ignored, ground])
    (tmp_path / "labels.txt").write_bytes(b"__ignore__\r\n_background_\r\ntree\r\ncar\r\n\r\n")
    dataset = Dataset.load(tmp_path)
    assert dataset.names == ("background", "tree", "car")
    expected = np.array([0, 2, 1], np.uint8)[FIRST]
    expected[:, :2] = 255
    expected[2:4, 4:6] = 0
    assert dataset.split("train").samples()[0].read_labels().tolist() == expected.tolist()


def test_folders_of_train_and_val_and_labels_elsewhere(tmp_path):
    one(tmp_path / "both" / "train", labelme_shapes())
    one(tmp_path / "both" / "validation" / "deep", labelme_shapes())
    dataset = Dataset.load(tmp_path / "both", "labelme")
    assert {name: len(split.samples()) for name, split in dataset.splits.items()} == {"train": 1, "val": 1}
    one(tmp_path / "apart", labelme_shapes())
    (tmp_path / "apart" / "json").mkdir()
    (tmp_path / "apart" / "a.json").rename(tmp_path / "apart" / "json" / "a.json")
    splits = {"train": {"images": ".", "labels": "json"}}
    (tmp_path / "apart" / "dataset.yaml").write_text(yaml.safe_dump({"format": "labelme", "splits": splits}))
    assert labels_of(tmp_path / "apart")[0].tolist() == FIRST.tolist()


@pytest.mark.parametrize(("every", "sizes"), [(None, (4, 1)), (2, (3, 2)), (0, (5, None))])
def test_a_part_is_held_for_validation(tmp_path, every, sizes):
    export = labelme(tmp_path)
    (export.folder / "dataset.yaml").write_text(f"format: labelme\n{'' if every is None else f'val_every: {every}'}\n")
    splits = Dataset.load(export.folder).splits
    assert len(splits["train"].samples()) == sizes[0]
    assert ("val" in splits) == (sizes[1] is not None)
    assert sizes[1] is None or len(splits["val"].samples()) == sizes[1]


@pytest.mark.parametrize("value", [1, -1, "x", True])
def test_val_every_of_another_kind(tmp_path, value):
    export = labelme(tmp_path)
    (export.folder / "dataset.yaml").write_text(yaml.safe_dump({"format": "labelme", "val_every": value}))
    with pytest.raises(DatasetError, match="val_every is"):
        Dataset.load(export.folder)


SHAPE = {"label": "car", "points": [[1, 1], [5, 1], [5, 5]], "shape_type": "polygon"}


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ({**SHAPE, "points": [[1, 1], [5, 1]]}, r"shape 1 has 2 points where 3 must be"),
        ({**SHAPE, "points": []}, "no points where 3"),
        ({**SHAPE, "points": 5}, "no pairs of numbers"),
        ({**SHAPE, "shape_type": "heart"}, "the shape_type 'heart', which is not known"),
        ({**SHAPE, "shape_type": ["line"]}, "the shape_type"),
        ({**SHAPE, "shape_type": "circle", "points": [[1, 1]]}, "1 point where 2 must be"),
        ({**SHAPE, "shape_type": "circle", "points": [[1, 1], [9e5, 1]]}, "points far outside the picture"),
        ({**SHAPE, "shape_type": "mask", "points": [[0, 0], [1, 1]], "mask": "%%"}, "a mask that is no base64"),
        ({**SHAPE, "shape_type": "mask", "points": [[0, 0], [1, 1]]}, "a mask that is no base64"),
        ({**SHAPE, "shape_type": "mask", "points": [[0, 0], [1, 1]], "mask": "AAAA"}, "a mask is not an image"),
        ({"label": "car", "shape_type": "polygon"}, "shape 1 lacks the key 'points'"),
        ({"points": [[1, 1]]}, "shape 1 lacks the key 'label'"),
    ],
)
def test_a_broken_shape_is_one_line(tmp_path, shape, message):
    one(tmp_path, [shape])
    with pytest.raises(DatasetError, match=message) as caught:
        labels_of(tmp_path)
    assert "a.json" in str(caught.value) or "a mask" in str(caught.value)
    assert caught.value.remedy


def test_a_mask_of_another_size_than_its_corners(tmp_path):
    export = labelme(tmp_path)
    path = export.folder / "b.json"
    document = json.loads(path.read_text())
    document["shapes"][0]["points"] = [[0, 0], [5, 11]]
    write_json(path, document)
    with pytest.raises(DatasetError, match=r"b\.json: .*shape 1 has a mask of 5x12 between corners for another size"):
        labels_of(export.folder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"shapes": None}, "shapes is no list"),
        ({"shapes": [1]}, "shapes is no list of mappings"),
        ({"imageHeight": "12"}, "imageHeight is '12'"),
        ({"imageHeight": 0}, "imageHeight is 0"),
    ],
)
def test_a_broken_json_is_one_line(tmp_path, changes, message):
    one(tmp_path, labelme_shapes(), changes)
    with pytest.raises(DatasetError, match=rf"a\.json.*{message}"):
        labels_of(tmp_path)


def test_a_json_of_something_else_and_a_label_that_is_not_listed(tmp_path):
    one(tmp_path, labelme_shapes())
    write_json(tmp_path / "a.json", {"version": 1})
    with pytest.raises(DatasetError, match=r"a\.json lacks the key 'shapes'"):
        labels_of(tmp_path)
    one(tmp_path, labelme_shapes())
    (tmp_path / "labels.txt").write_text("car\n")
    with pytest.raises(DatasetError, match=r"a\.json: shape 2 has the class 'tree', but the classes are background"):
        labels_of(tmp_path)


def test_a_picture_of_another_size_is_told(tmp_path):
    one(tmp_path, labelme_shapes(), {"imageHeight": 20, "imageWidth": 30})
    dataset = Dataset.load(tmp_path)
    with pytest.raises(DatasetError, match=r"a\.jpg is 16x12 but its label .*a\.json is 30x20"):
        dataset.read(dataset.split("train").samples()[0])


def test_counts_are_those_of_pillow_as_labelme_calls_it(tmp_path):
    """Labelme's own converters draw with these very calls; its examples agree to the pixel."""
    from PIL import Image, ImageDraw

    rng = np.random.default_rng(5)
    points = [(rng.uniform(0, 1, (9, 2)) * (16, 12)).tolist() for _ in range(6)]
    one(tmp_path, [{"label": "car", "points": outline, "shape_type": "polygon"} for outline in points])
    expected = np.zeros((12, 16), bool)
    for outline in points:
        mask = Image.fromarray(np.zeros((12, 16), np.uint8))
        ImageDraw.Draw(mask).polygon([tuple(point) for point in outline], outline=1, fill=1)
        expected |= np.array(mask) > 0
    assert labels_of(tmp_path)[0].tolist() == expected.astype(int).tolist()
