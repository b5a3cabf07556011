"""The same cases through every Source."""

from __future__ import annotations

import atexit
import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from functools import cache
from itertools import islice, pairwise
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import pytest
from stream_servers import MjpegServer, RtspServer, serve_folder

from edgeseg.synthetic.street import StreetScene
from edgeseg.types import Frame, Result
from edgeseg.video.sinks.mp4 import Mp4Sink
from edgeseg.video.sources.base import Source
from edgeseg.video.sources.camera import CameraSource, camera_devices
from edgeseg.video.sources.file import FileSource
from edgeseg.video.sources.gst import GstSource
from edgeseg.video.sources.image import ImageSource
from edgeseg.video.sources.network.source import NetworkSource
from edgeseg.video.sources.registry import open_source
from edgeseg.video.sources.stdin import StdinSource
from edgeseg.video.sources.synthetic import SyntheticSource

FRAMES = 6
HEIGHT, WIDTH = 48, 64


class Case(NamedTuple):
    """How to open a source, how many frames it gives (None for those that do not end), and whether it knows that."""

    open: Callable[[Path], Source]
    frames: int | None
    knows_count: bool = True


def _pictures() -> Iterator[np.ndarray]:
    rng = np.random.default_rng(0)
    for _ in range(FRAMES):
        yield rng.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)


def _video(folder: Path) -> Path:
    sink = Mp4Sink(folder / "street.mp4")
    for index, picture in enumerate(_pictures()):
        sink.write(Result(Frame(picture, index, 0.0, pts_s=index / 25)))
    sink.close()
    return folder / "street.mp4"


def _folder(folder: Path) -> Path:
    for index, picture in enumerate(_pictures()):
        cv2.imwrite(str(folder / f"picture{index}.png"), picture)
    return folder


def _real_camera(_folder: Path) -> Source:
    if not camera_devices():
        pytest.skip("needs a camera: there is no /dev/video*")
    return open_source(f"camera:{camera_devices()[0].removeprefix('/dev/video')}")


def _camera_from_file(folder: Path) -> Source:
    """OpenCV's capture and our reading of it are the same for a file: what is missing is the driver."""
    return CameraSource(cv2.VideoCapture(str(_video(folder))), "camera:0")


@cache
def _server(kind: type[RtspServer | MjpegServer]) -> RtspServer | MjpegServer:
    server = kind()
    atexit.register(server.kill)
    return server


def _pipe(content: bytes, folder: Path) -> int:
    """The end of a pipe from which another process's output is read."""
    (folder / "content").write_bytes(content)
    reading, writing = os.pipe()
    with open(writing, "wb") as output:
        process = subprocess.Popen(["cat", str(folder / "content")], stdout=output)
    atexit.register(process.wait)
    return reading


def _stdin_raw(folder: Path) -> Source:
    uri = f"stdin:?size={WIDTH}x{HEIGHT}&format=bgr24&fps=25"
    return StdinSource(uri, _pipe(b"".join(picture.tobytes() for picture in _pictures()), folder))


def _stdin_mjpeg(folder: Path) -> Source:
    jpegs = [cv2.imencode(".jpg", picture)[1].tobytes() for picture in _pictures()]
    return StdinSource("-", _pipe(b"".join(jpegs), folder))


def _http_file(folder: Path) -> Source:
    return open_source(serve_folder(_video(folder).parent) + "street.mp4")


def _gst(_folder: Path) -> Source:
    if not cv2.videoio_registry.hasBackend(cv2.CAP_GSTREAMER):
        pytest.skip("needs an OpenCV that was built with GStreamer")
    return GstSource.open(f"gst:videotestsrc is-live=true ! video/x-raw,width={WIDTH},height={HEIGHT},framerate=25/1")


