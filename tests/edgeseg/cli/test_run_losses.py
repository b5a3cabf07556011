"""What a run loses when a part of it fails, seen from outside: that part alone, and it says so."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import edgeseg.video  # noqa: F401 - before PyAV, as it explains

# isort: split
import av
import numpy as np
import pytest
from PIL import Image

from edgeseg.spec import METADATA_KEY, ModelSpec

pytestmark = pytest.mark.any_python

COUNT = 300
Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(tiny_onnx: Path) -> Iterator[Start]:
    """``start(*arguments)``: `edgeseg run` with the tiny model, left running; killed at the end if need be."""
    running: list[subprocess.Popen[str]] = []

    def run(*arguments: object, script: str = "", model: Path = tiny_onnx, **options: object) -> subprocess.Popen[str]:
        command = [sys.executable, *(("-c", script) if script else ("-m", "edgeseg")), "run", *map(str, arguments)]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
        running.append(subprocess.Popen([*command, "--model", str(model), "--threads", "1"], text=True, **pipes))  # type: ignore[call-overload]
        return running[-1]

    yield run
    for process in running:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """300 pictures."""
    folder = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    for index in range(COUNT):
        Image.fromarray(rng.integers(0, 256, (32, 48, 3), dtype=np.uint8)).save(folder / f"{index:03d}.png")
    return folder


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    if os.name != "posix" or os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount a file system")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def _assert_lost(process: subprocess.Popen[str], *words: str, processed: int = COUNT) -> str:
    """Exit code 2, told at once and in one line at the end, with figures that add up; nothing else was lost."""
    stdout, stderr = process.communicate(timeout=200)
    errors = [line for line in stderr.splitlines() if line.startswith("edgeseg: error:")]
    at_once = [line for line in stderr.splitlines() if line.startswith("edgeseg: lost:")]
    assert (process.returncode, len(errors)) == (2, 1), stderr
    assert "Traceback" not in stderr
    for word in words:
        assert word in errors[0]
        assert word in "".join(at_once)
    assert f"{processed} processed" in stdout
    return stdout


def _lines(path: Path) -> list[int]:
    return [json.loads(line)["index"] for line in path.read_text().splitlines()]


def _frames_of(path: Path) -> int:
    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(video=0))


def test_a_full_disk_costs_the_output_on_it_alone(start: Start, images: Path, small_disk: Path, tmp_path: Path) -> None:
    good = tmp_path / "good.jsonl"
    for arguments in (("--save", small_disk / "out.mp4"), ("--save-masks", small_disk / "masks")):
        stdout = _assert_lost(start(images, "--jsonl", good, *arguments), str(arguments[1]), "No space left on device")
        assert _lines(good) == list(range(COUNT))
        assert "was given up" in stdout
        for file in small_disk.glob("**/*"):
            if file.suffix == ".mp4":
                assert _frames_of(file) > 0
            elif file.is_file():
                Image.open(file).load()
                file.unlink()
        for file in small_disk.glob("*.mp4"):
            file.unlink()
    _assert_lost(start(images, "--save-masks", tmp_path / "m", "--jsonl", small_disk / "b.jsonl"), "b.jsonl")
    assert len(list((tmp_path / "m").iterdir())) == COUNT


def test_a_disk_that_is_full_at_the_very_end_is_noticed(start: Start, images: Path, small_disk: Path) -> None:
    """FFmpeg keeps the last pictures of a film until it is closed."""
    (small_disk / "ballast").write_bytes(b"0" * 60_000)
    process = start(images, "--save", small_disk / "out.mp4", "--max-frames", 8)
    stdout, stderr = process.communicate(timeout=100)
    assert process.returncode == 2, stdout
    assert "could not be written after 8 frames (No space left on device)" in stderr


def test_a_folder_that_becomes_read_only_costs_the_masks_alone(start: Start, small_disk: Path, tmp_path: Path) -> None:
    good = tmp_path / "good.jsonl"
    process = start("synthetic:?size=48x32&live=1", "--jsonl", good, "--save-masks", small_disk / "masks")
    _wait_for(lambda: (small_disk / "masks" / "000000.png").exists() or process.poll() is not None)
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    count = len(_lines(good))
    _wait_for(lambda: len(good.read_bytes().splitlines()) > count + 30 or process.poll() is not None)
    process.send_signal(signal.SIGTERM)
    _, stderr = process.communicate(timeout=100)
    assert process.returncode == 2, stderr
    assert "Read-only file system" in stderr
    assert "Choose a place that you may write to" in stderr


def _wait_for(condition: Callable[[], bool], seconds: float = 120.0) -> None:
    deadline_s = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline_s, "it did not happen"
        time.sleep(0.05)


def test_a_reader_that_goes_away_costs_its_pipe_alone(start: Start, images: Path, tmp_path: Path) -> None:
    pipe, video = tmp_path / "pipe", tmp_path / "out.mp4"
    os.mkfifo(pipe)
    process = start(images, "--jsonl", pipe, "--save", video)
    with pipe.open() as lines:
        assert json.loads(lines.readline())["index"] == 0
    _assert_lost(process, f"nobody reads {pipe} any more")
    assert _frames_of(video) == COUNT


def test_a_picture_of_another_size_costs_the_video_alone(start: Start, images: Path, tmp_path: Path) -> None:
    mixed = tmp_path / "mixed"
    mixed.mkdir()
    for file in images.iterdir():
        (mixed / file.name).symlink_to(file)
    (mixed / "150.png").unlink()
    Image.new("RGB", (64, 48)).save(mixed / "150.png")
    good, video = tmp_path / "good.jsonl", tmp_path / "out.mp4"
    _assert_lost(start(mixed, "--jsonl", good, "--save", video), "began with 48x32 pictures, now comes 64x48")
    assert _lines(good) == list(range(COUNT))
    assert _frames_of(video) == 150


def test_one_stream_of_three_that_fails_costs_itself_alone(start: Start, images: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad"
    bad.mkdir()
    for index in range(10):
        (bad / f"{index}.png").symlink_to(images / f"{index:03d}.png")
    (bad / "5.png").unlink()
    (bad / "5.png").write_bytes(b"no picture")
    streams = {"a": images, "b": bad, "c": images}
    (tmp_path / "sources.yaml").write_text("".join(f"{name}: {uri}\n" for name, uri in streams.items()))
    good = tmp_path / "good.jsonl"
    process = start("--sources", tmp_path / "sources.yaml", "--jsonl", good, "--save", tmp_path / "out.mp4")
    stdout = _assert_lost(process, "5.png", processed=2 * COUNT + 5)
    lines = [json.loads(line) for line in good.read_text().splitlines()]
    for stream, count in {"a": COUNT, "b": 5, "c": COUNT}.items():
        assert [line["index"] for line in lines if line["stream"] == stream] == list(range(count))
        assert _frames_of(tmp_path / f"out-{stream}.mp4") == count
    assert "ended before its time" in stdout


def test_one_output_of_three_that_fails_costs_its_stream_alone(
    start: Start, images: Path, small_disk: Path, tmp_path: Path
) -> None:
    (tmp_path / "out-b.mp4").symlink_to(small_disk / "out-b.mp4")
    (tmp_path / "sources.yaml").write_text(f"a: {images}\nb: {images}\n")
    process = start("--sources", tmp_path / "sources.yaml", "--save", tmp_path / "out.mp4")
    _assert_lost(process, "out-b.mp4", processed=2 * COUNT)
    assert _frames_of(tmp_path / "out-a.mp4") == COUNT


def test_without_an_output_left_the_run_ends_by_itself(start: Start) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("needs /dev/full")
    process = start("synthetic:?size=48x32&live=1", "--jsonl", "/dev/full")
    _, stderr = process.communicate(timeout=100)
    assert process.returncode == 2
    assert "/dev/full could not be written after 0 lines (No space left on device). Free some space" in stderr
    assert "lost:" not in stderr  # there is nothing that goes on


def test_healthz_says_what_was_lost(start: Start) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("needs /dev/full")
    process = start("synthetic:?size=48x32&live=1", "--jsonl", "/dev/full", "--web", 0)
    assert process.stderr is not None
    url = next(line.split("the page is at ")[1].strip() for line in process.stderr if "the page is at " in line)
    reason = ""

    def is_ill() -> bool:
        nonlocal reason
        with contextlib.suppress(urllib.error.HTTPError, OSError):
            urllib.request.urlopen(f"{url}healthz", timeout=10).close()
            return False
        with contextlib.suppress(OSError):
            reason = json.load(urllib.request.urlopen(f"{url}status.json", timeout=10))["reason"]
        return "/dev/full" in reason

    _wait_for(is_ill)
    assert "No space left on device" in reason
    process.send_signal(signal.SIGTERM)
    assert process.wait(100) == 2


def test_a_network_that_never_ends_is_left_behind_with_the_files_closed(
    start: Start, tiny_spec: ModelSpec, tmp_path: Path
) -> None:
    """An ONNX Loop without end, which no signal reaches."""
    video = tmp_path / "out.mp4"
    script = """
