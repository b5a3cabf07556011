"""Cameras on the network, read from real servers."""

from __future__ import annotations

import socket
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from stream_servers import MjpegServer, RtspServer, serve_folder

from edgeseg.errors import SourceError
from edgeseg.types import Frame, Result
from edgeseg.video.pipeline import Pipeline
from edgeseg.video.sources.base import Source, SourceLostError
from edgeseg.video.sources.network.source import NetworkSource
from edgeseg.video.sources.reconnecting import Backoff, ReconnectingSource
from edgeseg.video.sources.registry import open_source
from edgeseg.video.status import SourceState

pytestmark = pytest.mark.any_python

SECRET = "sEcr3t"


@pytest.fixture(scope="module")
def shared_rtsp() -> Iterator[RtspServer]:
    """An RTSP server that stays up; user ada, password as above."""
    server = RtspServer(login=f"ada:{SECRET}")
    yield server
    server.kill()


@pytest.fixture
def rtsp() -> Iterator[RtspServer]:
    """An RTSP server that may be killed."""
    server = RtspServer()
    yield server
    server.kill()


@pytest.fixture
def mjpeg() -> Iterator[MjpegServer]:
    """A Motion JPEG server."""
    server = MjpegServer()
    yield server
    server.kill()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _in_thread(source: Source) -> tuple[list[Frame], threading.Thread]:
    frames: list[Frame] = []
    thread = threading.Thread(target=lambda: frames.extend(source), daemon=True)
    thread.start()
    return frames, thread


def test_rtsp_frames_carry_the_streams_own_times(shared_rtsp: RtspServer) -> None:
    source = open_source(shared_rtsp.uri(f"ada:{SECRET}"))
    info = source.info
    assert (info.live, info.width, info.height, info.fps) == (True, 320, 240, 25)
    frames = list(islice(source, 30))
    source.close()
    times_s = [frame.pts_s for frame in frames if frame.pts_s is not None]
    steps_s = [later - earlier for earlier, later in pairwise(times_s)]
    assert steps_s == pytest.approx([0.04] * 29, abs=1e-3)
    assert all(frame.size == (240, 320) for frame in frames)
    assert frames[-1].rgb_u8.max() > 200  # the ball


@pytest.mark.parametrize("login", ["", "ada:wrong-sEcr3t", "eve:sEcr3t"])
def test_a_wrong_password_is_told_at_once_and_not_shown(shared_rtsp: RtspServer, login: str) -> None:
    with pytest.raises(SourceError, match="does not let you in") as caught:
        open_source(shared_rtsp.uri(login), on_lost="wait")
    assert not isinstance(caught.value, SourceLostError)
    assert SECRET not in "".join(traceback.format_exception(caught.value))
    assert caught.value.__context__ is None


def test_the_command_line_never_prints_credentials(
    shared_rtsp: RtspServer, run_cli: Callable[..., Any], tiny_onnx: Path
) -> None:
    closed = f"127.0.0.1:{_free_port()}"
    for uri in (
        shared_rtsp.uri(f"eve:{SECRET}"),
        f"rtsp://ada:{SECRET}@{closed}/x",
        f"http://ada:{SECRET}@{closed}/x?token={SECRET}",
        f"rtsp://ada:{SECRET}#1@{closed}/x",
        f"rtsp://ada:{SECRET}/1@{closed}/x",
        f"rtsp://ada:{SECRET}@{closed}/x#transport=pigeon",
        f"gst:rtspsrc location=rtsp://ada:{SECRET}@{closed}/x user-pw={SECRET}",
        f"rtsp:/ada:{SECRET}@{closed}/x",
        f"srt://ada:{SECRET}@{closed}/x",
    ):
        failed = run_cli("--debug", "run", uri, "--model", tiny_onnx, "--no-show")
        assert failed.rc != 0
        assert "***" in failed.stderr or uri.startswith("srt")
        assert SECRET not in failed.stdout + failed.stderr, uri
    good = shared_rtsp.uri(f"ada:{SECRET}")
    done = run_cli("--debug", "run", good, "--model", tiny_onnx, "--no-show", "--max-frames", "5")
    assert done.rc == 0, done.stderr
    assert SECRET not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("rtsp://127.0.0.1:{port}/x", r"/x cannot be reached \(Connection refused\)"),
        ("http://127.0.0.1:{port}/x", r"/x cannot be reached \(Connection refused\)"),
        ("rtsp://nowhere.invalid/x", "no host of this name"),
    ],
)
def test_what_waiting_can_mend(uri: str, message: str) -> None:
    with pytest.raises(SourceLostError, match=message):
        open_source(uri.format(port=_free_port()))


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        (
            "rtsp://camera/x#transprot=udp",
            "unknown parameter 'transprot'. It takes timeout, live, tls_verify, ca_file, transport",
        ),
        ("rtsp://camera/x#transport=pigeon", "transport is 'pigeon'. Write it as transport=udp"),
        ("rtsp://camera/x#timeout=0", "timeout is '0'"),
        ("http://camera/x#transport=udp", "unknown parameter 'transport'. It takes timeout, live"),
        ("rtsp://", "does not name a host"),
        ("rtsp://camera:front/x", "does not name a host"),
    ],
)
def test_what_is_written_wrong(uri: str, message: str) -> None:
    with pytest.raises(SourceError, match=message) as caught:
        open_source(uri, on_lost="wait")
    assert not isinstance(caught.value, SourceLostError)


