"""Frames on standard input, from another process."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edgeseg.errors import SourceError
from edgeseg.video.sources.stdin import StdinSource

FRAMES = 12


@pytest.fixture
def feed(tmp_path: Path) -> Callable[[bytes], int]:
    """``feed(content)``: where to read the content, which another process writes into a pipe."""

    def start(content: bytes) -> int:
        (tmp_path / "content").write_bytes(content)
        reading, writing = os.pipe()
        with open(writing, "wb") as output:
            subprocess.Popen(["cat", str(tmp_path / "content")], stdout=output, stderr=subprocess.DEVNULL)
        return reading

    return start


def _raw() -> bytes:
    return b"".join(np.full((48, 64, 3), (index * 10, 0, 200), np.uint8).tobytes() for index in range(FRAMES))


def _mjpeg() -> bytes:
    pictures = np.random.default_rng(0).integers(0, 256, (FRAMES, 6, 8, 3), dtype=np.uint8)
    return b"".join(cv2.imencode(".jpg", picture.repeat(8, 0).repeat(8, 1))[1].tobytes() for picture in pictures)


def _without_bytes(value: object) -> str | None:
    """What names a case: it is put into the environment, which holds no videos."""
    return "content" if isinstance(value, bytes) else None


def test_raw_frames_are_what_was_written(feed: Callable[[bytes], int]) -> None:
    source = StdinSource("stdin:?size=64x48&format=rgb24&fps=10", feed(_raw()))
    assert (source.info.width, source.info.height, source.info.fps, source.info.live) == (64, 48, 10, False)
    frames = list(source)
    assert [frame.rgb_u8[7, 7].tolist() for frame in frames] == [[index * 10, 0, 200] for index in range(FRAMES)]
    assert [frame.pts_s for frame in frames] == pytest.approx([index / 10 for index in range(FRAMES)])


def test_raw_frames_in_another_pixel_format(feed: Callable[[bytes], int]) -> None:
    frame = next(StdinSource("stdin:?size=64x48&format=bgr24", feed(_raw())))
    assert frame.rgb_u8[7, 7].tolist() == [200, 0, 0]
    assert frame.pts_s is None


def test_motion_jpeg_has_no_times_but_those_it_is_given(feed: Callable[[bytes], int]) -> None:
    frames = list(StdinSource("-", feed(_mjpeg())))
    assert [frame.pts_s for frame in frames] == [None] * FRAMES
    assert frames[0].size == (48, 64)
    frames = list(StdinSource("stdin:?fps=10", feed(_mjpeg())))
    assert [frame.pts_s for frame in frames] == pytest.approx([index / 10 for index in range(FRAMES)])


@pytest.mark.parametrize("suffix", ["mkv", "ts"])
def test_a_container_keeps_its_times(
    feed: Callable[[bytes], int], write_video: Callable[..., Path], suffix: str
) -> None:
    path = write_video(f"a.{suffix}", times_s=[0, 0.04, 0.2, 0.24])
    times_s = [frame.pts_s for frame in StdinSource("-", feed(path.read_bytes()))]
    assert None not in times_s
    assert [time_s - (times_s[0] or 0) for time_s in times_s if time_s is not None] == pytest.approx(
        [0, 0.04, 0.2, 0.24], abs=2e-3
    )


@pytest.mark.parametrize(
    ("uri", "content", "message"),
    [
        ("stdin:?size=64x48", _raw()[:-1], f"standard input is damaged or cut short after {FRAMES - 1} frames"),
        ("-", b"", "nothing came on standard input"),
        ("-", np.random.default_rng(0).bytes(50_000), "no video that FFmpeg knows .* stdin:.size=640x480"),
        ("stdin:?size=64x48&format=rbg", b"", "no pixel format rbg"),
        ("stdin:?format=rgb24", b"", "Add size=640x480"),
        ("stdin:?size=64", b"", "size is '64'. Write it as size=640x480"),
        ("stdin:video", b"", "is not understood"),
    ],
    ids=_without_bytes,
)
def test_what_is_wrong_is_told(feed: Callable[[bytes], int], uri: str, content: bytes, message: str) -> None:
    with pytest.raises(SourceError, match=message):
        list(StdinSource(uri, feed(content)))


def test_close_ends_the_wait_for_a_writer_that_is_silent() -> None:
    reading, writing = os.pipe()
    os.write(writing, _raw()[: 2 * 64 * 48 * 3])
    source = StdinSource("stdin:?size=64x48&live=1", reading)
    assert source.info.live
    frames: list[Any] = []
    thread = threading.Thread(target=lambda: frames.extend(source), daemon=True)
    thread.start()
    while source.state.condition != "running":
        time.sleep(0.01)
    source.close()
    thread.join(5)
    assert not thread.is_alive()
    os.close(writing)
    os.close(reading)


def test_a_terminal_is_refused() -> None:
    controller, terminal = os.openpty()
    with pytest.raises(SourceError, match="which is a terminal"):
        StdinSource("-", terminal)
    os.close(controller)
    os.close(terminal)


@pytest.mark.parametrize(("uri", "content"), [("-", _mjpeg()), ("stdin:?size=64x48", _raw())], ids=_without_bytes)
def test_the_command_line_reads_standard_input(tiny_onnx: Path, tmp_path: Path, uri: str, content: bytes) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "edgeseg", "run", uri, "--model", str(tiny_onnx), "--save-masks", str(tmp_path / "m")],
        input=content,
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert re.search(rf"{FRAMES} frames in = {FRAMES} processed \+ 0 dropped", done.stdout.decode())
    assert len(list((tmp_path / "m").iterdir())) == FRAMES
