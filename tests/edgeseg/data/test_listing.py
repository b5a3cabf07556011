"""Pictures below a folder, and the names that annotations have for them."""

from __future__ import annotations

import pytest
from dataset_exports import picture

from edgeseg.data.listing import PictureFinder, files_below
from edgeseg.errors import DatasetError


@pytest.fixture
def folder(tmp_path):
    for name in ("b/10.png", "b/2.PNG", "a.jpg", "c/deep/2.PNG", ".hidden/x.png"):
        picture((tmp_path / name).with_suffix(".png")).rename(tmp_path / name)
    (tmp_path / "notes.txt").write_text("")
    (tmp_path / "c" / "circle").symlink_to(tmp_path, target_is_directory=True)
    return tmp_path


def test_one_pass_in_the_order_people_count_in(folder):
    found = [path.relative_to(folder).as_posix() for path in files_below(folder)]
    assert found == ["a.jpg", "b/2.PNG", "b/10.png", "c/deep/2.PNG"]
    assert [path.name for path in files_below(folder, nested=False)] == ["a.jpg"]
    assert [path.name for path in files_below(folder, frozenset({".txt"}))] == ["notes.txt"]


def test_folders_that_are_not_there(folder):
    for wrong in (folder / "nowhere", folder / "notes.txt"):
        with pytest.raises(DatasetError, match="there is no folder"):
            files_below(wrong)


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("a.jpg", "a.jpg"),
        ("./b/2.PNG", "b/2.PNG"),
        ("b\\10.png", "b/10.png"),
        ("elsewhere/10.png", "b/10.png"),
        ("deep/2.PNG", "c/deep/2.PNG"),
    ],
)
def test_names_of_pictures(folder, name, found):
    assert PictureFinder(folder).find(name, "x.json").relative_to(folder).as_posix() == found


def test_names_of_none_and_of_several(folder):
    finder = PictureFinder(folder)
    with pytest.raises(DatasetError, match=r"x\.json: the image 'z\.png' is not in"):
        finder.find("z.png", "x.json")
    with pytest.raises(DatasetError, match=r"x\.json: 2 pictures below .* are called 2\.PNG.*Write the path"):
        finder.find("2.PNG", "x.json")
    assert finder.find("z.png", "x.json", "a.jpg").name == "a.jpg"
    with pytest.raises(DatasetError, match="the image '' is not in"):
        finder.find("", "x.json")