import sys
import edgeseg.video.pipeline as pipeline
from edgeseg.cli import main
from edgeseg.video.stage import Segment
pipeline._DRAIN_S, pipeline._STUCK_S = 0.5, 1.5
begin = Segment.begin
def begin_and_tell(self, results):
    print("begun", results[0].frame.index, file=sys.stderr, flush=True)
    begin(self, results)
Segment.begin = begin_and_tell
main()
"""
    process = start(_pictures(tmp_path), "--save", video, script=script, model=_endless(tmp_path, tiny_spec))
    assert process.stderr is not None
    assert "begun 3\n" in iter(process.stderr.readline, "")
    process.send_signal(signal.SIGTERM)
    stdout, stderr = process.communicate(timeout=100)
    assert process.returncode == 2, stderr
    assert "Segment does not return, and was left behind" in stderr
    assert "Traceback" not in stderr
    (account,) = (line for line in stdout.splitlines() if " frames in = " in line)
    taken, processed, dropped = (int(word) for word in account.replace(",", " ").split() if word.isdigit())
    assert (taken, processed) == (processed + dropped, 3)
    assert _frames_of(video) == 3


def _pictures(folder: Path) -> Path:
    """Three dark ones, and one that is bright."""
    pictures = folder / "pictures"
    pictures.mkdir()
    for index, level in enumerate((10, 10, 10, 200)):
        Image.new("RGB", (48, 32), (level, level, level)).save(pictures / f"{index}.png")
    return pictures


def _endless(folder: Path, spec: ModelSpec) -> Path:
    """The tiny model, with a loop that goes on for as long as the picture is bright."""
    onnx = pytest.importorskip("onnx", reason="onnx writes the test model; pip install 'edgeseg[export]'")
    helper, tensor = onnx.helper, onnx.TensorProto
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["going"], ["goes_on"]),
            helper.make_node("Mul", ["value", "one"], ["next"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("turn", tensor.INT64, []),
            helper.make_tensor_value_info("going", tensor.BOOL, []),
            helper.make_tensor_value_info("value", tensor.FLOAT, [1, 3, 4, 6]),
        ],
        [
            helper.make_tensor_value_info("goes_on", tensor.BOOL, []),
            helper.make_tensor_value_info("next", tensor.FLOAT, [1, 3, 4, 6]),
        ],
    )
    nodes = [
        helper.make_node("Cast", ["images"], ["f32"], to=tensor.FLOAT),
        helper.make_node("Transpose", ["f32"], ["nchw"], perm=[0, 3, 1, 2]),
        helper.make_node("AveragePool", ["nchw"], ["pooled"], kernel_shape=[8, 8], strides=[8, 8]),
        helper.make_node("ReduceMax", ["pooled"], ["most"], keepdims=0),
        helper.make_node("Greater", ["most", "bright"], ["is_bright"]),
        helper.make_node("Loop", ["", "is_bright", "pooled"], ["logits"], body=body),
    ]
    values = {"bright": 100.0, "one": 1.0}
    constants = [helper.make_tensor(name, tensor.FLOAT, [], [value]) for name, value in values.items()]
    images = helper.make_tensor_value_info("images", tensor.UINT8, [1, 32, 48, 3])
    logits = helper.make_tensor_value_info("logits", tensor.FLOAT, [1, 3, 4, 6])
    graph = helper.make_graph(nodes, "endless", [images], [logits], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    model.metadata_props.add(key=METADATA_KEY, value=spec.to_json())
    onnx.save(model, folder / "endless.onnx")
    return folder / "endless.onnx"
