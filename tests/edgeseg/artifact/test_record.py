"""The JSON beside an engine of any kind."""

from __future__ import annotations

import json

import pytest

from edgeseg.artifact.record import Record, read_record, record_path, sha256_of
from edgeseg.errors import ModelError, SpecError

EVIL = "\x1b[2J"


@pytest.fixture
def engine(tmp_path):
    """Bytes of an engine that edgeseg does not have."""
    path = tmp_path / "street.tflite"
    path.write_bytes(b"engine")
    return path


@pytest.fixture
def record(engine, tiny_spec):
    own = {"delegate": "xnnpack", "threads": [1]}
    return Record("litert", tiny_spec, sha256_of(engine.read_bytes()), {"litert": "2.1"}, own)


@pytest.fixture
def raw(engine, record):
    """The record beside the engine, as a dict."""
    record_path(engine).write_text(record.to_json())
    return json.loads(record.to_json())


def test_what_is_written_is_read_again(engine, record, raw):
    assert record_path(engine).name == "street.tflite.json"
    assert read_record(engine) == record
    assert raw["format"] == 1
    assert raw["delegate"] == "xnnpack"


def test_unknown_keys_survive_a_round_trip(engine, raw):
    newer = {**raw, "signed_by": {"name": "x", "keys": [1, None]}, "spec": {**raw["spec"], "horizon": 3}}
    record_path(engine).write_text(json.dumps(newer))
    assert json.loads(read_record(engine).to_json()) == newer


def test_a_newer_format_is_refused(engine, raw):
    record_path(engine).write_text(json.dumps({**raw, "format": 2}))
    with pytest.raises(ModelError, match=r"street\.tflite\.json is of another format than 1"):
        read_record(engine)


HOSTILE = {
    "format": [None, True, "1", []],
    "backend": [None, 3, EVIL, "", "x" * 5000],
    "spec": [None, [], "x", {}],
    "engine_sha256": [None, 3, "", "Z" * 64, "0" * 63],
    "versions": [None, [], "2.1", {"litert": 2}, {EVIL: "1"}, {"litert": EVIL}, {str(i): "1" for i in range(99)}],
    EVIL: [1],
}


@pytest.mark.parametrize(("key", "value"), [(key, value) for key, values in HOSTILE.items() for value in values])
def test_a_hostile_record_is_one_line_that_can_be_shown(engine, raw, key, value):
    refuse(engine, json.dumps({**raw, key: value}).encode())


@pytest.mark.parametrize("key", ["format", "spec", "engine_sha256"])
def test_what_must_be_there(engine, raw, key):
    refuse(engine, json.dumps({k: v for k, v in raw.items() if k != key}).encode())


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b"[" * 100_000, b'{"format": 1, "x": 1e999}'])
def test_a_damaged_record_is_one_line(engine, content):
    refuse(engine, content)


def test_an_engine_without_a_record(engine):
    with pytest.raises(ModelError, match=r"street\.tflite\.json is not beside .*Copy both files"):
        read_record(engine)


def refuse(engine, content):
    record_path(engine).write_bytes(content)
    with pytest.raises((ModelError, SpecError), match=r"street\.tflite") as caught:
        read_record(engine)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 900
