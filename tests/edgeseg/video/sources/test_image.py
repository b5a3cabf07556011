"""Still images as a source: order, pages, several files, labels."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from edgeseg.data.formats.base import LabelCoding
from edgeseg.errors import DatasetError, SourceError
from edgeseg.spec import ModelSpec
from edgeseg.video.sources.image import ImageSource
from edgeseg.video.sources.labels import LabelFolder
from edgeseg.video.sources.registry import open_source


def write(path: Path, value: int = 0, height: int = 8, width: int = 12) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (width, height), value).save(path)
    return path


def test_folders_and_patterns_come_in_natural_order(tmp_path: Path) -> None:
    for index in (0, 10, 2, 100):
        write(tmp_path / f"frame_{index}.png")
    wanted = ["frame_0", "frame_2", "frame_10", "frame_100"]
    for uri in (tmp_path, f"{tmp_path}/*.png", f"{tmp_path}/frame_*"):
        assert [frame.name for frame in open_source(uri)] == wanted


def test_labels_of_a_video_come_in_natural_order(tmp_path: Path, write_video: Callable[..., Path]) -> None:
    for index in range(12):
        write(tmp_path / "labels" / f"frame_{index}.png", index, 48, 64)
    labels = LabelFolder(tmp_path / "labels", LabelCoding(12))
    frames = list(open_source(write_video("a.mp4", frames=12), labels=labels))
    assert [int(frame.labels_u8[0, 0]) for frame in frames if frame.labels_u8 is not None] == list(range(12))


def test_several_images_are_one_source_in_the_order_given(tmp_path: Path) -> None:
    files = [write(tmp_path / name) for name in ("b.png", "a.png", "sub/c.png")]
    source = ImageSource(files)
    assert source.info.frame_count == 3
    assert source.info.uri == f"{files[0]} and 2 more"
    assert [(frame.index, frame.name) for frame in source] == [(0, "b"), (1, "a"), (2, "c")]
    assert ImageSource([str(files[0])]).info.uri == str(files[0])


def test_several_images_have_labels_by_stem(tmp_path: Path) -> None:
    files = [write(tmp_path / "images" / f"{name}.png") for name in "ab"]
    for index, name in enumerate("ab"):
        write(tmp_path / "labels" / f"{name}.png", index)
    frames = list(ImageSource(files[::-1], LabelFolder(tmp_path / "labels", LabelCoding(2))))
    assert [frame.labels_u8.max() for frame in frames if frame.labels_u8 is not None] == [1, 0]


def test_what_is_wrong_with_several_is_told_before_the_first(tmp_path: Path) -> None:
    good = write(tmp_path / "a.png")
    (tmp_path / "notes.txt").write_text("x")
    (tmp_path / "gone.png").symlink_to("away.png")
    for files, message in (
        ([], "no image is given"),
        ([good, tmp_path / "b.png"], r"there is no file .*b\.png"),
        ([good, tmp_path / "notes.txt"], r"notes\.txt, which is not an image"),
        ([good, tmp_path / "gone.png"], r"gone\.png, a link to away\.png, which is not there"),
    ):
        with pytest.raises((SourceError, DatasetError), match=message):
            ImageSource(files)


@pytest.mark.parametrize(("form", "suffix"), [("TIFF", "tif"), ("WEBP", "webp"), ("PNG", "png")])
def test_a_file_of_several_pictures_gives_a_frame_of_each(tmp_path: Path, form: str, suffix: str) -> None:
    pages = [Image.new("RGB", (16, 12), (80 * index, 0, 0)) for index in range(3)]
    pages[0].save(tmp_path / f"2.{suffix}", form, save_all=True, append_images=pages[1:], lossless=True)
    write(tmp_path / "1.png")
    write(tmp_path / "10.png")
    source = open_source(tmp_path)
    if form != "WEBP":
        assert source.info.frame_count == 5
    frames = list(source)
    assert [frame.name for frame in frames] == ["1", "2_page1", "2_page2", "2_page3", "10"]
    assert [frame.index for frame in frames] == [0, 1, 2, 3, 4]
    assert [int(frame.rgb_u8[0, 0, 0]) for frame in frames[1:4]] == [0, 80, 160]


def test_a_file_of_several_pictures_has_no_label(tmp_path: Path) -> None:
    pages = [Image.new("L", (12, 8), index) for index in range(2)]
    (tmp_path / "images").mkdir()
    pages[0].save(tmp_path / "images" / "a.tif", save_all=True, append_images=pages[1:])
    write(tmp_path / "labels" / "a.png")
    source = open_source(tmp_path / "images", labels=LabelFolder(tmp_path / "labels", LabelCoding(2)))
    with pytest.raises(DatasetError, match=r"a\.tif holds several pictures, and its label file one"):
        next(iter(source))


def test_pictures_of_12_bits_are_not_black(tmp_path: Path) -> None:
    for index, highest in enumerate((4000, 600)):
        cv2.imwrite(str(tmp_path / f"{index}.png"), np.full((4, 4), highest, np.uint16))
    assert [int(frame.rgb_u8[0, 0, 0]) for frame in ImageSource(tmp_path)] == [4000 >> 4, 600 >> 4]
    assert [int(frame.rgb_u8[0, 0, 0]) for frame in ImageSource(tmp_path, bit_depth=16)] == [4000 >> 8, 600 >> 8]


def test_a_pattern_is_told_for_a_folder_and_only_there(tmp_path: Path) -> None:
    write(tmp_path / "a.png")
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(DatasetError, match=r"pass a glob: 'DIR/\*\.png'"):
        ImageSource(tmp_path)
    with pytest.raises(DatasetError, match=r"Move it out of the folder\.$"):
        LabelFolder(tmp_path, LabelCoding(2))


def test_links_to_nowhere_and_folders_of_folders_are_told(tmp_path: Path) -> None:
    write(tmp_path / "drive1" / "a.png")
    with pytest.raises(DatasetError, match=r"holds folders, but no image\. Name one of them"):
        ImageSource(tmp_path)
    (tmp_path / "drive1" / "b.png").symlink_to("nowhere.png")
    with pytest.raises(DatasetError, match=r"b\.png, a link to nowhere\.png, which is not there"):
        ImageSource(tmp_path / "drive1")


def test_a_name_with_brackets_is_a_file(tmp_path: Path) -> None:
    path = write(tmp_path / "a[1].png")
    assert [frame.name for frame in ImageSource(path)] == ["a[1]"]


def test_a_damaged_jpeg_is_told(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).save(file, "JPEG")
    (tmp_path / "half.jpg").write_bytes(file.getvalue()[: len(file.getvalue()) // 2])
    with pytest.raises(DatasetError, match=r"half\.jpg is not an image or is damaged"):
        next(iter(ImageSource(tmp_path / "half.jpg")))


def test_masks_beside_a_source_are_two_classes_for_a_model_of_two(tmp_path: Path) -> None:
    write(tmp_path / "masks" / "a.png", 255)
    write(tmp_path / "masks" / "b.png", 0)
    two, three = (ModelSpec("n", names, stride=8, input_size=(8, 8)) for names in (("x", "y"), ("x", "y", "z")))
    for spec, wanted in ((two, 1), (three, 255)):
        labels = LabelFolder.for_model(tmp_path / "masks", spec)
        assert labels.of_image(Path("a.png"), (8, 12)).max() == wanted
