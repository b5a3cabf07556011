"""What goes wrong while a run is left alone, seen from outside: one line says so, nothing hangs, nothing is lost."""

from __future__ import annotations

import fcntl
import json
import os
import resource
import signal
import socket
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import edgeseg.video  # noqa: F401 - before PyAV, as it explains

# isort: split
import av
import numpy as np
import pytest
from PIL import Image

pytestmark = pytest.mark.any_python

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(tiny_onnx: Path) -> Iterator[Start]:
    """``start(*arguments)``: `edgeseg run` with the tiny model, left running; killed at the end if need be."""
    running: list[subprocess.Popen[str]] = []

    def run(*arguments: object, **options: object) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "edgeseg", "run", *map(str, arguments), "--model", str(tiny_onnx)]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
        running.append(subprocess.Popen([*command, "--threads", "1"], text=True, **pipes))  # type: ignore[call-overload]
        return running[-1]

    yield run
    for process in running:
        if process.poll() is None:
            process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()


def _assert_mishap(process: subprocess.Popen[str], *words: str) -> str:
    """Exit code 2, one line that holds these words, and figures that add up."""
    stdout, stderr = process.communicate(timeout=60)
    errors = [line for line in stderr.splitlines() if line.startswith("edgeseg: error:")]
    assert (process.returncode, len(errors)) == (2, 1), stderr
    assert "Traceback" not in stderr
    for word in words:
        assert word in errors[0]
    account = next(line for line in stdout.splitlines() if " frames in = " in line)
    taken, _, rest = account.partition(" frames in = ")
    processed, dropped = rest.split(" processed + ")[0], rest.split(" processed + ")[1].split(" dropped")[0]
    assert int(taken) == int(processed) + int(dropped)
    return stdout


def _frames_of(path: Path) -> int:
    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(video=0))


def _wait_for(condition: Callable[[], bool], seconds: float = 90.0) -> None:
    deadline_s = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline_s, "it did not happen"
        time.sleep(0.05)


def _images(folder: Path, count: int) -> Path:
    folder.mkdir()
    rng = np.random.default_rng(0)
    for index in range(count):
        Image.fromarray(rng.integers(0, 256, (48, 64, 3), dtype=np.uint8)).save(folder / f"{index:03d}.png")
    return folder


def test_a_picture_that_is_none_ends_the_run_with_the_good_ones_saved(start: Start, tmp_path: Path) -> None:
    images = _images(tmp_path / "images", 8)
    (images / "005.png").write_bytes(b"no picture")
    process = start(images, "--save", tmp_path / "out.mp4", "--jsonl", tmp_path / "out.jsonl")
    _assert_mishap(process, "005.png")
    assert _frames_of(tmp_path / "out.mp4") == 5
    assert [json.loads(line)["index"] for line in (tmp_path / "out.jsonl").read_text().splitlines()] == [0, 1, 2, 3, 4]


def test_a_new_size_begins_a_new_segment(start: Start, tmp_path: Path) -> None:
    images = _images(tmp_path / "images", 3)
    Image.new("RGB", (80, 64)).save(images / "003.png")
    process = start(images, "--save", tmp_path / "clip-%02d.mp4", "--segment-secs", 60)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 0, stderr
    assert [_frames_of(tmp_path / f"clip-{number:02d}.mp4") for number in (0, 1)] == [3, 1]


def _small_files(limit: int) -> None:
    """What a full disk does to a file, for a process that may not be given a disk of its own."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))


def test_a_disk_that_is_full_is_named_and_what_was_written_stays_readable(start: Start, tmp_path: Path) -> None:
    out = tmp_path / "out.mp4"
    process = start(
        "synthetic:?size=160x120&fps=10&frames=400", "--save", out, preexec_fn=partial(_small_files, 40_000)
    )
    _assert_mishap(process, str(out), "(File too large)", "whose file system takes larger files")
    assert _frames_of(out) > 5


def test_a_disk_that_is_full_leaves_whole_lines(start: Start, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    process = start(
        "synthetic:?size=64x48&frames=4000",
        "--jsonl",
        out,
        "--jsonl-masks",
        "rle",
        preexec_fn=partial(_small_files, 20_000),
    )
    _assert_mishap(process, str(out))
    indices = [json.loads(line)["index"] for line in out.read_text().splitlines()]
    assert len(indices) > 10
    assert indices == list(range(len(indices)))


@pytest.mark.parametrize("signals", [(signal.SIGTERM,), (signal.SIGTERM, signal.SIGTERM, signal.SIGINT)], ids=len)
def test_sigterm_closes_the_files_and_prints_the_report(start: Start, tmp_path: Path, signals: tuple[int, ...]) -> None:
    """Several at once count as one: `timeout` signals a process, and then its group as well."""
    out = tmp_path / "out.mp4"
    outputs = ("--save", out, "--jsonl", tmp_path / "out.jsonl", "--web", 0)
    process = start("synthetic:?size=64x48&live=1", *outputs, "--drop-policy", "none")
    _wait_for(lambda: (tmp_path / "out.jsonl").exists() and len((tmp_path / "out.jsonl").read_text().splitlines()) > 5)
    for number in signals:
        process.send_signal(number)
        time.sleep(0.02)
    stdout, stderr = process.communicate(timeout=90)
    assert process.returncode == 0, stderr
    assert " frames in = " in stdout
    assert _frames_of(out) > 5


@pytest.mark.parametrize("after_s", [0.0, 0.3, 0.6, 1.0, 1.5, 2.0])
def test_sigterm_during_start_up_ends_it_soon_whenever_it_comes(start: Start, tmp_path: Path, after_s: float) -> None:
    process = start("synthetic:?size=64x48&live=1", "--save", tmp_path / "out.mp4", "--web", 0)
    time.sleep(after_s)
    process.send_signal(signal.SIGTERM)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode in (0, -signal.SIGTERM)
    assert "Traceback" not in stderr
    assert not list(tmp_path.glob("*.part"))
    if (tmp_path / "out.mp4").exists():
        assert _frames_of(tmp_path / "out.mp4") > 0


def test_sigterm_while_a_camera_does_not_answer(start: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # accepts, and says nothing
        process = start(f"rtsp://127.0.0.1:{silent.getsockname()[1]}/main", "--on-lost", "wait", "--no-show")
        silent.settimeout(30)
        connection, _ = silent.accept()
        time.sleep(0.5)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
        connection.close()
    assert process.returncode in (0, -signal.SIGTERM)


def test_two_signals_end_even_a_sink_that_hangs(start: Start, tmp_path: Path) -> None:
    """A named pipe whose reader takes nothing: it hangs the sink once the pipe is full."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    pipe = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        size = fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, 4096)
        process = start("synthetic:?size=640x480&live=1", "--jsonl", path, "--jsonl-masks", "polygons")

        def is_full() -> bool:
            waiting = fcntl.ioctl(pipe, termios.FIONREAD, struct.pack("i", 0))
            return struct.unpack("i", waiting)[0] == size

        _wait_for(is_full, 120)
        process.send_signal(signal.SIGTERM)
        while process.poll() is None:
            time.sleep(1)  # by which it counts as another one
            process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    finally:
        os.close(pipe)
    assert process.returncode == 128 + signal.SIGINT


def test_the_port_of_the_page_is_taken(start: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        process = start("synthetic:", "--web", other.getsockname()[1])
        _, stderr = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "address already in use" in stderr


def test_a_page_for_other_machines_demands_a_token(start: Start) -> None:
    process = start("synthetic:", "--web", "0.0.0.0:0")
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "--web-token" in stderr
    assert len(stderr.splitlines()) == 1
