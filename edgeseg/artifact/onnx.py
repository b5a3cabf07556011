"""An ONNX file looked through before anything loads it: people download them.

What is refused is what a model needs no reason to have and a stranger's could do harm by: weights in files elsewhere on
the machine, tensors far larger than the bytes they come with, engines hidden in a node. The spec is read on the way.
It takes no package, for a device has no ``onnx``: protobuf's wire format is a list of numbered fields, and what is not
of interest is stepped over.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeseg.errors import ModelError, SpecError
from edgeseg.files.whole import written_whole
from edgeseg.spec import METADATA_KEY, ModelSpec
from edgeseg.weights import check_model_file

if TYPE_CHECKING:
    import onnx

_MOST_BYTES = (1 << 31) - 1
"""Protobuf reads no larger message; weights beyond it are in a file beside."""

_MOST_FIELDS = 1_000_000
"""To look at: a few seconds' work. Networks have some thousands."""

_MOST_DIMENSIONS = 32
"""Of a tensor: NumPy's arrays had no more for long."""

_ITEM_BYTES = dict(enumerate((4, 1, 1, 2, 2, 4, 8, 0, 1, 2, 8, 4, 8, 8, 16, 2, 1, 1, 1, 1), 1))
del _ITEM_BYTES[8]  # texts
"""By the number of the type in ``onnx.proto3``; those with less than a byte are left out."""

_DEEPEST = 16
"""Graphs inside of nodes of graphs."""

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5

_COPY = "Copy or export the model again"

_Fields = Iterator[tuple[int, int, Any]]


@dataclass
class OnnxContents:
    """What a look at an ONNX file has found.

    Attributes:
        spec_json: the text of edgeseg's spec; None where it carries none.
        domains: of its operators; empty for ONNX's own.
        op_types: of its nodes.
    """

    spec_json: str | None = None
    domains: set[str] = field(default_factory=set)
    op_types: set[str] = field(default_factory=set)


def look_through(path: Path) -> OnnxContents:
    """Check a file before it is given to ONNX Runtime, or to the package ``onnx``.

    Raises:
        ModelError: there is no such file; it is no ONNX or cut off; or it holds what is not loaded from a stranger:
            weights outside its folder, tensors larger than what there is of them, sparse ones, or a built engine.
    """
    check_model_file(path)
    with _content(path) as content:
        reader = _Reader(path, content)
        try:
            reader.model(0, len(content))
        except (_MalformedError, UnicodeDecodeError) as error:
            reason = str(error) if isinstance(error, _MalformedError) else "a name in it is not UTF-8"
            raise ModelError(f"{path} is no ONNX file, or is damaged ({reason})", _COPY) from None
    return reader.found


def read_spec(path: Path) -> ModelSpec:
    """The spec that an ONNX file carries, without preparing the file to run.

    Raises:
        ModelError: as :func:`look_through`.
        SpecError: it carries no spec, or one that is malformed.
    """
    return spec_of(look_through(path), path)


def spec_of(contents: OnnxContents, path: Path) -> ModelSpec:
    """The spec in what was found in a file."""
    if contents.spec_json is None:
        raise SpecError(
            f"{path} is an ONNX model without edgeseg's spec ({METADATA_KEY} in its metadata)",
            "Export it with: edgeseg export CHECKPOINT.pt",
        )
    return ModelSpec.from_json(contents.spec_json, str(path))


def spec_in(model: onnx.ModelProto, path: Path) -> ModelSpec:
    """The spec in a model that came from a file and may have been changed since."""
    text = next((entry.value for entry in model.metadata_props if entry.key == METADATA_KEY), None)
    return spec_of(OnnxContents(text), path)


def carries_spec(model: onnx.ModelProto) -> bool:
    """Whether there is a spec in a model's metadata, be it a sound one or not."""
    return any(entry.key == METADATA_KEY for entry in model.metadata_props)


def load_model(path: Path) -> onnx.ModelProto:
    """A file as the package ``onnx`` reads it, looked through before.

    Raises:
        ModelError: as :func:`look_through`, or it cannot be read.
    """
    import onnx

    look_through(path)
    try:
        return onnx.load(path)
    except Exception as error:  # protobuf's exceptions have no class of their own in common
        reason = " ".join(str(error).split())[:200]
        raise ModelError(f"{path} is no valid ONNX ({reason})", _COPY) from error


def set_spec(model: onnx.ModelProto, spec: ModelSpec) -> None:
    """Put the spec into a model's metadata, in place of all that is there."""
    import onnx

    onnx.helper.set_model_props(model, {METADATA_KEY: spec.to_json()})


