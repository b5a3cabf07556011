"""What OpenCV shares with the rest of a process: the level of its log, and the libraries behind its windows."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import pytest

from edgeseg.errors import SourceError
from edgeseg.video.sources.camera import CameraSource
from edgeseg.video.sources.opencv_log import Quiet
from edgeseg.video.sources.registry import open_source

pytestmark = pytest.mark.skipif(
    not hasattr(cv2.utils, "logging"), reason="this OpenCV does not tell the level of its log"
)


def _level() -> int:
    return int(cv2.utils.logging.getLogLevel())


@pytest.fixture(autouse=True)
def _some_level() -> Iterator[None]:
    before = _level()
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_WARNING)
    yield
    cv2.utils.logging.setLogLevel(before)


def test_the_log_is_given_back_when_the_last_has_gone() -> None:
    first, second = Quiet(), Quiet()
    assert _level() == cv2.utils.logging.LOG_LEVEL_SILENT
    first.release()
    first.release()
    assert _level() == cv2.utils.logging.LOG_LEVEL_SILENT
    second.release()
    assert _level() == cv2.utils.logging.LOG_LEVEL_WARNING


def test_a_camera_that_does_not_open_leaves_the_log_as_it_was() -> None:
    with pytest.raises(SourceError):
        open_source("camera:873")
    assert _level() == cv2.utils.logging.LOG_LEVEL_WARNING


def test_a_camera_is_quiet_while_it_is_open(tmp_path: Path) -> None:
    path = tmp_path / "a.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 25, (64, 48))
    writer.release()
    source = CameraSource(cv2.VideoCapture(str(path)), "camera:0")
    assert _level() == cv2.utils.logging.LOG_LEVEL_SILENT
    source.close()
    source.close()
    assert _level() == cv2.utils.logging.LOG_LEVEL_WARNING


@pytest.fixture(scope="module")
def display() -> Iterator[str]:
    """An X server that draws into memory."""
    if shutil.which("Xvfb") is None:
        pytest.skip("needs an X server: apt install xvfb")
    reading, writing = os.pipe()
    with subprocess.Popen(
        ["Xvfb", "-displayfd", str(writing), "-screen", "0", "640x480x24"],
        pass_fds=[writing],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as server:
        os.close(writing)
        with open(reading) as told:
            yield f":{told.readline().strip()}"
        server.terminate()


@pytest.mark.parametrize(("first", "expected"), [("cv2", "shown"), ("edgeseg.video", "shown"), ("av", "before av")])
def test_a_window_opens_or_tells_why_whichever_is_imported_first(display: str, first: str, expected: str) -> None:
    code = f"""
import {first}, av
import numpy as np
from edgeseg.errors import SinkError
from edgeseg.types import Frame, Result
from edgeseg.video.sinks.window import WindowSink
try:
    sink = WindowSink(paced=False)
    sink.write(Result(Frame(np.zeros((48, 64, 3), np.uint8), 0, 0.0)))
    sink.close()
    print("shown")
except SinkError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "DISPLAY": display},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert expected in done.stdout
