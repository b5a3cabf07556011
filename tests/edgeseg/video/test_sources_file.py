"""Several sources: what a file of them may say, and what their streams are called."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgeseg.errors import InputError
from edgeseg.video.sources_file import named, read_sources


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
