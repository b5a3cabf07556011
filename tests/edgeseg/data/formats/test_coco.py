"""COCO: polygons and run lengths, categories by id, and what is wrong with an export in one line."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import yaml
from dataset_exports import (
    FIRST,
    SECOND,
    blocks,
    coco,
    coco_annotations,
    coco_document,
    corners,
    picture,
    uncompressed,
    write_json,
)

from edgeseg.data.dataset import Dataset
from edgeseg.errors import DatasetError


def written(folder, document, **keys):
    """One split, from a document."""
    for name in ("a.jpg", "b.jpg"):
        picture(folder / "images" / name)
    write_json(folder / "labels.json", document)
    splits = {"train": {"images": "images", "labels": "labels.json"}}
    (folder / "dataset.yaml").write_text(yaml.safe_dump({"format": "coco", "splits": splits, **keys}))
    return Dataset.load(folder)


def labels_of(dataset, split="train"):
    return [sample.read_labels() for sample in dataset.split(split).samples()]


def test_counts_are_those_of_pycocotools(tmp_path):
    tool = pytest.importorskip("pycocotools.coco", reason="pycocotools is not installed")
    from pycocotools import mask

    rng = np.random.default_rng(2)
    annotations = []
    for index in range(40):
        outline = (rng.uniform(-0.1, 1.1, (7, 2)) * (16, 12)).ravel().tolist()
        runs = mask.encode(np.asfortranarray(rng.integers(0, 2, (12, 16), dtype=np.uint8)))
        compressed = {"size": runs["size"], "counts": runs["counts"].decode()}
        kind = ([outline], [outline, corners(1, 1, 3, 3)], compressed, uncompressed(mask.decode(runs)))[index % 4]
        annotations.append({"image_id": 100 + index % 2, "category_id": (3, 7)[index % 3 > 0], "segmentation": kind})
    dataset = written(tmp_path, coco_document(annotations))
    theirs = tool.COCO(str(tmp_path / "labels.json"))
    for image, labels in zip((100, 101), labels_of(dataset), strict=True):
        expected = np.zeros((12, 16), np.uint8)
        for annotation in theirs.loadAnns(theirs.getAnnIds(imgIds=[image])):
            expected[theirs.annToMask(annotation) > 0] = {3: 1, 7: 2}[annotation["category_id"]]
        assert labels.tolist() == expected.tolist()


def test_stuff_and_things_in_one_split(tmp_path):
    written(tmp_path, coco_document(coco_annotations()))
    stuff = coco_document([{"image_id": 100, "category_id": 9, "segmentation": [corners(0, 0, 16, 12)]}])
    stuff["categories"] = [{"id": 9, "name": "road"}]
    write_json(tmp_path / "stuff.json", stuff)
    splits = {"train": {"images": "images", "labels": ["stuff.json", "labels.json"]}}
    (tmp_path / "dataset.yaml").write_text(yaml.safe_dump({"format": "coco", "splits": splits}))
    dataset = Dataset.load(tmp_path)
    assert dataset.names == ("background", "car", "tree", "road")
    assert labels_of(dataset)[0].tolist() == np.where(FIRST == 0, 3, FIRST).tolist()


def test_names_and_background_of_ones_own(tmp_path):
    dataset = written(tmp_path, coco_document(coco_annotations()), names=["tree", "car"], background=None)
    assert dataset.names == ("tree", "car")
    assert labels_of(dataset)[0].tolist() == np.array([255, 1, 0], np.uint8)[FIRST].tolist()
    dataset = written(tmp_path, coco_document(coco_annotations()), background="road")
    assert dataset.names == ("road", "car", "tree")
    dataset = written(tmp_path, coco_document(coco_annotations()), names=["car", "road", "tree"], background="road")
    assert labels_of(dataset)[1].tolist() == np.array([1, 0, 2], np.uint8)[SECOND].tolist()


def test_a_category_that_is_the_background(tmp_path):
    document = coco_document(coco_annotations())
    document["categories"].insert(0, {"id": 0, "name": "_background_"})
    assert written(tmp_path, document).names == ("_background_", "car", "tree")


def test_the_layouts_of_other_tools(tmp_path):
    document = coco_document(coco_annotations())
    for place in ("train", "valid"):
        for name in ("a.jpg", "b.jpg"):
            picture(tmp_path / "roboflow" / place / name)
        write_json(tmp_path / "roboflow" / place / "_annotations.coco.json", document)
    dataset = Dataset.load(tmp_path / "roboflow")
    assert list(dataset.splits) == ["train", "val"]
    assert labels_of(dataset, "val")[1].tolist() == SECOND.tolist()
    for index, image in enumerate(document["images"]):
        image["file_name"] = f"images\\{index}\\a.jpg"  # from Windows, two of one name
        picture(tmp_path / "studio" / "images" / str(index) / "a.jpg")
    write_json(tmp_path / "studio" / "result.json", document)
    dataset = Dataset.load(tmp_path / "studio")
    assert {name: len(split.samples()) for name, split in dataset.splits.items()} == {"train": 1, "val": 1}


def _drop(key, where=None):
    def change(document):
        del (document if where is None else document[where][0])[key]

    return change


def _set(where, key, value):
    def change(document):
        document[where][0][key] = value

    return change


BROKEN = {
    "two points": (_set("annotations", "segmentation", [[1, 2, 3, 4]]), "annotation 0 has 2 points where 3 must be"),
    "odd points": (_set("annotations", "segmentation", [[1, 2, 3, 4, 5, 6, 7]]), "annotation 0 has points that are no"),
    "words": (_set("annotations", "segmentation", [["a", "b"] * 3]), "annotation 0 has points that are no pairs"),
    "box": (_set("annotations", "segmentation", []), "annotation 0 has no polygon, perhaps but a box"),
    "no shape": (_set("annotations", "segmentation", 7), "annotation 0 has a segmentation that is neither"),
    "other size": (
        _set("annotations", "segmentation", {"size": [11, 16], "counts": [176]}),
        r"annotation 0 has run lengths of size \[11, 16\] for a picture of \[12, 16\]",
    ),
    "short runs": (
        _set("annotations", "segmentation", {"size": [12, 16], "counts": [3, 4]}),
        "annotation 0 has runs of 7 pixels for a mask of 16x12",
    ),
    "short text": (
        _set("annotations", "segmentation", {"size": [12, 16], "counts": "0"}),
        "annotation 0 has runs of 0 pixels",
    ),
    "no runs": (_set("annotations", "segmentation", {"size": [12, 16], "counts": None}), "counts that are no run"),
    "category": (_set("annotations", "category_id", 5), "annotation 0 has category_id 5, which is not in categories"),
    "image": (_set("annotations", "image_id", 5), "annotation 0 is of image 5, which is not in images"),
    "annotations": (_drop("annotations"), "the key 'annotations' is missing"),
    "images": (_drop("images"), "the key 'images' is missing"),
    "categories": (_drop("categories"), "the key 'categories' is missing"),
    "segmentation": (_drop("segmentation", "annotations"), "annotations, id 0 lacks the key 'segmentation'"),
    "image_id": (_drop("image_id", "annotations"), "annotations, id 0 lacks the key 'image_id'"),
    "height": (_drop("height", "images"), "images, id 100 lacks the key 'height'"),
    "id": (_drop("id", "images"), "entry of images lacks the key 'id'"),
    "size": (_set("images", "width", "16"), "is '16'x12"),
    "not there": (_set("images", "file_name", "z.jpg"), r"image 100: the image 'z\.jpg' is not in .*images"),
    "name": (_set("categories", "name", None), "category 7 is called None"),
    "far": (_set("annotations", "segmentation", [[0, 0, 9e9, 0, 9, 9]]), "points far outside the picture"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_export_is_one_line_with_file_key_and_remedy(tmp_path, case):
    change, message = BROKEN[case]
    document = copy.deepcopy(coco_document(coco_annotations()))
    change(document)
    with pytest.raises(DatasetError, match=message) as caught:
        labels_of(written(tmp_path, document))
    assert "labels.json" in str(caught.value)
    assert caught.value.remedy
    assert str(caught.value).isprintable()


def test_a_size_beyond_the_limit_takes_no_memory(tmp_path):
    document = coco_document(coco_annotations())
    document["images"][0].update(width=1 << 40, height=1 << 40)
    with pytest.raises(DatasetError, match="Correct its width and height"):
        labels_of(written(tmp_path, document))


def test_categories_that_differ_between_splits(tmp_path):
    export = coco(tmp_path)
    path = export.folder / "annotations" / "instances_val2017.json"
    path.write_text(path.read_text().replace('"car"', '"cart"'))
    with pytest.raises(DatasetError, match=r"calls category 3 '\w+', but .* calls it '\w+'"):
        Dataset.load(export.folder)


def test_a_class_that_names_leaves_out(tmp_path):
    with pytest.raises(DatasetError, match=r"annotation 1 has the class 'tree', but the classes are background, car\."):
        labels_of(written(tmp_path, coco_document(coco_annotations()), names=["background", "car"]))
    with pytest.raises(DatasetError, match=r"names has no 'background'.*background: null"):
        written(tmp_path, coco_document(coco_annotations()), names=["car", "tree"])


def test_what_is_kept_of_a_large_export_is_small(tmp_path):
    """Points are kept as arrays: Python's own numbers would take gigabytes."""
    from edgeseg.data.formats.coco import _Export

    export = _Export.read(write_json(tmp_path / "a.json", coco_document(coco_annotations())))
    first, second = export.annotations[100][0], export.annotations[101][0]
    assert isinstance(first["segmentation"][0], np.ndarray)
    assert isinstance(second["segmentation"]["counts"], np.ndarray)
    assert "bbox" not in first


def test_pictures_without_annotations_are_background(tmp_path):
    document = coco_document(coco_annotations()[:2])
    assert labels_of(written(tmp_path, document))[1].tolist() == blocks().tolist()