def rewrite_spec(path: Path, spec: ModelSpec, output: Path | None = None) -> None:
    """Give a file another spec, its graph untouched; complete or not at all.

    Args:
        path: the .onnx file.
        spec: its new spec.
        output: the file to write; None for ``path`` itself.

    Raises:
        ModelError: as :func:`load_model`.
        SinkError: the file cannot be written.
    """
    import onnx

    model = load_model(path)
    set_spec(model, spec)
    with written_whole(output or path, make_folders=True) as partial:
        onnx.save(model, partial)


class _MalformedError(Exception):
    """It is not what protobuf writes of a model."""


@contextmanager
def _content(path: Path) -> Iterator[memoryview]:
    try:
        size = path.stat().st_size
        if not size:
            raise ModelError(f"{path} is empty", _COPY)
        if size > _MOST_BYTES:
            raise ModelError(f"{path} has {size >> 20} MiB; an ONNX file has less than 2048", _COPY)
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
            view = memoryview(mapped)
            try:
                yield view
            finally:
                view.release()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ModelError(f"{path} cannot be read ({reason})", "Correct the path, or allow it to be read") from None


class _Reader:
    """One message after another, by its number in ``onnx.proto3``."""

    def __init__(self, path: Path, content: memoryview) -> None:
        self.found = OnnxContents()
        self._path = path
        self._content = content
        self._left = _MOST_FIELDS
        self._folder = Path(os.path.realpath(path.parent))
        self._depth = 0

    def model(self, start: int, end: int) -> None:
        seen = False
        for number, start_of, end_of in self._messages(start, end):
            if number == 7:
                seen = True
                self._graph(start_of, end_of)
            elif number == 14:
                self._metadata(start_of, end_of)
            elif number == 20:  # how to train it on: two graphs
                for _, *span in self._messages(start_of, end_of):
                    self._graph(*span)
            elif number == 8:
                self._each(start_of, end_of, {1: self._name})
            elif number == 25:
                self._function(start_of, end_of)
        if not seen:
            raise _MalformedError("there is no graph in it")

    def _metadata(self, start: int, end: int) -> None:
        key, value = self._entry(start, end)
        if key == METADATA_KEY:
            if self.found.spec_json is not None:
                raise ModelError(f"{self._path} carries two specs", "Export the model again")
            self.found.spec_json = value

    def _graph(self, start: int, end: int) -> None:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise _MalformedError(f"graphs lie more than {_DEEPEST} deep in each other")
        values = dict.fromkeys((11, 12, 13), self._value)
        self._each(start, end, {1: self._node, 2: self._name, 5: self._tensor, 15: self._sparse, **values})
        self._depth -= 1

    def _function(self, start: int, end: int) -> None:
        names = dict.fromkeys((1, 4, 5, 6, 10), self._name)
        self._each(start, end, {**names, 7: self._node, 11: self._attribute, 12: self._value})

    def _value(self, start: int, end: int) -> None:
        """An input, an output or what lies between: its name, and those of its dimensions."""
        for number, *span in self._messages(start, end):
            if number == 1:
                self._name(*span)
            elif number == 2:
                for dimension in self._below(self._below(self._below([span], 1), 2), 1):
                    self._each(*dimension, {2: self._name})

    def _below(self, spans: Iterable[Sequence[int]], wanted: int) -> Iterator[tuple[int, int]]:
        """The messages of that number in these messages."""
        for start, end in spans:
            for number, start_of, end_of in self._messages(start, end):
                if number == wanted:
                    yield start_of, end_of

    def _node(self, start: int, end: int) -> None:
        domain = op_type = ""
        for number, start_of, end_of in self._messages(start, end):
            if number == 4:
                op_type = self._name(start_of, end_of)
            elif number == 7:
                domain = self._name(start_of, end_of)
            elif number in (1, 2, 3):
                self._name(start_of, end_of)
            elif number == 5:
                self._attribute(start_of, end_of)
        if op_type == "EPContext":
            raise ModelError(
                f"{self._path} holds a built engine (EPContext), which is a program",
                "Use the ONNX file that it was made from",
            )
        self.found.domains.add(domain)
        self.found.op_types.add(op_type)

    def _attribute(self, start: int, end: int) -> None:
        tensors = dict.fromkeys((5, 10), self._tensor) | dict.fromkeys((22, 23), self._sparse)
        graphs, names = dict.fromkeys((6, 11), self._graph), dict.fromkeys((1, 21), self._name)
        self._each(start, end, {**tensors, **graphs, **names})

    def _sparse(self, start: int, end: int) -> None:
        raise ModelError(f"{self._path} holds sparse weights, which become large when they are loaded", _COPY)

    def _tensor(self, start: int, end: int) -> None:
        dims: list[int] = []
        nbytes, raw, data_type, location, name = 0, None, 0, None, ""
        for number, wire, value in self._fields(start, end):
            if number == 1:
                dims += [value] if wire == _VARINT else self._varints(*value)
            elif number == 2 and wire == _VARINT:
                data_type = value
            elif wire != _BYTES:
                nbytes += 8 if number in (4, 5, 7, 10, 11) else 0  # a value that stands alone
            elif number in (4, 5, 6, 7, 10, 11):
                nbytes += value[1] - value[0] + (number == 6)  # an empty text is a value too
            elif number == 9:
                raw = value[1] - value[0]
            elif number == 8:
                name = self._name(*value)
            elif number == 13:
                key, text = self._entry(*value)
                location = text if key == "location" else location
        if any(dim >= 1 << 62 for dim in dims) or len(dims) > _MOST_DIMENSIONS:  # a negative one is large in protobuf
            raise _MalformedError(f"the tensor {name!r:.60} has the shape {dims!s:.60}")
        there = nbytes + (raw or 0) + (0 if location is None else self._external_size(location))
        # The smallest types have two bits.
        fits = 0 in dims or prod(dims) <= 4 * max(there, 1)
        if raw is not None and location is None and data_type in _ITEM_BYTES:
            fits = prod(dims) * _ITEM_BYTES[data_type] == raw
        if not fits:
            what = f"{self._path} declares {prod(dims)} values of {name!r:.60}, of which {there} bytes are there"
            raise ModelError(what, _COPY)

    def _external_size(self, location: str) -> int:
        """Of a file with weights, which must be a file in the folder of the model, links followed."""
        target = os.path.realpath(self._folder / location) if "\0" not in location else ""
        inside = os.path.commonpath([self._folder, target or os.sep]) == str(self._folder)
        if os.path.isabs(location) or "*" in location or not inside or not os.path.isfile(target):
            raise ModelError(
                f"{self._path} wants weights from {location!r}, which is no file in its folder",
                "Put the model and its weights into one folder, or export it again",
            )
        return os.path.getsize(target)

    def _entry(self, start: int, end: int) -> tuple[str, str]:
        """Key and value."""
        found = {1: "", 2: ""}
        for number, *span in self._messages(start, end):
            if number in found:
                found[number] = self._text(*span)
        return found[1], found[2]

    def _text(self, start: int, end: int) -> str:
        return bytes(self._content[start:end]).decode()

    def _name(self, start: int, end: int) -> str:
        """A text that may be shown in a message: nothing in it steers a terminal."""
        name = self._text(start, end)
        if not name.isprintable():
            raise _MalformedError(f"the name {name!r:.60} in it cannot be shown")
        return name

    def _each(self, start: int, end: int, readers: Mapping[int, Callable[[int, int], object]]) -> None:
        for number, start_of, end_of in self._messages(start, end):
            if number in readers:
                readers[number](start_of, end_of)

    def _messages(self, start: int, end: int) -> Iterator[tuple[int, int, int]]:
        """The fields that are messages, texts or bytes: their number, and where they begin and end."""
        for number, wire, value in self._fields(start, end):
            if wire == _BYTES:
                yield number, *value

    def _fields(self, at: int, end: int) -> _Fields:
        """Number, wire type and value of each field; of bytes, where they begin and end."""
        while at < end:
            self._left -= 1
            if self._left < 0:
                raise _MalformedError(f"it has more than {_MOST_FIELDS} parts")
            key, at = self._varint(at, end)
            number, wire = key >> 3, key & 7
            if wire == _VARINT:
                value, at = self._varint(at, end)
                yield number, wire, value
                continue
            length = {_FIXED64: 8, _FIXED32: 4}.get(wire)
            if wire == _BYTES:
                length, at = self._varint(at, end)
            if length is None or number == 0:
                raise _MalformedError(f"there is no part of the kind {key}")
            if at + length > end:
                raise _MalformedError("it is cut off")
            yield number, wire, (at, at + length)
            at += length

    def _varints(self, at: int, end: int) -> Iterator[int]:
        while at < end:
            self._left -= 1
            if self._left < 0:
                raise _MalformedError(f"it has more than {_MOST_FIELDS} parts")
            value, at = self._varint(at, end)
            yield value

    def _varint(self, at: int, end: int) -> tuple[int, int]:
        value = shift = 0
        while at < end and shift < 70:
            byte = self._content[at]
            at += 1
            value |= (byte & 127) << shift
            if byte < 128:
                return value & (1 << 64) - 1, at
            shift += 7
        raise _MalformedError("it is cut off")
