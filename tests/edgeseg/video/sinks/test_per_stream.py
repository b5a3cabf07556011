"""One output for each stream."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgeseg.errors import SinkError
from edgeseg.types import Frame, Result
from edgeseg.video.sinks.base import StreamSinkFailed
from edgeseg.video.sinks.per_stream import PerStream, paths_of


class Shelf:
    def __init__(self, fails: bool) -> None:
        self.indices: list[int] = []
        self.closed = False
        self._fails = fails

    def write(self, result: Result) -> None:
        self.indices.append(result.frame.index)

    def close(self) -> None:
        self.closed = True
        if self._fails:
            raise SinkError("the disk is full")


def _result(stream: str, index: int) -> Result:
    return Result(Frame(np.zeros((4, 4, 3), np.uint8), index, 0.0), stream=stream)


@pytest.mark.parametrize("fails", [False, True])
def test_each_stream_has_its_own_and_all_are_closed(fails: bool) -> None:
    shelves: dict[str, Shelf] = {}

    def make(name: str) -> Shelf:
        shelves[name] = Shelf(fails and name == "a")
        return shelves[name]

    sink = PerStream(make)
    for index, stream in enumerate("abbac"):
        sink.write(_result(stream, index))
    if fails:
        with pytest.raises(SinkError, match="the disk is full"):
            sink.close()
    else:
        sink.close()
    sink.close()
    assert {name: shelf.indices for name, shelf in shelves.items()} == {"a": [0, 3], "b": [1, 2], "c": [4]}
    assert all(shelf.closed for shelf in shelves.values())


class Torn(Shelf):
    """Fails with its second result."""

    def write(self, result: Result) -> None:
        if self.indices:
            raise SinkError("the disk is full")
        super().write(result)


def test_one_that_fails_is_closed_and_stays_closed() -> None:
    made: list[str] = []
    shelves = {"a": Torn(False), "b": Shelf(False)}

    def make(name: str) -> Shelf:
        made.append(name)
        return shelves[name]

    sink = PerStream(make, ["a", "b"])
    assert made == ["a", "b"]
    sink.write(_result("a", 0))
    for index in (1, 2):
        with pytest.raises(StreamSinkFailed, match="the disk is full"):
            sink.write(_result("a", index))
        sink.write(_result("b", index))
    assert shelves["a"].closed
    assert shelves["b"].indices == [1, 2]
    assert made == ["a", "b"]
    sink.close()


def test_what_cannot_be_opened_is_told_at_once_and_the_others_are_closed() -> None:
    first = Shelf(False)

    def make(name: str) -> Shelf:
        if name == "b":
            raise SinkError("the name is too long")
        return first

    with pytest.raises(SinkError, match="the name is too long"):
        PerStream(make, ["a", "b"])
    assert first.closed


@pytest.mark.parametrize(
    ("streams", "names"),
    [
        (["gate"], ["out-gate.mp4"]),
        (["rtsp://10.0.0.7/main"], ["out-rtsp-10-0-0-7-main.mp4"]),
        (["двор", "улица", "門"], ["out-двор.mp4", "out-улица.mp4", "out-門.mp4"]),
        (["हिन्दी", "café"], ["out-हिन्दी.mp4", "out-café.mp4"]),
        (["gate 1", "gate-1", "gate/1"], ["out-gate-1.mp4", "out-gate-1-2.mp4", "out-gate-1-3.mp4"]),
        (["gate 1", "gate-1", "gate 1 2"], ["out-gate-1.mp4", "out-gate-1-2.mp4", "out-gate-1-2-2.mp4"]),
        (["Gate", "gate", "GATE"], ["out-Gate.mp4", "out-gate-2.mp4", "out-GATE-3.mp4"]),
        (["../..", "😀", "*"], ["out-stream.mp4", "out-stream-2.mp4", "out-stream-3.mp4"]),
        (["café", "cafe\u0301"], ["out-café.mp4", "out-café-2.mp4"]),
        (["%d", "\udce9"], ["out-d.mp4", "out-stream.mp4"]),
    ],
)
def test_paths_that_any_file_system_takes_and_tells_apart(streams: list[str], names: list[str]) -> None:
    assert paths_of(Path("videos/out.mp4"), streams) == {
        stream: Path("videos") / name for stream, name in zip(streams, names, strict=True)
    }


def test_names_of_any_length_are_told_apart() -> None:
    streams = ["ü" * 300, "ü" * 301, "ü" * 302]
    names = [path.name for path in paths_of(Path("out.mp4"), streams).values()]
    assert len(set(names)) == 3
    assert max(len(name.encode()) for name in names) < 200