CASES = {
    "file": Case(lambda folder: FileSource(_video(folder)), FRAMES),
    "folder": Case(lambda folder: ImageSource(_folder(folder)), FRAMES),
    "glob": Case(lambda folder: open_source(f"{_folder(folder)}/picture[0-2].png"), 3),
    "image": Case(lambda folder: open_source(_folder(folder) / "picture0.png"), 1),
    "synthetic": Case(lambda _: SyntheticSource(HEIGHT, WIDTH, frames=FRAMES), FRAMES),
    "synthetic live": Case(lambda _: SyntheticSource(HEIGHT, WIDTH, fps=200, live=True), None),
    "camera read from a file": Case(_camera_from_file, None),
    "camera": Case(_real_camera, None),
    "RTSP": Case(lambda _: NetworkSource(_server(RtspServer).uri()), None),
    "RTSP over UDP": Case(lambda _: NetworkSource(_server(RtspServer).uri() + "#transport=udp"), None),
    "RTSP, reconnecting": Case(lambda _: open_source(_server(RtspServer).uri()), None),
    "Motion JPEG over HTTP": Case(lambda _: NetworkSource(_server(MjpegServer).uri()), None),
    "file over HTTP": Case(_http_file, FRAMES, knows_count=False),
    "Motion JPEG on stdin": Case(_stdin_mjpeg, FRAMES, knows_count=False),
    "raw frames on stdin": Case(_stdin_raw, FRAMES, knows_count=False),
    "GStreamer": Case(_gst, None),
}


@pytest.fixture(autouse=True, scope="module")
def one_street() -> Iterator[None]:
    """A street takes a second to build, and remembers nothing: one does for all."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("edgeseg.video.sources.synthetic.StreetScene", cache(StreetScene))
        yield


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> Case:
    """One way to open a source."""
    return CASES[request.param]


@pytest.fixture
def source(case: Case, tmp_path: Path) -> Iterator[Source]:
    """The source itself."""
    opened = case.open(tmp_path)
    yield opened
    opened.close()


def _some(source: Source) -> list[Frame]:
    return list(islice(source, FRAMES))


def test_frames_are_rgb_bytes_in_one_piece(source: Source) -> None:
    frames = _some(source)
    assert frames
    for frame in frames:
        assert frame.rgb_u8.dtype == np.uint8
        assert frame.rgb_u8.ndim == 3
        assert frame.rgb_u8.shape[2] == 3
        assert frame.rgb_u8.flags.c_contiguous


def test_indices_count_up_from_zero(source: Source) -> None:
    indices = [frame.index for frame in _some(source)]
    assert indices == list(range(len(indices)))
    assert indices


def test_each_frame_owns_its_picture(source: Source) -> None:
    frames = list(islice(source, 2))
    before = [frame.rgb_u8.copy() for frame in frames]
    next(iter(source), None)
    assert all(np.array_equal(frame.rgb_u8, copy) for frame, copy in zip(frames, before, strict=True))
    assert not any(np.shares_memory(a.rgb_u8, b.rgb_u8) for a, b in pairwise(frames))


def test_frames_are_dated_when_they_come(case: Case, tmp_path: Path) -> None:
    before_s = time.monotonic()
    source = case.open(tmp_path)
    captured_s = [frame.captured_s for frame in _some(source)]
    source.close()
    assert captured_s == sorted(captured_s)
    assert captured_s[0] >= before_s
    assert captured_s[-1] <= time.monotonic()


def test_presentation_times_grow(source: Source) -> None:
    pts_s = [frame.pts_s for frame in _some(source) if frame.pts_s is not None]
    assert all(earlier < later for earlier, later in pairwise(pts_s))


def test_info_tells_the_truth(case: Case, source: Source) -> None:
    info = source.info
    assert info.frame_count == (case.frames if case.knows_count else None)
    frames = _some(source)
    if case.frames is not None:
        assert len(frames) == case.frames
    for frame in frames:
        assert info.height in (None, frame.size[0])
        assert info.width in (None, frame.size[1])


def test_labels_have_the_size_of_the_frame(source: Source) -> None:
    for frame in _some(source):
        if frame.labels_u8 is not None:
            assert source.info.label_names is not None
            assert frame.labels_u8.shape == frame.size
            assert frame.labels_u8.dtype == np.uint8


def test_a_source_is_read_once(case: Case, source: Source) -> None:
    if case.frames is None:
        pytest.skip("does not end")
    assert len(list(source)) == case.frames
    assert list(source) == []


def test_close_twice_and_iterating_afterwards_gives_nothing(source: Source) -> None:
    source.close()
    source.close()
    assert list(source) == []


def test_close_amid_frames_ends_the_iteration(source: Source) -> None:
    iterator = iter(source)
    next(iterator)
    source.close()
    assert list(iterator) == []
    source.close()


def test_close_from_another_thread_ends_the_iteration(source: Source) -> None:
    got_one = threading.Event()
    may_go_on = threading.Event()
    ended = threading.Event()

    def read() -> None:
        for _ in source:
            got_one.set()
            may_go_on.wait(30)
        ended.set()

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    assert got_one.wait(30)
    source.close()
    may_go_on.set()
    assert ended.wait(30)
    thread.join(30)
