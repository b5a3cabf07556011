"""Several sources: what a file of them may say, and what their streams are called."""

from __future__ import annotations

import traceback
from pathlib import Path

import pytest

from edgeseg.errors import InputError
from edgeseg.video.sources.sources_file import named, read_sources


@pytest.mark.parametrize(
    ("text", "sources"),
    [
        ("gate: rtsp://10.0.0.7/main\nyard: camera:1\n", {"gate": "rtsp://10.0.0.7/main", "yard": "camera:1"}),
        ("- camera:0\n- camera:0\n", {"camera:0": "camera:0", "camera:0 2": "camera:0"}),
    ],
)
def test_a_mapping_or_a_list(tmp_path: Path, text: str, sources: dict[str, str]) -> None:
    (tmp_path / "list.yaml").write_text(text)
    assert read_sources(tmp_path / "list.yaml") == sources


@pytest.mark.parametrize("text", ["", "camera:0", "gate: 3", "gate: {uri: x}", "- [a]", "a: [", "\x00", "[]", "{}"])
def test_anything_else_is_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "list.yaml").write_text(text)
    with pytest.raises(InputError, match=r"list\.yaml") as caught:
        read_sources(tmp_path / "list.yaml")
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        read_sources(tmp_path / "list.yaml")


def test_credentials_stay_out_of_names() -> None:
    (name,) = named(["rtsp://anna:secret@camera/main"])
    assert "secret" not in name


@pytest.mark.parametrize(
    "text",
    [
        "gate: rtsp://ada:s3cret@camera/x\n bad indent: [s3cret\n",
        "gate: 'rtsp://ada:s3cret@camera\n",
        "gate: rtsp://ada:s3cret@camera/x: y\n",
        "gate: &s3cret [*s3cret, *nos3cret]\n",
        "rtsp://ada:s3cret@camera: x\nrtsp://ada:s3cret@camera: y\n",
        "? [s3cret]\n: x\n",
        "gate: [rtsp://ada:s3cret@camera/x]\n",
    ],
)
def test_what_is_wrong_is_told_without_passwords(tmp_path: Path, text: str) -> None:
    (tmp_path / "list.yaml").write_text(text)
    with pytest.raises(InputError, match=r"list\.yaml") as caught:
        read_sources(tmp_path / "list.yaml")
    assert "s3cret" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(
    "text",
    [
        '"a\\e[31m": camera:0',
        '"": camera:0',
        '" ": camera:0',
        "~: camera:0",
        "true: camera:0",
        '"\\u202egate": camera:0',
        f"{'x' * 201}: camera:0",
        "1: camera:0\n'1': camera:1",
        "gate: camera:0\n' gate': camera:1",
        '"\\u0439": camera:0\n"\\u0438\\u0306": camera:1',
        "gate: camera:0\ngate: camera:1",
    ],
)
def test_names_can_be_printed_and_told_apart(tmp_path: Path, text: str) -> None:
    (tmp_path / "list.yaml").write_text(text)
    with pytest.raises(InputError, match=r"list\.yaml") as caught:
        read_sources(tmp_path / "list.yaml")
    assert str(caught.value).isprintable()


def test_names_in_any_script_and_words_that_yaml_knows(tmp_path: Path) -> None:
    (tmp_path / "list.yaml").write_text("двор: camera:0\nулица: camera:1\non: camera:2\n7: camera:3\n", "utf-8")
    assert list(read_sources(tmp_path / "list.yaml")) == ["двор", "улица", "on", "7"]


def test_numbered_names_are_no_longer_than_others() -> None:
    names = list(named(["x" * 300] * 11))
    assert all(len(name) <= 200 for name in names)
    assert names[0].endswith("x…")
    assert names[10].endswith("x 11")


def test_names_of_sources_are_unique_and_can_be_printed() -> None:
    uris = ["a\x1b.mp4", "a\x1b.mp4", "x" * 300, "x" * 300, "camera:0 2", "camera:0", "camera:0", "\udcff"]
    names = named(uris)
    assert list(names.values()) == uris
    assert all(name.isprintable() for name in names)
