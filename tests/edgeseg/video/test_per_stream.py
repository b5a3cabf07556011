"""One output for each stream."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgeseg.errors import SinkError
from edgeseg.types import Frame, Result
from edgeseg.video.per_stream import PerStream, path_of


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


@pytest.mark.parametrize(
    ("stream", "name"),
    [("gate", "out-gate.mp4"), ("rtsp://10.0.0.7/main", "out-rtsp-10-0-0-7-main.mp4"), ("../..", "out-stream.mp4")],
)
def test_paths_that_any_file_system_takes(stream: str, name: str) -> None:
    assert path_of(Path("videos/out.mp4"), stream) == Path("videos") / name