def test_a_path_that_is_not_there(shared_rtsp: RtspServer, tmp_path: Path) -> None:
    base = serve_folder(tmp_path)
    (tmp_path / "noise.bin").write_bytes(np.random.default_rng(0).bytes(10_000))
    for uri, message in (
        (shared_rtsp.uri(f"ada:{SECRET}").replace("/street", "/avenue"), "there is no stream"),
        (base + "nothing.mp4", "there is no stream"),
        (base + "noise.bin", "cannot be opened as a video stream"),
    ):
        with pytest.raises(SourceError, match=message) as caught:
            open_source(uri, on_lost="wait")
        assert not isinstance(caught.value, SourceLostError)


def test_a_host_that_never_answers_is_given_up_in_time() -> None:
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen()
        with pytest.raises(SourceLostError, match=r"did not answer within 0.5 s"):
            open_source(f"rtsp://127.0.0.1:{deaf.getsockname()[1]}/x#timeout=0.5")


def test_the_run_goes_on_when_the_camera_was_away(rtsp: RtspServer) -> None:
    seen: list[Frame] = []
    enough = threading.Event()
    states: list[SourceState] = []
    lost = threading.Event()

    class Recorder:
        goal = 10

        def write(self, result: Result) -> None:
            seen.append(result.frame)
            if len(seen) >= self.goal:
                enough.set()

        def close(self) -> None:
            """Nothing to finish."""

    def on_change(state: SourceState) -> None:
        states.append(state)
        (lost.set if state.condition == "lost" else lost.clear)()

    source = ReconnectingSource(
        lambda: NetworkSource(rtsp.uri()), uri=rtsp.uri(), on_change=on_change, backoff=Backoff(0.05, 0.2)
    )
    recorder = Recorder()
    pipeline = Pipeline(source, [], [recorder])
    outcome: list[Any] = []
    run = threading.Thread(target=lambda: outcome.append(pipeline.run()), daemon=True)
    run.start()
    for _ in range(2):
        assert enough.wait(30)
        rtsp.kill()
        assert lost.wait(30)
        while source.state.reason.endswith("frames"):  # until an attempt has failed
            time.sleep(0.05)
        assert "cannot be reached" in source.state.reason
        count = len(seen)
        time.sleep(0.3)
        assert len(seen) == count  # nothing is made up meanwhile
        recorder.goal = count + 20
        enough.clear()
        rtsp.start()
    assert enough.wait(30)
    assert source.state.condition == "running"
    assert source.state.reconnects == 2
    pipeline.stop()
    run.join(30)
    report = outcome[0]
    assert report.frames_in == report.processed + report.dropped
    assert [state.condition for state in states] == ["lost", "running"] * 2
    assert all(earlier.index < later.index for earlier, later in pairwise(seen))
    times_s = [frame.pts_s for frame in seen if frame.pts_s is not None]
    assert len(times_s) == len(seen)
    assert all(earlier < later for earlier, later in pairwise(times_s))
    gap_s = max(later - earlier for earlier, later in pairwise(times_s))
    by_clock_s = max(later.captured_s - earlier.captured_s for earlier, later in pairwise(seen))
    assert gap_s == pytest.approx(by_clock_s, abs=0.5)


