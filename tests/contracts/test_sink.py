"""The same cases through every Sink."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import edgeseg.video  # noqa: F401 - before PyAV, as it explains

# isort: split
import av
import numpy as np
import pytest

from edgeseg.data.dataset import LabelCoding, list_images
from edgeseg.spec import ModelSpec
from edgeseg.types import Frame, Result, Segmentation
from edgeseg.video.sinks.base import NullSink, Sink
from edgeseg.video.sinks.jsonl import JsonLinesSink
from edgeseg.video.sinks.mask import MaskSink
from edgeseg.video.sinks.mp4 import Mp4Sink
from edgeseg.video.sinks.segmented import SegmentedMp4Sink
from edgeseg.video.sinks.window import WindowSink, display_works

SPEC = ModelSpec(network="none", class_names=("a", "b", "c"))


def _result(index: int, height: int = 48, width: int = 64) -> Result:
    rgb_u8 = np.full((height, width, 3), 20 * index, dtype=np.uint8)
    labels = np.full((height, width), index % 3, dtype=np.uint8)
    return Result(
        Frame(rgb_u8, index, 0.0, pts_s=index / 25), segmentation=Segmentation(labels, SPEC), overlay_rgb_u8=rgb_u8
    )


def _nothing(_folder: Path) -> None:
    return None


def _count_frames(path: Path) -> int:
    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(video=0))


def _count_video_frames(folder: Path) -> int:
    return _count_frames(folder / "out.mp4") if (folder / "out.mp4").exists() else 0


def _count_segments_frames(folder: Path) -> int:
    return sum(_count_frames(path) for path in folder.glob("*.mp4"))


def _count_lines(folder: Path) -> int:
    if not (folder / "out.jsonl").exists():
        return 0
    return len([json.loads(line) for line in (folder / "out.jsonl").read_text().splitlines()])


def _count_masks(folder: Path) -> int:
    if not (folder / "masks").exists():
        return 0
    return len([LabelCoding(3).read(path) for path in list_images(folder / "masks")])


def _window(_folder: Path) -> Sink:
    if not display_works():
        pytest.skip("needs a display")
    return WindowSink(paced=False)


def _web(_folder: Path) -> Sink:
    from edgeseg.video.web.sink import WebSink

    return WebSink(port=0)


class Case(NamedTuple):
    """How to open a sink, and how to count what can be read of its output; None where it leaves none."""

    open: Callable[[Path], Sink]
    count: Callable[[Path], int | None]


CASES = {
    "mp4": Case(lambda folder: Mp4Sink(folder / "out.mp4"), _count_video_frames),
    "masks": Case(lambda folder: MaskSink(folder / "masks"), _count_masks),
    "segments": Case(lambda folder: SegmentedMp4Sink(folder / "out-%03d.mp4", seconds=0.1), _count_segments_frames),
    "json lines": Case(lambda folder: JsonLinesSink(folder / "out.jsonl", masks="rle"), _count_lines),
    "null": Case(lambda _: NullSink(), _nothing),
    "window": Case(_window, _nothing),
    "web": Case(_web, _nothing),
}


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> Case:
    """One way to open a sink."""
    return CASES[request.param]


@pytest.fixture
def sink(case: Case, tmp_path: Path) -> Iterator[Sink]:
    """The sink itself."""
    opened = case.open(tmp_path)
    yield opened
    opened.close()


def test_every_result_can_be_read_after_close(case: Case, sink: Sink, tmp_path: Path) -> None:
    for index in range(5):
        sink.write(_result(index))
    sink.close()
    assert case.count(tmp_path) in (5, None)


def test_one_result_is_enough(case: Case, sink: Sink, tmp_path: Path) -> None:
    sink.write(_result(0))
    sink.close()
    assert case.count(tmp_path) in (1, None)


def test_close_twice(case: Case, sink: Sink, tmp_path: Path) -> None:
    sink.write(_result(0))
    sink.close()
    sink.close()
    assert case.count(tmp_path) in (1, None)


def test_without_results_nothing_unreadable_is_left(case: Case, sink: Sink, tmp_path: Path) -> None:
    sink.close()
    assert case.count(tmp_path) in (0, None)


def test_what_was_written_is_readable_after_a_write_that_failed(case: Case, sink: Sink, tmp_path: Path) -> None:
    for index in range(3):
        sink.write(_result(index))
    broken = Result(Frame(np.zeros((0, 0, 3), dtype=np.uint8), 3, 0.0))
    try:
        sink.write(broken)
        failed = False
    except Exception:
        failed = True
    sink.close()
    assert failed or case.count(tmp_path) is None
    assert case.count(tmp_path) in (3, None)


def test_results_are_left_as_they_are(sink: Sink) -> None:
    result = _result(1)
    sink.write(result)
    assert (result.frame.rgb_u8 == 20).all()
    assert result.overlay_rgb_u8 is not None
    assert (result.overlay_rgb_u8 == 20).all()
