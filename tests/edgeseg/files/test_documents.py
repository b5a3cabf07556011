"""YAML and JSON of strangers: values as written, within limits, and one line for all that is wrong."""

from __future__ import annotations

import pytest

from edgeseg.errors import DatasetError, InputError
from edgeseg.files.documents import MAX_BYTES, MAX_EXPORT_BYTES, is_printable, parse_json, read_json, read_yaml


def yaml_of(tmp_path, text: str | bytes, **options):
    path = tmp_path / "a.yaml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return read_yaml(path, DatasetError, **options)


def test_words_stay_words(tmp_path):
    assert yaml_of(tmp_path, "[off, on, yes, no, y, n]") == ["off", "on", "yes", "no", "y", "n"]
    assert yaml_of(tmp_path, "[true, False]") == [True, False]


def test_a_byte_order_mark_and_anchors_are_read(tmp_path):
    assert yaml_of(tmp_path, b"\xef\xbb\xbfa: &x [1]\nb: *x") == {"a": [1], "b": [1]}


LAUGHS = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{chr(98 + i)}: &{chr(98 + i)} [{','.join(['*' + chr(97 + i)] * 200)}]\n" for i in range(8)
)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(LAUGHS, id="aliases of aliases"),
        pytest.param("[" * 100_000, id="brackets"),
        pytest.param("a: 1\na: 2", id="a key twice"),
        pytest.param("a: [", id="unfinished"),
        pytest.param("a: .nan", id="not a number"),
        pytest.param("a: .inf", id="endless number"),
        pytest.param('a: "\\ud800"', id="half a surrogate"),
        pytest.param("a: " + "9" * 5000, id="5000 digits"),
        pytest.param("? [1]\n: 2", id="a list as a key"),
        pytest.param("a: 2024-99-99", id="a date that is none"),
        pytest.param(b"\xff\xfe", id="not UTF-8"),
        pytest.param(b"a: \x00", id="a zero byte"),
        pytest.param(b" " * (MAX_BYTES + 1), id="too large"),
        pytest.param("!!python/object:os.system {}", id="a tag of Python's"),
        pytest.param("<<: 1", id="a merge of nothing"),
    ],
)
def test_what_cannot_be_used_is_one_line(tmp_path, text):
    with pytest.raises(DatasetError) as error:
        yaml_of(tmp_path, text)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 600


def test_a_list_that_holds_itself_ends(tmp_path):
    yaml_of(tmp_path, "&a [*a]")


def test_a_secret_file_is_not_quoted(tmp_path):
    with pytest.raises(DatasetError) as error:
        yaml_of(tmp_path, 'gate: "rtsp://u:hunter2@h\nb: {', secret=True)
    assert "hunter2" not in str(error.value)
    assert "line" in str(error.value)


@pytest.mark.parametrize("text", ["1e999", "NaN", '"\\ud800"', "[" * 100_000, "{", "", "9" * 5000])
def test_json_that_cannot_be_used_is_one_line(text):
    with pytest.raises(InputError, match=r"the spec in a\.onnx"):
        parse_json(text, "the spec in a.onnx")


def test_what_tools_export_may_be_larger_and_is_shrunk_as_it_is_read(tmp_path):
    path = tmp_path / "a.json"
    path.write_text('{"rows": [' + '{"keep": 1, "drop": "' + "x" * MAX_BYTES + '"}, {"keep": 2}]}')
    with pytest.raises(InputError, match=r"a\.json is larger than 4 MiB"):
        read_json(path)

    def shrink(item):
        item.pop("drop", None)
        return item

    read = read_json(path, most_bytes=MAX_EXPORT_BYTES, shrink=shrink)
    assert read == {"rows": [{"keep": 1}, {"keep": 2}]}

    def refuse(item):
        raise ValueError("a row that is none")

    with pytest.raises(InputError, match=r"a\.json is not JSON that can be used \(a row that is none\)"):
        read_json(path, most_bytes=MAX_EXPORT_BYTES, shrink=refuse)


def test_json_is_read_from_files(tmp_path):
    path = tmp_path / "a.json"
    path.write_text('{"a": [1, 2.5, "x", null, true]}')
    assert read_json(path) == {"a": [1, 2.5, "x", None, True]}
    with pytest.raises(InputError, match="cannot be read"):
        read_json(tmp_path / "b.json")


@pytest.mark.parametrize("name", ["car", "Straßenbahn", "улица", "می‌رود", "道路", "traffic light"])
def test_names_of_all_scripts_are_printable(name):
    assert is_printable(name)


@pytest.mark.parametrize("name", ["", "a\nb", "\x1b[31mred", "\ud800", "a\u202eb", "x" * 201, "\x00"])
def test_names_that_harm_what_shows_them_are_not(name):
    assert not is_printable(name)