def test_with_on_lost_exit_the_run_ends_with_the_reason(rtsp: RtspServer) -> None:
    source = open_source(rtsp.uri(), on_lost="exit")
    iterator = iter(source)
    for _ in range(5):
        next(iterator)
    rtsp.kill()
    with pytest.raises(SourceLostError, match=r"street (ended after|broke off)"):
        list(iterator)


def test_a_reader_that_is_too_slow_gets_new_frames_not_old_ones(rtsp: RtspServer) -> None:
    """Three frames a second are read of 25: packets that nobody takes must not pile up anywhere."""
    source = NetworkSource(rtsp.uri())
    ages_s = []
    start_s = time.monotonic()
    for frame in source:
        ages_s.append(time.monotonic() - frame.captured_s)
        time.sleep(0.33)
        if time.monotonic() - start_s > 8:
            break
    # By the stream's own clock too: so many seconds of it went by.
    assert frame.pts_s is not None
    assert frame.pts_s > 8 - 3
    source.close()
    # Decoding begins at key pictures, of which there is one a second; else it would be some 7 s by now.
    assert float(np.median(ages_s[-8:])) < 2.5


def test_motion_jpeg_changes_size_and_is_dated_by_the_clock(mjpeg: MjpegServer) -> None:
    source = open_source(mjpeg.uri())
    assert source.info.live
    iterator = iter(source)
    assert next(iterator).size == (48, 64)
    mjpeg.size = (60, 80)
    frames = list(islice(iterator, 40))
    assert frames[-1].size == (60, 80)
    last = frames[-10:]
    assert all(frame.pts_s is not None for frame in last)
    clock_s = last[-1].captured_s - last[0].captured_s
    assert (last[-1].pts_s or 0) - (last[0].pts_s or 0) == pytest.approx(clock_s, abs=0.02)
    source.close()


def test_damaged_packets_are_left_out(mjpeg: MjpegServer) -> None:
    source = NetworkSource(mjpeg.uri())
    iterator = iter(source)
    next(iterator)
    mjpeg.damaged.set()
    threading.Timer(0.5, mjpeg.damaged.clear).start()
    frames = []
    deadline_s = time.monotonic() + 30
    while source.state.left_out == 0 and time.monotonic() < deadline_s:
        frames.append(next(iterator))
    frames += list(islice(iterator, 10))
    assert source.state.left_out > 0
    assert all(np.ptp(frame.rgb_u8) <= 4 for frame in frames)  # one brightness: no half pictures
    source.close()


def test_a_stream_that_falls_silent_is_lost(mjpeg: MjpegServer) -> None:
    source = NetworkSource(mjpeg.uri() + "#timeout=0.5")
    iterator = iter(source)
    next(iterator)
    mjpeg.silent.set()
    with pytest.raises(SourceLostError, match=r"has sent nothing for 0.5 s"):
        list(iterator)


@pytest.mark.parametrize("reconnecting", [False, True])
def test_close_ends_a_silent_stream_at_once(mjpeg: MjpegServer, reconnecting: bool) -> None:
    uri = mjpeg.uri() + "#timeout=300"
    source = open_source(uri) if reconnecting else NetworkSource(uri)
    _, thread = _in_thread(source)
    while source.state.condition != "running":
        time.sleep(0.01)
    mjpeg.silent.set()
    time.sleep(0.2)
    assert thread.is_alive()
    source.close()
    thread.join(5)
    assert not thread.is_alive()
    assert source.state.condition == "ended"


def test_a_file_over_http_is_read_to_its_end_at_the_readers_pace(
    write_video: Callable[..., Path], tmp_path: Path
) -> None:
    write_video("a.mp4", frames=20)
    uri = serve_folder(tmp_path) + "a.mp4"
    source = open_source(uri)
    assert not source.info.live
    frames = []
    for frame in source:
        frames.append(frame)
        time.sleep(0.01)
    assert [frame.pts_s for frame in frames] == pytest.approx([index / 25 for index in range(20)])
    assert open_source(uri + "#live=1").info.live
