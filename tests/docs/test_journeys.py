"""The two journeys in ARCHITECTURE.md: a frame goes step by step as it says there, and what it names is there."""

from __future__ import annotations

import ast
import re
import threading
from collections import Counter
from pathlib import Path
from types import FrameType

import av
import numpy as np
import pytest

from edgeseg.segmenter import Segmenter
from edgeseg.video.pipeline import Pipeline
from edgeseg.video.sinks.mp4 import Mp4Sink
from edgeseg.video.sources.registry import open_source
from edgeseg.video.stage import Overlay, Segment

REPOSITORY = Path(__file__).resolve().parents[2]
TEXT = (REPOSITORY / "ARCHITECTURE.md").read_text()
ONE_FRAME, ONE_MODEL = (TEXT.split(f"\n## {title}\n")[1].split("\n## ")[0] for title in ("One frame", "One model"))
NAME = r"[\w/]+:[\w.]+"
DEFINITIONS = (ast.FunctionDef, ast.ClassDef)
FRAMES = 8


def full(name: str) -> str:
    """``video/queues:FanIn.take`` as ``edgeseg.video.queues:FanIn.take``."""
    name = name.replace("/", ".")
    return name if name.startswith("edgeseg_export") else f"edgeseg.{name}"


def steps() -> dict[str, list[str]]:
    """The steps of a frame, by the function that each thread runs."""
    by_thread: dict[str, list[str]] = {}
    for number, name in re.findall(rf"^ *(\d*) *({NAME})(?: .*)?$", ONE_FRAME, re.MULTILINE):
        if not number:
            by_thread[full(name)] = []
        else:
            by_thread[list(by_thread)[-1]].append(full(name))
            assert int(number) == sum(map(len, by_thread.values()))
    return by_thread


def module_of(frame: FrameType | None) -> str:
    """That of edgeseg's which a frame of the stack is in, or the first above it."""
    while frame is not None and not str(frame.f_globals.get("__name__")).startswith("edgeseg."):
        frame = frame.f_back
    return "" if frame is None else str(frame.f_globals["__name__"])


class Calls:
    """The calls from one module of edgeseg into another, thread by thread."""

    def __init__(self) -> None:
        self.by_thread: dict[int, list[str]] = {}

    def __call__(self, frame: FrameType, event: str, _: object) -> None:
        here = str(frame.f_globals.get("__name__"))
        if event == "call" and here.startswith("edgeseg.") and module_of(frame.f_back) != here:
            self.by_thread.setdefault(threading.get_ident(), []).append(f"{here}:{frame.f_code.co_name}")


@pytest.fixture(scope="module")
def calls(tmp_path_factory: pytest.TempPathFactory) -> list[list[str]]:
    """Of a run over a video of ``FRAMES`` frames into another video: for each thread what was called, in order."""
    folder = tmp_path_factory.mktemp("journey")
    with av.open(str(folder / "in.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for index in range(FRAMES):
            picture = np.full((48, 64, 3), 30 * index, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    seen = Calls()
    with Segmenter.open("fast_scnn-camvid", threads=1) as segmenter:
        sink = Mp4Sink(folder / "out.mp4")
        pipeline = Pipeline(open_source(str(folder / "in.mp4")), [Segment(segmenter), Overlay(threads=1)], [sink])
        threading.setprofile(seen)
        try:
            report = pipeline.run()
        finally:
            threading.setprofile(None)
    assert report.processed == FRAMES
    return list(seen.by_thread.values())


def short(name: str) -> str:
    """Without the class, which Python 3.10 does not tell of what it calls."""
    module, _, function = name.partition(":")
    return f"{module}:{function.rpartition('.')[2]}"


def test_a_frame_takes_the_steps_that_are_told_in_their_order(calls: list[list[str]]):
    told = steps()
    assert len(told) == 4
    for begun, hops in told.items():
        thread = next(thread for thread in calls if thread[0] == short(begun))
        expected = [short(hop) for hop in hops if "._native:" not in hop]
        assert [name for name in thread if name in expected][: 2 * len(expected)] == 2 * expected


def test_the_hops_are_as_many_as_is_said(calls: list[list[str]]):
    said = re.search(r"That is (\d+) hops.*?there are (\d+) calls a frame", ONE_FRAME, re.DOTALL)
    assert said is not None
    assert int(said[1]) == sum(map(len, steps().values()))
    counts = Counter((number, name) for number, thread in enumerate(calls) for name in thread)
    assert int(said[2]) == sum(count // FRAMES for count in counts.values())


def names() -> list[str]:
    return sorted({full(name) for text in (ONE_FRAME, ONE_MODEL) for name in re.findall(rf"(?<!\S){NAME}", text)})


@pytest.mark.parametrize("name", names())
def test_what_is_named_is_there(name: str):
    """As the files have it: most of what makes a model needs PyTorch, and seconds to be imported."""
    module, _, path = name.partition(":")
    root = REPOSITORY / ("export" if module.startswith("edgeseg_export") else "")
    file = next(file for suffix in (".py", ".pyi") if (file := root / f"{module.replace('.', '/')}{suffix}").is_file())
    node: ast.AST = ast.parse(file.read_text())
    for part in path.split("."):
        defined = {inner.name: inner for inner in ast.iter_child_nodes(node) if isinstance(inner, DEFINITIONS)}
        assert part in defined
        node = defined[part]
