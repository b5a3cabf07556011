"""``edgeseg run`` as a user meets it: a process, its exit code, its lines and its files."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import edgeseg.video  # noqa: F401 - before PyAV, as it explains

# isort: split
import av
import cv2
import numpy as np
import pytest

from edgeseg.spec import ModelSpec
from edgeseg.spec.crf_params import CrfParams
from edgeseg.types import Frame, Result
from edgeseg.video.sinks.mp4 import Mp4Sink


class Done(Protocol):
    """What ``run_cli`` gives."""

    rc: int
    stdout: str
    stderr: str


Cli = Callable[..., Done]
FRAMES = 12


@pytest.fixture
def video(tmp_path: Path) -> Path:
    """Twelve frames, red above blue."""
    rgb_u8 = np.zeros((64, 96, 3), dtype=np.uint8)
    rgb_u8[:32, :, 0] = rgb_u8[32:, :, 2] = 200
    sink = Mp4Sink(tmp_path / "street.mp4")
    for index in range(FRAMES):
        sink.write(Result(Frame(rgb_u8, index, 0.0, pts_s=index / 25)))
    sink.close()
    return tmp_path / "street.mp4"


def _count(path: Path) -> int:
    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(video=0))


def _numbers(pattern: str, text: str) -> tuple[float, ...]:
    match = re.search(pattern, text)
    assert match is not None, text
    return tuple(map(float, match.groups()))


def _assert_mishap(result: Done, *words: str) -> None:
    """Exit code 2 and one line that holds these words."""
    assert result.rc == 2
    errors = [line for line in result.stderr.splitlines() if line.startswith("edgeseg: error:")]
    assert len(errors) == 1
    assert "Traceback" not in result.stderr
    for word in words:
        assert word in errors[0]


def test_a_video_becomes_video_masks_and_a_report(run_cli: Cli, tiny_onnx: Path, video: Path, tmp_path: Path) -> None:
    out, masks = tmp_path / "out.mp4", tmp_path / "masks"
    result = run_cli("run", video, "--model", tiny_onnx, "--save", out, "--save-masks", masks)
    assert result.rc == 0, result.stderr
    assert f"{FRAMES} frames in = {FRAMES} processed + 0 dropped" in result.stdout
    hops = ["capture", "preprocess", "infer", "postprocess", "overlay", "sink", "end to end"]
    found = [line for line in result.stdout.splitlines() if re.search(r"\d+\.\d+ +\d+\.\d+ +\d+\.\d+$", line)]
    assert [re.split(r"  +", line)[0] for line in found] == hops
    assert _count(out) == FRAMES
    files = sorted(masks.iterdir())
    assert [file.name for file in files] == [f"{index:06d}.png" for index in range(FRAMES)]
    mask = cv2.imread(str(files[0]), cv2.IMREAD_UNCHANGED)
    assert (mask[:28] == 0).all()
    assert (mask[36:] == 2).all()


@pytest.mark.parametrize("refine", ["crf", "guided"])
def test_refinement_is_a_step_of_the_report(
    run_cli: Cli, tiny_onnx: Path, video: Path, tmp_path: Path, refine: str
) -> None:
    masks = tmp_path / "masks"
    result = run_cli("run", video, "--model", tiny_onnx, "--refine", refine, "--save-masks", masks, "--threads", 1)
    assert result.rc == 0, result.stderr
    found = [line for line in result.stdout.splitlines() if re.search(r"\d+\.\d+ +\d+\.\d+ +\d+\.\d+$", line)]
    steps = ["capture", "preprocess", "infer", "refine", "postprocess", "sink", "end to end"]
    assert [re.split(r"  +", line)[0] for line in found] == steps
    mask = cv2.imread(str(masks / "000000.png"), cv2.IMREAD_UNCHANGED)
    assert (mask[:28] == 0).all()
    assert (mask[36:] == 2).all()
    notes = [line for line in result.stderr.splitlines() if "edgeseg tune-crf" in line]
    assert len(notes) == (1 if refine == "crf" else 0)


def test_the_note_on_untuned_parameters_is_for_models_without_them(
    run_cli: Cli, write_onnx: Callable[..., Path], tiny_spec: ModelSpec, video: Path, tmp_path: Path
) -> None:
    tuned = write_onnx(tmp_path / "tuned.onnx", spec_json=replace(tiny_spec, crf=CrfParams()).to_json())
    result = run_cli("run", video, "--model", tuned, "--refine", "crf", "--no-show", "--max-frames", "1")
    assert result.rc == 0
    assert "tune-crf" not in result.stderr


def test_a_refinement_that_cannot_be(run_cli: Cli, tiny_onnx: Path, tiny_labels_onnx: Path, video: Path) -> None:
    _assert_mishap(run_cli("run", video, "--model", tiny_onnx, "--refine", "blur"), "no refinement 'blur'", "guided")
    _assert_mishap(run_cli("run", video, "--model", tiny_labels_onnx, "--refine", "crf"), "labels", "--head logits")


def test_labels_give_miou(run_cli: Cli, tiny_onnx: Path, video: Path, tmp_path: Path) -> None:
    labels = tmp_path / "labels"
    labels.mkdir()
    truth = np.full((64, 96), 255, dtype=np.uint8)
    truth[:20], truth[44:54], truth[54:] = 0, 2, 1
    for index in range(FRAMES):
        cv2.imwrite(str(labels / f"{index:03d}.png"), truth)
    result = run_cli("run", "--source", video, "--model", tiny_onnx, "--labels", labels)
    assert result.stdout.rstrip().endswith(f"mIoU 50.00 % over {FRAMES} labelled frames")  # (1 + 1/2 + 0) / 3


def test_the_synthetic_street_runs_without_matching_classes(run_cli: Cli, tiny_onnx: Path) -> None:
    result = run_cli("run", "synthetic:?size=96x64", "--model", tiny_onnx, "--max-frames", "3", "--no-show")
    assert "3 frames in = 3 processed + 0 dropped" in result.stdout
    assert "no mIoU" in result.stderr
    assert "mIoU" not in result.stdout


def test_images_of_mixed_sizes_give_masks_but_no_video(run_cli: Cli, tiny_onnx: Path, tmp_path: Path) -> None:
    images = tmp_path / "images"
    images.mkdir()
    for name, size in {"a": (40, 60), "b": (50, 70)}.items():
        cv2.imwrite(str(images / f"{name}.png"), np.full((*size, 3), 90, dtype=np.uint8))
    masks, out = tmp_path / "masks", tmp_path / "out.mp4"
    assert run_cli("run", images, "--model", tiny_onnx, "--save-masks", masks).rc == 0
    assert cv2.imread(str(masks / "b.png"), cv2.IMREAD_UNCHANGED).shape == (50, 70)
    result = run_cli("run", images, "--model", tiny_onnx, "--save", out)
    _assert_mishap(result, "60x40", "70x50", "save segments or masks")
    assert "2 frames in = 2 processed + 0 dropped" in result.stdout
    assert "Mp4Sink took 1 and missed 1" in result.stdout
    assert _count(out) == 1


def test_a_video_cut_short_is_finished_reported_and_told(
    run_cli: Cli, tiny_onnx: Path, video: Path, tmp_path: Path
) -> None:
    video.write_bytes(video.read_bytes()[:-40])
    out = tmp_path / "out.mp4"
    result = run_cli("run", video, "--model", tiny_onnx, "--save", out)
    _assert_mishap(result, "street.mp4", f"of {FRAMES} frames")
    (processed,) = _numbers(r"(\d+) processed \+ 0 dropped", result.stdout)
    assert 0 < processed < FRAMES
    assert _count(out) == processed


def test_contradictions_and_bad_outputs(run_cli: Cli, tiny_onnx: Path, video: Path, tmp_path: Path) -> None:
    for arguments, words in (
        ((video, "--camera", "0"), ("SOURCE and --camera", "Give one")),
        (("--source", video, "--camera", "0"), ("--source and --camera",)),
        (("--camera", "873"), ("/dev/video873",)),
        ((video, "--save", video), ("is read by this run as well", "another place")),
        ((video, "--save", tmp_path / "none" / "out.mp4"), ("there is no folder",)),
        ((video, "--labels", tmp_path / "none"), ("there is no folder",)),
        ((tmp_path / "none.mp4",), ("there is no file", "none.mp4")),
    ):
        _assert_mishap(run_cli("run", *arguments, "--model", tiny_onnx), *words)
    assert _count(video) == FRAMES


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("uri", ["synthetic:?size=96x64&fps=100&live=1", "synthetic:?size=96x64&frames=99999"])
def test_a_signal_closes_the_files_and_prints_the_report(
    tiny_onnx: Path, tmp_path: Path, uri: str, number: signal.Signals
) -> None:
    out, masks = tmp_path / "out.mp4", tmp_path / "masks"
    command = ["run", uri, "--model", str(tiny_onnx), "--save", str(out), "--save-masks", str(masks), "--no-show"]
    process = subprocess.Popen(
        [sys.executable, "-m", "edgeseg", *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    try:
        while process.poll() is None and not (masks / "000003.png").exists():
            time.sleep(0.01)
        process.send_signal(number)
        stdout, stderr = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 0, stderr
    frames_in, processed, dropped = _numbers(r"(\d+) frames in = (\d+) processed \+ (\d+) dropped", stdout)
    assert frames_in == processed + dropped
    for sink, written in (("Mp4Sink", _count(out)), ("MaskSink", len(list(masks.iterdir())))):
        missed = re.search(rf"{sink} took (\d+) and missed (\d+)", stdout)
        assert written + (int(missed[2]) if missed else 0) == processed
        assert written >= 1
        assert not missed or "live" in uri


def test_help_has_examples(run_cli: Cli) -> None:
    result = run_cli("run", "--help")
    assert "edgeseg run street.mp4 --save labelled.mp4" in result.stdout
    assert "--save-masks" in result.stdout


def test_the_real_video_with_its_labels(run_cli: Cli, data_root: Path, tmp_path: Path) -> None:
    from edgeseg.weights import shipped

    if not shipped():
        pytest.skip("needs a shipped model")
    video, labels = data_root / "videos" / "camvid_0016E5_15fps.mp4", data_root / "camvid" / "val" / "labels"
    result = run_cli("run", video, "--labels", labels, "--save", tmp_path / "out.mp4")
    assert result.rc == 0, result.stderr
    assert "101 frames in = 101 processed + 0 dropped" in result.stdout
    assert _numbers(r"mIoU ([\d.]+) %", result.stdout)[0] > 60


def test_several_sources_at_once(run_cli, tiny_onnx, tmp_path):
    (tmp_path / "list.yaml").write_text("gate: synthetic:?frames=6&size=64x48\nyard: synthetic:?frames=4&size=96x64\n")
    done = run_cli(
        *("run", "--sources", tmp_path / "list.yaml", "--model", tiny_onnx, "--threads", 1),
        *("--save", tmp_path / "out.mp4", "--save-masks", tmp_path / "masks"),
    )
    assert done.rc == 0, done.stderr
    assert "10 frames in = 10 processed + 0 dropped" in done.stdout
    assert "gate: 6 frames in = 6 processed + 0 dropped" in done.stdout
    for name, count in (("gate", 6), ("yard", 4)):
        with av.open(str(tmp_path / f"out-{name}.mp4")) as container:
            assert sum(1 for _ in container.decode(video=0)) == count
        assert len(list((tmp_path / f"masks-{name}").glob("*.png"))) == count


def test_sources_are_named_in_one_way(run_cli, tiny_onnx, tmp_path):
    (tmp_path / "list.yaml").write_text("- synthetic:\n")
    for arguments, message in (
        (("synthetic:", "--camera", 0), "SOURCE and --camera each name a source"),
        (("--sources", tmp_path / "list.yaml", "--source", "synthetic:"), "--source and --sources each name a source"),
        (("synthetic:", "synthetic:", "--labels", tmp_path), "--labels belong to one source"),
    ):
        done = run_cli("run", *arguments, "--model", tiny_onnx)
        assert (done.rc, done.stderr.count("\n")) == (2, 1)
        assert message in done.stderr


def test_frames_that_grew_too_old_are_dropped(run_cli, tiny_onnx):
    done = run_cli("run", "synthetic:?frames=20&size=64x48", "--model", tiny_onnx, "--max-latency-ms", 0)
    assert "20 frames in = 0 processed + 20 dropped" in done.stdout
