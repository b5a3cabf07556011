"""Each fault is planted in a tiny data set that has none, and found; nothing else is found beside it."""

from __future__ import annotations

import os
import shutil

import cv2
import numpy as np
import pytest
import yaml
from dataset_exports import EXPORTS
from PIL import Image

from edgeseg.data.check.run import check
from edgeseg.data.class_counts import class_pixels
from edgeseg.data.dataset import Dataset

SIZE = (48, 64)
NAMES = ["ground", "car", "tree", "sky", "pole", "sign"]
COLORS = [[0, 0, 0], [200, 0, 0], [0, 120, 0], [0, 0, 250], [90, 90, 0], [250, 250, 250]]
STEMS = {"train": ["a", "b", "c", "d"], "val": ["e", "f"]}


def scene(seed: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    """A picture of large spots, unlike that of any other seed."""
    spots = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(spots, size[::-1], interpolation=cv2.INTER_CUBIC))


def stripes(seed: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    """Labels of six classes, those that meet numbered apart."""
    rows = np.roll([0, 3, 1, 5, 2, 4], seed)
    return np.repeat(np.resize(np.repeat(rows, 8), size[0])[:, None], size[1], axis=1).astype(np.uint8)


class Data:
    """A data set in a folder; files are written over by the tests."""

    def __init__(self, folder):
        self.folder = folder
        self.values = {
            "names": NAMES,
            "colors": COLORS,
            "splits": {split: {"images": f"{split}/images", "labels": f"{split}/labels"} for split in STEMS},
        }
        folder.mkdir()
        self.describe()
        for split, stems in STEMS.items():
            for kind in ("images", "labels"):
                (folder / split / kind).mkdir(parents=True)
            for stem in stems:
                self.image(stem, scene(ord(stem)))
                self.label(stem, stripes(ord(stem)))

    def describe(self, **changes):
        self.values = {key: value for key, value in {**self.values, **changes}.items() if value is not None}
        (self.folder / "dataset.yaml").write_text(yaml.safe_dump(self.values))

    def path(self, stem, kind="images", suffix=".png"):
        split = "val" if stem in STEMS["val"] else "train"
        return self.folder / split / kind / f"{stem}{suffix}"

    def image(self, stem, values, **options):
        Image.fromarray(values).save(self.path(stem), **options)

    def label(self, stem, values, **options):
        Image.fromarray(values).save(self.path(stem, "labels"), **options)

    def every(self):
        return [stem for stems in STEMS.values() for stem in stems]

    def as_colors(self):
        self.describe(label_format="rgb")
        for stem in self.every():
            self.label(stem, np.array(COLORS, np.uint8)[stripes(ord(stem))])

    def check(self, **options):
        return check(Dataset.load(self.folder), **options)


@pytest.fixture
def data(tmp_path):
    return Data(tmp_path / "data")


def the_only(report, kind, severity="error"):
    assert [(finding.kind, finding.severity) for finding in report.findings] == [(kind, severity)], report.findings
    assert report.harmful == (severity == "error")
    return report.findings[0]


def turned(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def test_nothing_is_wrong_with_a_good_data_set(data):
    report = data.check(input_size=(48, 64))
    assert report.findings == ()
    assert not report.harmful
    train = report.splits["train"]
    assert train.pictures == 4
    assert train.sizes == {SIZE: 4}
    assert train.class_pixels.sum() == 4 * 48 * 64
    assert train.shares.tolist() == pytest.approx([1 / 6] * 6)


def test_image_without_a_label(data):
    data.path("b", "labels").unlink()
    found = the_only(data.check(), "unlabelled-image")
    assert found.files == (data.path("b"),)
    assert found.what == f"{data.path('b')} has no label"


def test_label_without_an_image(data):
    data.path("b").unlink()
    assert the_only(data.check(), "label-without-image", "warning").files == (data.path("b", "labels"),)


def test_labels_of_all_splits_in_one_folder_belong_to_their_images(data):
    labels = data.folder / "labels"
    labels.mkdir()
    for stem in data.every():
        data.path(stem, "labels").rename(labels / f"{stem}.png")
    data.describe(splits={split: {"images": f"{split}/images", "labels": "labels"} for split in STEMS})
    assert data.check().findings == ()


def test_files_called_by_a_pattern(data):
    for stem in data.every():
        data.path(stem, "labels").rename(data.path(stem, "labels", "_mask.png"))
    splits = {split: {"images": f"{split}/images", "labels": f"{split}/labels/{{stem}}_mask.png"} for split in STEMS}
    data.describe(splits=splits)
    assert data.check().findings == ()
    data.path("b").unlink()
    data.path("c", "labels", "_mask.png").unlink()
    found = {finding.kind: finding.files for finding in data.check().findings}
    assert found == {
        "unlabelled-image": (data.path("c"),),
        "label-without-image": (data.path("b", "labels", "_mask.png"),),
    }


def test_two_files_of_one_stem(data):
    Image.fromarray(scene(1)).save(data.path("a", suffix=".bmp"))
    assert the_only(data.check(), "same-stem").files == (data.path("a", suffix=".bmp"), data.path("a"))


@pytest.mark.parametrize("left", ["an empty folder", "no folder"])
def test_empty_split(data, left):
    for kind in ("images", "labels"):
        shutil.rmtree(data.folder / "val" / kind)
        if left == "an empty folder":
            (data.folder / "val" / kind).mkdir()
    found = the_only(data.check(), "empty-split" if left == "an empty folder" else "unusable-split")
    assert str(data.folder / "val" / "images") in found.what


def test_sizes_that_differ(data):
    data.label("a", stripes(1, (24, 64)))
    data.label("c", stripes(1, (24, 64)))
    found = the_only(data.check(), "size-mismatch")
    assert found.count == 2
    assert found.what == f"{data.path('a')} is 64x48 but its label {data.path('a', 'labels')} is 64x24"
    assert "(and 1 more like it). Make both the same size." in str(found)


def test_exif_turns_the_image_and_not_the_label(data):
    data.image("a", scene(1), exif=turned(6))
    found = the_only(data.check(), "exif-orientation")
    assert found.what.startswith(f"EXIF turns {data.path('a')} but not {data.path('a', 'labels')}")


def test_exif_turns_the_label_and_not_the_image(data):
    data.label("a", stripes(1), exif=turned(8))
    found = the_only(data.check(), "exif-orientation")
    assert found.what.startswith(f"EXIF turns {data.path('a', 'labels')} but not {data.path('a')}")


def test_exif_turns_both_though_the_label_was_upright(data):
    data.image("a", scene(1, SIZE[::-1]), exif=turned(6))
    data.label("a", stripes(1), exif=turned(6))
    assert "EXIF turns both" in the_only(data.check(), "exif-orientation").what


def test_exif_that_turns_upside_down_leaves_it_in_doubt(data):
    data.image("a", scene(1), exif=turned(3))
    found = the_only(data.check(), "exif-orientation", "warning")
    assert "their sizes do not show whether they fit" in found.what


def test_labels_drawn_upon_the_upright_picture_are_right(data):
    data.image("a", scene(1, SIZE[::-1]), exif=turned(6))
    data.image("b", scene(2, SIZE[::-1]), exif=turned(6))
    data.label("b", stripes(2, SIZE[::-1]).copy(), exif=turned(6))
    kinds = [finding.kind for finding in data.check().findings]
    assert kinds == []


def test_masks_read_as_one_class(data):
    data.describe(names=["ground", "car"], colors=None, label_format="index")
    for stem in data.every():
        data.label(stem, np.uint8(255) * (stripes(ord(stem)) > 2))
    found = {finding.kind: finding for finding in data.check().findings}
    assert found["masks-as-one-class"].severity == "error"
    assert found["masks-as-one-class"].count == 6
    data.describe(label_format="binary")
    assert data.check().findings == ()


def test_a_mask_among_indices(data):
    data.label("c", np.uint8(255) * (stripes(1) > 2))
    assert the_only(data.check(), "masks-as-one-class", "warning").files == (data.path("c", "labels"),)
    data.label("a", np.where(stripes(97) == 1, np.uint8(255), stripes(97)))
    assert data.check().findings == ()  # for now 255 is seen to mean "no label"


def smoothed(values: np.ndarray) -> np.ndarray:
    small = cv2.resize(values, (61, 45), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(small, SIZE[::-1], interpolation=cv2.INTER_LINEAR))


@pytest.mark.parametrize("how", ["shrunk", "enlarged"])
def test_anti_aliased_indices_that_are_classes_all(data, how):
    columns = np.repeat(np.repeat([0, 5, 0, 3, 0, 5, 1, 4], 8)[None, :], SIZE[0], axis=0).astype(np.uint8)
    data.label("a", columns)
    assert data.check().findings == ()
    if how == "shrunk":
        data.label("a", ((columns.astype(int) + np.roll(columns, 1, axis=1)) // 2).astype(np.uint8))
    else:
        data.label("a", cv2.resize(columns[::2, ::2], SIZE[::-1], interpolation=cv2.INTER_LINEAR))
    found = the_only(data.check(), "anti-aliased-label")
    assert found.files == (data.path("a", "labels"),)


def test_anti_aliased_colours(data):
    data.as_colors()
    assert data.check().findings == ()
    data.label("a", smoothed(np.array(COLORS, np.uint8)[stripes(1)]))
    found = the_only(data.check(), "anti-aliased-label")
    assert "colours without a class along the edges" in found.what


def test_anti_aliased_masks(data):
    data.describe(names=["ground", "car"], colors=None, label_format="binary")
    for stem in data.every():
        data.label(stem, np.uint8(255) * (stripes(ord(stem)) > 2))
    data.label("a", smoothed(np.uint8(255) * (stripes(1) > 2)))
    assert the_only(data.check(), "anti-aliased-label").files == (data.path("a", "labels"),)


def test_jpeg_labels(data):
    data.path("a", "labels").unlink()
    Image.fromarray(stripes(1)).save(data.path("a", "labels", ".jpg"))
    Image.fromarray(stripes(2)).save(data.path("b", "labels"), "JPEG")
    found = the_only(data.check(), "jpeg-label")
    assert found.files == (data.path("a", "labels", ".jpg"), data.path("b", "labels"))
    assert "compressed with loss" in found.what


def test_jpeg_labels_saved_as_png(data):
    data.as_colors()
    jpeg = data.path("a", suffix=".jpeg")
    noisy = np.array(COLORS, np.uint8)[np.random.default_rng(0).permutation(stripes(1).ravel()).reshape(SIZE)]
    Image.fromarray(noisy).save(jpeg, quality=60)
    data.label("a", np.asarray(Image.open(jpeg)))
    jpeg.unlink()
    found = the_only(data.check(), "jpeg-label")
    assert "compression with loss" in found.what


def test_index_without_a_class(data):
    labels = stripes(1)
    labels[:9, :9] = 17
    data.label("a", labels)
    found = the_only(data.check(), "unknown-index")
    assert "holds label index 17, but the classes are 0..5" in found.what


def test_colour_without_a_class(data):
    data.as_colors()
    colors = np.array(COLORS, np.uint8)[stripes(1)]
    colors[:9, :9] = (1, 2, 3)
    data.label("a", colors)
    assert "colour [1, 2, 3], which no class has" in the_only(data.check(), "unknown-colour").what


def test_classes_without_a_pixel(data):
    data.describe(names=[*NAMES, "bicycle"], colors=None)
    found = data.check().findings
    assert [(finding.kind, finding.severity) for finding in found] == [
        ("absent-class", "error"),
        ("absent-class", "warning"),
    ]
    assert "split train" in found[0].what
    assert found[0].what.endswith("has class bicycle")


def test_identical_pictures_across_splits(data):
    shutil.copy(data.path("a"), data.path("e"))
    assert the_only(data.check(), "identical-across-splits").files == (data.path("e"), data.path("a"))


def test_a_split_that_joins_others_is_no_fault(data):
    lines = [f"{data.path(stem)}\t{data.path(stem, 'labels')}" for stem in data.every()]
    (data.folder / "all.txt").write_text("\n".join(lines))
    data.describe(splits={**data.values["splits"], "trainval": {"list": "all.txt"}})
    assert data.check().findings == ()


def test_near_identical_pictures_across_splits(data):
    darker = np.clip(scene(ord("a")).astype(float) * 0.9 + np.random.default_rng(0).normal(0, 4, (*SIZE, 3)), 0, 255)
    data.image("e", np.roll(darker, 1, axis=1).astype(np.uint8))
    found = the_only(data.check(), "near-identical-across-splits", "warning")
    assert found.files == (data.path("e"), data.path("a"))


def drive(data, moving: bool) -> None:
    """A camera that passes a long wall, in 30 frames of which every third is for val; or unrelated pictures."""
    for split in STEMS:
        shutil.rmtree(data.folder / split)
        (data.folder / split / "images").mkdir(parents=True)
        (data.folder / split / "labels").mkdir()
    wall = cv2.resize(np.random.default_rng(0).integers(0, 256, (6, 18, 3), dtype=np.uint8), (64 + 29 * 4, 48))
    for index in range(30):
        folder = data.folder / ("val" if index % 3 == 2 else "train")
        image = wall[:, index * 4 : index * 4 + 64] if moving else scene(100 + index)
        Image.fromarray(np.ascontiguousarray(image)).save(folder / "images" / f"way_{10 * index:04}.png")
        Image.fromarray(stripes(index)).save(folder / "labels" / f"way_{10 * index:04}.png")


def test_frames_of_one_recording_across_splits(data):
    drive(data, moving=True)
    found = the_only(data.check(), "one-recording-across-splits", "warning")
    assert found.count == 10
    assert found.files[:2] == (
        data.folder / "val" / "images" / "way_0020.png",
        data.folder / "train" / "images" / "way_0010.png",
    )
    assert "of the recording way_" in found.what


def test_numbered_photographs_are_no_recording(data):
    drive(data, moving=False)
    assert data.check().findings == ()


def test_unreadable_and_damaged_files(data):
    whole = data.path("a").read_bytes()
    data.path("a").write_bytes(whole[: len(whole) // 2])
    data.path("b").write_bytes(b"no picture")
    data.path("c", "labels").write_bytes(b"")
    found = data.check().findings
    assert {finding.kind for finding in found} == {"unreadable"}
    files = {file for finding in found for file in finding.files}
    assert files == {data.path("a"), data.path("b"), data.path("c", "labels")}


def test_labels_that_are_one_thing_all_over(data):
    data.label("a", np.full(SIZE, 255, np.uint8))
    data.label("b", np.full(SIZE, 2, np.uint8))
    found = {finding.kind: finding for finding in data.check().findings}
    assert found["nothing-labelled"].files == (data.path("a", "labels"),)
    assert found["one-class-alone"].what == f"{data.path('b', 'labels')} is tree all over"
    assert {finding.severity for finding in found.values()} == {"warning"}


def test_a_split_without_any_label(data):
    for stem in STEMS["val"]:
        data.label(stem, np.full(SIZE, 255, np.uint8))
    report = data.check()
    assert [finding.kind for finding in report.findings] == ["absent-class", "nothing-labelled"]
    assert report.harmful


def test_identical_pictures_with_different_labels(data):
    shutil.copy(data.path("a"), data.path("b"))
    found = the_only(data.check(), "contradicting-labels")
    assert found.files == (data.path("a"), data.path("b"))
    shutil.copy(data.path("a", "labels"), data.path("b", "labels"))
    assert data.check().findings == ()


def test_pictures_unlike_the_rest(data):
    data.image("a", scene(1, (48, 200)))
    data.label("a", stripes(1, (48, 200)))
    found = the_only(data.check(), "unusual-size", "warning")
    assert found.files == (data.path("a"),)
    assert "is 200x48" in found.what


def test_pictures_smaller_than_the_network(data):
    found = data.check(input_size=(360, 480)).findings
    assert [(finding.kind, finding.severity, finding.count) for finding in found] == [("small-picture", "warning", 6)]


def test_jpeg_is_measured_at_its_own_size(data):
    data.path("a").unlink()
    Image.fromarray(scene(ord("a"), (1200, 1600))).save(data.path("a", suffix=".jpg"))
    found = [finding for finding in data.check().findings if finding.kind == "size-mismatch"]
    assert f"{data.path('a', suffix='.jpg')} is 1600x1200" in found[0].what


def test_what_was_counted_is_kept_for_training(data):
    report = data.check()
    dataset = Dataset.load(data.folder)

    def never(_):
        raise AssertionError("counted again")

    assert class_pixels(dataset, "train", never).tolist() == report.splits["train"].class_pixels.tolist()


@pytest.mark.parametrize("name", sorted(EXPORTS))
def test_every_format_can_be_checked(tmp_path, name):
    export = EXPORTS[name](tmp_path / name)
    report = check(Dataset.load(export.folder, name))
    held = {split: len(labels) for split, labels in export.labels.items()}
    assert {split: own.pictures for split, own in report.splits.items()} == held
    kinds = {finding.kind for finding in report.findings}
    assert kinds <= {"absent-class", "one-class-alone", "small-picture", "identical-across-splits", "contradicting-labels"}


def test_the_report_as_json(data):
    data.path("b", "labels").unlink()
    told = data.check().to_dict()
    assert told["harmful"] is True
    assert told["findings"] == [
        {
            "kind": "unlabelled-image",
            "severity": "error",
            "what": f"{data.path('b')} has no label",
            "remedy": "Label it, or move it out",
            "count": 1,
            "files": [os.fspath(data.path("b"))],
        }
    ]
    assert told["splits"]["val"]["sizes"] == {"64x48": 2}
