"""What a run says on stderr while it goes on."""

from __future__ import annotations

import time

import pytest

from edgeseg.video.progress import ProgressLine
from edgeseg.video.sources.base import StreamInfo
from edgeseg.video.status import SourceState, StreamStatus

INFO = StreamInfo("camera:0", live=True)


def _status(state: SourceState, frames: int = 3) -> StreamStatus:
    return StreamStatus("", "camera:0", state, frames, frames, 0, 25.0, {}, {})


def test_a_source_that_is_lost_and_comes_back_is_told_once_each(capsys: pytest.CaptureFixture[str]) -> None:
    line = ProgressLine([INFO])
    now_s = time.monotonic()
    lost = SourceState("lost", "camera:0 stopped delivering", now_s)
    for state in (SourceState("running", since_s=now_s - 9), lost, lost, SourceState("running", since_s=now_s + 12)):
        line([_status(state)])
    line.close()
    line.close()
    assert capsys.readouterr().err.splitlines() == [
        "edgeseg: lost: camera:0 stopped delivering; it is tried again",
        "edgeseg: camera:0 is back after 12 s",
    ]


def test_without_a_terminal_there_is_a_line_now_and_then(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    line = ProgressLine(
        [StreamInfo("a.mp4", live=False, frame_count=50), StreamInfo("b.mp4", False, frame_count=9)], 20
    )
    state = SourceState("running")
    line([_status(state)])
    now_s = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now_s + 11)
    line([_status(state), _status(state, 4)])
    line([_status(state), _status(state, 5)])
    assert capsys.readouterr().err.splitlines() == ["frame 7 of 29, 50.0 fps"]


def test_what_is_told_cannot_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    ProgressLine([INFO]).tell("lost: \x1b[31mred\x1b[0m [bold]двор[/bold]\r\n; the rest goes on")
    assert capsys.readouterr().err == "edgeseg: lost: ?[31mred?[0m [bold]двор[/bold]??; the rest goes on\n"
