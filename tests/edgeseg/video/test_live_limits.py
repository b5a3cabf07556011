"""What a live source may send: pictures past the limits are lost, each alone, and memory stays bounded."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import edgeseg.video  # noqa: F401 - before PyAV, as it explains

# isort: split
import av
import cv2
import numpy as np
import pytest
from peak_memory import PEAK_MIB
from strangers import Listener, rtsp_answer

from edgeseg.errors import SourceError
from edgeseg.video.sources.base import SourceLostError
from edgeseg.video.sources.camera import CameraSource
from edgeseg.video.sources.media import LARGEST_PIXELS, LARGEST_SIDE
from edgeseg.video.sources.network.source import NetworkSource
from edgeseg.video.sources.registry import open_source
from edgeseg.video.sources.stdin import StdinSource


def _jpeg(height: int, width: int) -> bytes:
    return bytes(cv2.imencode(".jpg", np.full((height, width, 3), 90, np.uint8))[1])


def _jpeg_that_says(height: int, width: int) -> bytes:
    """A little JPEG that claims to be of this size."""
    content = bytearray(_jpeg(16, 16))
    at = content.index(b"\xff\xc0") + 5
    content[at : at + 4] = height.to_bytes(2, "big") + width.to_bytes(2, "big")
    return bytes(content)


@pytest.fixture
def camera() -> Iterator[Callable[..., str]]:
    """``camera(parts, …)``: the address of a camera that sends these parts, and again the last so many of them."""
    servers: list[ThreadingHTTPServer] = []

    def start(
        parts: list[bytes], content_type: str = "multipart/x-mixed-replace; boundary=frame", *, again: int = 1
    ) -> str:
        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_: object) -> None:
                """Stay quiet."""

            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Type", content_type)
                self.end_headers()
                with suppress(OSError):
                    for part in parts:
                        self.wfile.write(part)
                    for part in cycle(parts[-again:]):
                        self.wfile.write(part)

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}/camera.mjpg"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def _part(jpeg: bytes, length: bool = True, boundary: str = "frame") -> bytes:
    told = f"Content-Length: {len(jpeg)}\r\n" if length else ""
    return f"--{boundary}\r\nContent-Type: image/jpeg\r\n{told}\r\n".encode() + jpeg + b"\r\n"


def _read_elsewhere(uri: str) -> tuple[str, int]:
    """What is told when a process of its own reads an address to its end, and by how many MiB that process grew."""
    code = """
import sys
from edgeseg.errors import SourceError
from edgeseg.video.sources.network.source import NetworkSource
before = peak_mib()
try:
    for frame in NetworkSource(sys.argv[1]):
        pass
except SourceError as error:
    print(error)
