"""Some hundreds of damaged and hostile inputs for each thing that edgeseg reads: no traceback, no crash, no hang."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

RUN = Path(__file__).with_name("run.py")

NEEDS = {
    "onnx": "onnx",
    "onnx-quantize": "onnx",
    "onnx-engine": "onnx",
    "spec": "onnx",
    "checkpoint": "torch",
    "commands": "torch",
    "recipe": "torch",
}

COUNTS = {
    "images": 1500,
    "labels": 2500,
    "check": 200,
    "videos": 800,
    "pipe": 500,
    "onnx": 1500,
    "onnx-quantize": 150,
    "onnx-engine": 500,
    "spec": 1000,
    "dataset": 500,
    "sources": 1000,
    "recipe": 1000,
    "record": 1000,
    "soft-labels": 1000,
    "tags": 1000,
    "checkpoint": 100,
    "commands": 200,
    "list": 300,
    "coco": 500,
    "labelme": 400,
    "cvat": 300,
    "label-studio": 500,
    "yolo": 300,
    "roboflow": 300,
    "voc": 300,
    "ade20k": 300,
}


@pytest.mark.parametrize("name", sorted(COUNTS))
def test_nothing_that_is_read_ends_in_a_traceback(name, tmp_path):
    if name in NEEDS:
        pytest.importorskip(NEEDS[name], reason=f"{NEEDS[name]} makes the inputs")
    done = subprocess.run(
        [sys.executable, RUN, "--target", name, "--count", str(COUNTS[name]), "--keep", tmp_path],
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{name}: {COUNTS[name]} inputs, 0 findings" in done.stdout


def test_a_traceback_a_crash_a_hang_and_gigabytes_are_found(tmp_path):
    """The watchman is awake: inputs that are answered badly in each way are told."""
    code = f"""
import ctypes, sys
sys.path[:0] = {[str(RUN.parent), str(RUN.parent.parent / "support")]!r}
import fuzzing
fuzzing.HANG_S = 2.0
from pathlib import Path
seeds = [(".txt", b"good"), (".txt", b"raise"), (".txt", b"crash"), (".txt", b"hang"), (".txt", b"much")]
def feed(path):
    word = path.read_bytes()
    if word == b"raise":
        raise KeyError("x")
    if word == b"crash":
        ctypes.string_at(0)
    if word == b"hang":
        while True:
            pass
    if word == b"much":
        bytearray(fuzzing.MOST_MIB + 200 << 20).replace(b"a", b"b")
outcome = fuzzing.fuzz(fuzzing.Target("own", lambda: seeds, feed), Path({str(tmp_path)!r}), seed=0, count=5)
print(outcome.count, *sorted(finding.content.decode() for finding in outcome.findings))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=280, check=False)
    assert done.stdout.split() == ["5", "crash", "hang", "much", "raise"], done.stderr
