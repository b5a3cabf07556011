"""Which files of a folder or pattern are images, and in what order they come."""

from __future__ import annotations

import os
import random
from contextlib import nullcontext, suppress
from pathlib import Path

import pytest

from edgeseg.data.image_files import LABEL_SUFFIXES, list_images, match_images, natural_order
from edgeseg.errors import DatasetError


def touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")


@pytest.mark.parametrize(
    "names",
    [
        ["frame_0", "frame_2", "frame_10", "frame_100"],
        ["1", "02", "3", "010"],
        ["a1b2", "a1b10", "a2b1"],
        ["2024-9-1", "2024-10-1"],
        ["9", "10", "x"],
        ["drive1/10", "drive2/9", "drive10/1"],
        ["frame", "frame1", "frame_1"],
        ["x" + "9" * 60, "x1" + "0" * 60],
    ],
)
def test_names_come_as_people_count(names):
    paths = [Path(name) for name in names]
    for seed in range(5):
        shuffled = random.Random(seed).sample(paths, len(paths))
        assert natural_order(shuffled) == paths


def test_equal_numbers_have_an_order_still():
    assert natural_order([Path("1"), Path("01"), Path("001")]) == natural_order([Path("001"), Path("1"), Path("01")])


def test_a_folder_and_a_pattern_come_in_natural_order(tmp_path):
    touch(tmp_path, *(f"frame_{index}.png" for index in (10, 9, 100, 1)))
    for found in (list_images(tmp_path), match_images(f"{tmp_path}/*.png")):
        assert [path.stem for path in found] == ["frame_1", "frame_9", "frame_10", "frame_100"]
    touch(tmp_path, "deep/2.png", "deep/10.png")
    assert [path.name for path in match_images(f"{tmp_path}/deep/**/*.png")] == ["2.png", "10.png"]


def test_names_that_are_no_utf_8_are_files_like_others(tmp_path):
    name = os.fsdecode(b"caf\xe9_2.png")
    try:
        touch(tmp_path, name)
    except OSError:
        pytest.skip("this file system takes no such names")
    assert [path.name for path in list_images(tmp_path)] == [name]


@pytest.mark.parametrize("find", [list_images, lambda folder: match_images(f"{folder}/*")], ids=["folder", "pattern"])
def test_links_are_followed_and_one_to_nowhere_is_told(tmp_path, find):
    touch(tmp_path, "photos/a.png")
    (tmp_path / "photos" / "b.png").symlink_to("a.png")
    assert [path.name for path in find(tmp_path / "photos")] == ["a.png", "b.png"]
    (tmp_path / "photos" / "c.png").symlink_to("/gone/away.png")
    with pytest.raises(DatasetError, match=r"c\.png, a link to /gone/away\.png, which is not there"):
        find(tmp_path / "photos")
    (tmp_path / "photos" / "c.png").unlink()
    (tmp_path / "photos" / "d.png").symlink_to("d.png")
    with pytest.raises(DatasetError, match=r"d\.png, a link to d\.png"):
        find(tmp_path / "photos")


@pytest.mark.parametrize("find", [list_images, lambda folder: match_images(f"{folder}/*")], ids=["folder", "pattern"])
def test_what_is_no_file_is_told(tmp_path, find):
    touch(tmp_path, "a.png")
    os.mkfifo(tmp_path / "b.png")
    with pytest.raises(DatasetError, match=r"b\.png, which is not a file"):
        find(tmp_path)


def test_folders_are_passed_over_but_not_called_empty(tmp_path):
    with pytest.raises(DatasetError, match="is empty"):
        list_images(tmp_path)
    touch(tmp_path, "drive10/a.png", "drive2/a.png")
    with pytest.raises(DatasetError, match=r"holds folders, but no image. Name one of them, such as .*drive2\.$"):
        list_images(tmp_path)
    touch(tmp_path, "b.png")
    assert [path.name for path in list_images(tmp_path)] == ["b.png"]


def test_include_passes_over_other_files(tmp_path):
    touch(tmp_path, "a_1.png", "a_2.png", "b.png", "notes.txt")
    assert [path.name for path in list_images(tmp_path, include=["a_*"])] == ["a_1.png", "a_2.png"]
    with pytest.raises(DatasetError, match=r"match \['c\*'\]. Correct 'include'"):
        list_images(tmp_path, include=["c*"])
    with pytest.raises(DatasetError, match=r"notes\.txt, which is not an image.*\.png.*Move it out of the folder\.$"):
        list_images(tmp_path)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("none", "there is no folder"),
        ("file.png", "there is no folder"),
        ("n" * 300, "cannot be entered"),
        ("nul\0", "is no path"),
    ],
)
def test_what_is_no_folder_is_told(tmp_path, name, message):
    touch(tmp_path, "file.png")
    with pytest.raises(DatasetError, match=message):
        list_images(tmp_path / name)


def test_labels_are_not_jpegs(tmp_path):
    touch(tmp_path, "a.jpg")
    with pytest.raises(DatasetError, match=r"a\.jpg, which is not an image \(\.bmp \.png \.tif \.tiff \.webp\)"):
        list_images(tmp_path, LABEL_SUFFIXES)


@pytest.mark.parametrize("pattern", ["[", "a[b", "[]", "**", "nul\0*", "n" * 300 + "*"])
def test_odd_patterns_match_nothing_or_are_told(tmp_path, pattern):
    with nullcontext() if "\0" not in pattern else suppress(DatasetError):
        assert match_images(f"{tmp_path}/{pattern}") == []