print(peak_mib() - before)
"""
    done = subprocess.run(
        [sys.executable, "-c", PEAK_MIB + code, uri], capture_output=True, text=True, timeout=120, check=True
    )
    *_, told, grown_mib = done.stdout.splitlines()
    return told, int(grown_mib)


GOOD = _jpeg(48, 64)


@pytest.mark.parametrize(
    "bad",
    [
        _jpeg(16, 65500),
        _jpeg(16, 30000),
        _jpeg(30000, 16),
        _jpeg(16, LARGEST_SIDE + 8),
        _jpeg_that_says(20000, 20000),
        _jpeg_that_says(65500, 65500),
        b"\xff\xd8\xff\xd9",
        b"no picture",
    ],
    ids=["wide", "30000", "tall", "8200", "400MP", "4GP", "empty", "none"],
)
@pytest.mark.parametrize("length", [True, False])
def test_one_picture_of_a_camera_is_lost_alone(camera: Callable[..., str], bad: bytes, length: bool) -> None:
    parts = [*[_part(GOOD, length)] * 5, _part(bad, length)]
    source = open_source(camera(parts, again=len(parts)))  # again, as what comes too fast is skipped unseen
    frames = []
    for frame in source:
        frames.append(frame)
        if source.state.left_out >= 2:
            break
    frames += islice(source, 5)
    assert {frame.size for frame in frames} == {(48, 64)}
    assert [frame.index for frame in frames] == list(range(len(frames)))
    state = source.state
    assert state.left_out_for
    source.close()
    assert source.state.left_out >= state.left_out


def test_large_pictures_within_the_limit_pass(camera: Callable[..., str]) -> None:
    source = open_source(camera([_part(_jpeg(16, LARGEST_SIDE))]))
    assert next(iter(source)).size == (16, LARGEST_SIDE)
    source.close()


@pytest.mark.parametrize(
    ("content_type", "boundary", "length"),
    [
        ("multipart/x-mixed-replace;boundary=--frame", "frame", True),
        ('multipart/x-mixed-replace; boundary="frame"', "frame", False),
        ("multipart/x-mixed-replace", "anything", False),
        ("multipart/x-mixed-replace; boundary=other", "frame", True),
        ("Multipart/X-Mixed-Replace; Boundary=--my--frame", "my--frame", False),
    ],
)
def test_the_ways_in_which_cameras_write_their_boundaries(
    camera: Callable[..., str], content_type: str, boundary: str, length: bool
) -> None:
    source = open_source(camera([_part(GOOD, length, boundary)], content_type))
    assert [frame.size for frame in islice(source, 5)] == [(48, 64)] * 5
    assert source.state.left_out == 0
    source.close()


@pytest.mark.parametrize(
    "flood",
    [
        b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: 2576980377\r\n\r\n",
        b"--frame\r\nContent-Type: image/jpeg\r\n\r\n",
        b"",
    ],
    ids=["told", "untold", "no head"],
)
@pytest.mark.parametrize(
    "content_type", ["multipart/x-mixed-replace; boundary=frame", "video/x-motion-jpeg", "video/mp2t"]
)
def test_endless_parts_are_given_up_within_bounded_memory(
    camera: Callable[..., str], flood: bytes, content_type: str
) -> None:
    start = {"video/mp2t": b"G" + bytes(187), "video/x-motion-jpeg": GOOD}.get(content_type, b"")
    uri = camera([start * 3 + flood, bytes(1 << 20)], content_type)
    told, grown_mib = _read_elsewhere(uri)
    assert "127.0.0.1" in told
    assert grown_mib < 400, told


@pytest.mark.parametrize(
    "answer",
    [
        b"RTSP/1.0\r\n\r\n",
        b"RTSP/1.0 abc\r\nCSeq: x\r\n\r\n",
        b"\0" * 100_000,
        b"A" * 100_000,
        b"RTSP/1.0 200 OK\r\nContent-Length: 99999999\r\n\r\n",
    ],
)
def test_a_camera_that_answers_nonsense_is_one_line(answer: bytes, capfd: pytest.CaptureFixture[str]) -> None:
    camera = Listener(lambda head: answer)
    for uri in (
        f"rtsp://127.0.0.1:{camera.port}/x#timeout=1",
        f"rtsp://127.0.0.1:{camera.port}/x#timeout=1&transport=http",
    ):
        with pytest.raises(SourceError) as caught:
            open_source(uri)
        assert str(caught.value).isprintable()
    with pytest.raises(SourceError):
        open_source(f"http://127.0.0.1:{camera.port}/x#timeout=1")
    assert capfd.readouterr().err == ""


def test_a_flood_over_rtsp_is_given_up_within_bounded_memory() -> None:
    description = (
        b"v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=x\r\nt=0 0\r\n"
        b"m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=control:t\r\n"
    )
    # The same picture for ever: pieces of one unit of H.264, of one time and without a last.
    piece = bytes([0x80, 96, 0, 0]) + bytes(8) + bytes([0x7C, 0x01]) + b"x" * 60_000
    flood = b"".join(
        b"$\0" + len(piece).to_bytes(2, "big") + piece[:2] + (number % 65536).to_bytes(2, "big") + piece[4:]
        for number in range(2000)
    )

    def answer(head: bytes) -> bytes:
        if head.startswith(b"OPTIONS"):
            return rtsp_answer(head, "200 OK", "Public: OPTIONS, DESCRIBE, SETUP, PLAY")
        if head.startswith(b"DESCRIBE"):
            return rtsp_answer(head, "200 OK", "Content-Type: application/sdp", body=description)
        if head.startswith(b"SETUP"):
            return rtsp_answer(head, "200 OK", "Transport: RTP/AVP/TCP;unicast;interleaved=0-1", "Session: 1")
        return rtsp_answer(head, "200 OK", "Session: 1") + flood

    told, grown_mib = _read_elsewhere(f"rtsp://127.0.0.1:{Listener(answer).port}/x")
    assert "127.0.0.1" in told
    assert grown_mib < 400, told


def test_a_damaged_or_too_large_picture_on_standard_input_is_lost_alone_where_it_is_live(tmp_path: Path) -> None:
    pictures = [GOOD] * 3 + [_jpeg(16, 65500)] + [GOOD] * 3
    (tmp_path / "in.mjpeg").write_bytes(b"".join(pictures))
    with (tmp_path / "in.mjpeg").open("rb") as file:
        source = StdinSource("stdin:?live=1", file.fileno())
        assert [frame.size for frame in source] == [(48, 64)] * 6
        assert source.state.left_out == 1
        assert "65500x16" in source.state.left_out_for
    with (tmp_path / "in.mjpeg").open("rb") as file:  # every frame counts: nothing is left out
        assert len(list(StdinSource("-", file.fileno()))) == 7


def test_files_may_be_larger(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "wide.mkv"), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = LARGEST_SIDE + 800, 64, "yuv420p"
        picture = av.VideoFrame(stream.width, 64, "yuv420p")
        container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    assert next(iter(open_source(tmp_path / "wide.mkv"))).size == (64, LARGEST_SIDE + 800)
    assert LARGEST_PIXELS >= 7680 * 4320  # 8K


class _Capture:
    """The part of ``cv2.VideoCapture`` that a camera source uses, giving what a driver may give."""

    def __init__(self, pictures: list[Any]) -> None:
        self._pictures = pictures

    def read(self) -> tuple[bool, Any]:
        if not self._pictures:
            return False, None
        picture = self._pictures.pop(0)
        if isinstance(picture, Exception):
            raise picture
        return True, picture

    def get(self, _: int) -> float:
        return 0.0

    def getBackendName(self) -> str:  # noqa: N802 - OpenCV's
        return "GSTREAMER"

    def release(self) -> None:
        """Nothing is held."""


def test_a_camera_loses_single_frames_too() -> None:
    good, wide = np.zeros((48, 64, 3), np.uint8), np.zeros((16, 65500, 3), np.uint8)
    pictures = [good, wide, cv2.error("damaged"), None, MemoryError(), good]
    source = CameraSource(_Capture(pictures), "camera:0")  # type: ignore[arg-type]
    frames = []
    with pytest.raises(SourceLostError, match="stopped delivering after 2 frames"):  # noqa: PT012
        for frame in source:
            frames.append(frame)
    assert [frame.size for frame in frames] == [(48, 64)] * 2
    assert source.state.left_out == 3


def test_what_a_source_counts_does_not_fall_back_when_it_ends(camera: Callable[..., str]) -> None:
    parts = [_part(GOOD), _part(b"x")]
    source = open_source(camera(parts, again=2))
    for _ in source:
        if source.state.left_out:
            break
    count = source.state.left_out
    source.close()
    assert source.state.condition == "ended"
    assert source.state.left_out >= count


def test_a_terminal_or_a_closed_standard_input_is_one_line(tiny_onnx: Path) -> None:
    for uri in ("-", "stdin:?size=64x48"):
        done = subprocess.run(
            f"{sys.executable} -m edgeseg run '{uri}' --model {tiny_onnx} <&-",
            shell=True,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 2
        assert "standard input is closed" in done.stderr
        assert "Traceback" not in done.stderr


def test_standard_input_that_is_a_folder_or_not_to_be_read(tmp_path: Path) -> None:
    folder = os.open(tmp_path, os.O_RDONLY)
    with pytest.raises(SourceError, match=r"standard input cannot be read \(Is a directory\)"):
        StdinSource("-", folder)
    os.close(folder)
    writing = os.open(tmp_path / "x", os.O_WRONLY | os.O_CREAT)
    with pytest.raises(SourceError, match=r"standard input cannot be read \(Bad file descriptor\)"):
        StdinSource("-", writing)
    os.close(writing)


@pytest.mark.parametrize("faststart", [True, False])
def test_an_mp4_through_a_pipe(write_video: Callable[..., Path], faststart: bool) -> None:
    path = write_video("a.mp4", faststart=faststart)
    with subprocess.Popen(["cat", str(path)], stdout=subprocess.PIPE) as cat:
        assert cat.stdout is not None
        if faststart:
            assert len(list(StdinSource("-", cat.stdout.fileno()))) == 20
        else:
            with pytest.raises(SourceError, match=r"index is at its end cannot be read from a pipe.*faststart"):
                StdinSource("-", cat.stdout.fileno())
    with path.open("rb") as file:  # < a.mp4
        assert len(list(StdinSource("-", file.fileno()))) == 20


def test_an_mp4_over_http_from_a_server_that_knows_no_places(write_video: Callable[..., Path], tmp_path: Path) -> None:
    from stream_servers import serve_folder

    write_video("a.mp4", faststart=False)
    with pytest.raises(SourceError, match="index is at its end"):
        NetworkSource(serve_folder(tmp_path) + "a.mp4")


def test_an_mp4_over_http_from_a_server_that_does(write_video: Callable[..., Path]) -> None:
    content = write_video("a.mp4", faststart=False).read_bytes()

    def answer(head: bytes) -> bytes:
        at = next((line for line in head.split(b"\r\n") if line.startswith(b"Range: bytes=")), b"Range: bytes=0-")
        start = int(at.removeprefix(b"Range: bytes=").rstrip(b"-"))
        status = "206 Partial Content" if b"Range:" in head else "200 OK"
        fields = f"Accept-Ranges: bytes\r\nContent-Length: {len(content) - start}\r\n"
        return f"HTTP/1.0 {status}\r\n{fields}\r\n".encode() + content[start:]

    server = Listener(answer)
    source = open_source(f"http://127.0.0.1:{server.port}/a.mp4")
    assert len(list(source)) == 20
    assert not source.info.live
