"""The record of an engine: ``street.engine.json`` beside ``street.engine`` says what the engine is.

An engine's own file is opaque. Its record carries the spec and the fingerprint of the file for all engines alike, and
beside them whatever the one that made it wants to know again. Knows no engine.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgeseg.errors import ModelError
from edgeseg.files.documents import is_printable, read_json
from edgeseg.spec import ModelSpec
from edgeseg.weights import check_model_file

FORMAT_VERSION = 1
"""Raised when a reader of the old format would misunderstand the new one; keys that are merely new do not raise it."""

_FIRST = "tensorrt"
"""The backend of records from when there was no other: they do not name it."""

_KEYS = ("format", "backend", "spec", "engine_sha256", "versions")
_MOST_VERSIONS = 50


@dataclass(frozen=True)
class Record:
    """The JSON beside an engine.

    Attributes:
        backend: the name of what runs it, such as ``tensorrt``.
        spec: the model's own spec.
        engine_sha256: of the engine's file, so that a damaged one is told from a strange one.
        versions: of what made it, by their names, for people to read.
        own: the backend's own values, by any other name; what a newer edgeseg has put there is kept, and passed on.
    """

    backend: str
    spec: ModelSpec
    engine_sha256: str
    versions: Mapping[str, str] = field(default_factory=dict)
    own: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> str:
        """JSON with a line for each key, with the format's version."""
        values = {
            "format": FORMAT_VERSION,
            "backend": self.backend,
            "spec": json.loads(self.spec.to_json()),
            "engine_sha256": self.engine_sha256,
            "versions": dict(self.versions),
            **self.own,
        }
        return (
            "{\n" + ",\n".join(f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in values.items()) + "\n}\n"
        )


def record_path(engine: Path) -> Path:
    """Where the record of an engine is: ``street.engine.json`` beside ``street.engine``."""
    return engine.with_name(engine.name + ".json")


def read_record(engine: Path, remedy: str = "Build the engine again from its ONNX file") -> Record:
    """What stands beside an engine; the values of its own are not looked at here.

    Args:
        engine: the engine.
        remedy: what helps where its record does not.

    Raises:
        ModelError: there is no engine or no record, or the record is damaged or of another format.
        SpecError: the spec in it is malformed.
    """
    path = record_path(engine)
    check_model_file(engine)
    if not path.exists():
        raise ModelError(
            f"{path.name} is not beside {engine}: it says what the engine is", f"Copy both files. {remedy}"
        )
    check_model_file(path)
    raw = read_json(path, ModelError)
    if not isinstance(raw, dict) or raw.get("format") != FORMAT_VERSION or isinstance(raw["format"], bool):
        raise ModelError(f"{path} is of another format than {FORMAT_VERSION}, which this edgeseg reads", remedy)
    known = {"backend": _FIRST, "versions": {}, **{key: raw.pop(key) for key in _KEYS if key in raw}}
    fits = {
        "backend": _is_name,
        "spec": lambda value: isinstance(value, dict),
        "engine_sha256": is_sha256,
        "versions": _are_versions,
    }
    for key, fit in fits.items():
        if key not in known:
            raise ModelError(f"{path} is malformed: {key!r} is missing", remedy)
        if not fit(known[key]):
            raise ModelError(f"{path} is malformed: {key} is {known[key]!r:.60}", remedy)
    if strange := [key for key in raw if not is_printable(key)]:
        raise ModelError(f"{path} is malformed: it has the key {strange[0]!r:.60}", remedy)
    spec = ModelSpec.from_json(json.dumps(known["spec"]), str(path))
    return Record(known["backend"], spec, known["engine_sha256"], known["versions"], raw)


def sha256_of(content: bytes) -> str:
    """SHA-256 in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def is_sha256(value: Any) -> bool:
    """Whether a value of a record is what :func:`sha256_of` returns."""
    return isinstance(value, str) and re.fullmatch("[0-9a-f]{64}", value) is not None


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and is_printable(value)


def _are_versions(value: Any) -> bool:
    pairs = value.items() if isinstance(value, dict) else [("", "")]
    return len(pairs) <= _MOST_VERSIONS and all(_is_name(name) and _is_name(version) for name, version in pairs)
