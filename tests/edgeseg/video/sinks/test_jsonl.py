"""Lines of JSON: what they say, that they keep to their schema, and what becomes of them when writing fails."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeseg.errors import InputError, SinkError
from edgeseg.run_config import Masks
from edgeseg.spec import ModelSpec
from edgeseg.types import Frame, LabelsU8, Result, Segmentation
from edgeseg.video.sinks.base import ReaderGone
from edgeseg.video.sinks.jsonl import SCHEMA_VERSION, JsonLinesSink

SPEC = ModelSpec(network="none", class_names=("Straße", "tree", "car"))
SCHEMA = json.loads((Path(__file__).parents[4] / "docs" / "results.schema.json").read_text())
LABELS = np.array([[0, 0, 1, 1], [0, 255, 2, 1]], np.uint8)


def _result(index: int = 0, *, labels: LabelsU8 = LABELS, **more: Any) -> Result:
    stream = more.pop("stream", "")
    frame = Frame(np.zeros((*labels.shape, 3), np.uint8), index, more.pop("captured_s", time.monotonic()), **more)
    return Result(frame, segmentation=Segmentation(labels, SPEC), latency_ms={"infer": 1.23456}, stream=stream)


def _read(path: Path) -> list[dict[str, Any]]:
    text = path.read_text(encoding="utf-8")
    assert text.endswith("\n")
    return [json.loads(line) for line in text.splitlines()]


def _assert_valid(line: dict[str, Any]) -> None:
    jsonschema = pytest.importorskip("jsonschema", reason="checks the lines; pip install jsonschema")
    jsonschema.Draft202012Validator(SCHEMA).validate(line)
    assert set(line) <= set(SCHEMA["properties"]), "a key that the schema does not explain"


def test_the_schema_is_a_schema_of_this_version() -> None:
    jsonschema = pytest.importorskip("jsonschema", reason="checks the schema; pip install jsonschema")
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    assert SCHEMA["properties"]["schema"]["const"] == SCHEMA_VERSION


@pytest.mark.parametrize("masks", ["none", "rle", "polygons"])
def test_lines_keep_to_the_schema(tmp_path: Path, masks: Masks) -> None:
    sink = JsonLinesSink(tmp_path / "out.jsonl", masks=masks)
    sink.write(_result(0))
    sink.write(_result(1, pts_s=0.04, stream="gate 2"))
    sink.write(_result(2, name="street", labels=np.full((3, 5), 255, np.uint8)))
    sink.close()
    lines = _read(tmp_path / "out.jsonl")
    assert len(lines) == 3
    for line in lines:
        _assert_valid(line)


def test_a_line_says_what_and_when(tmp_path: Path) -> None:
    an_hour_ago = datetime.now(timezone.utc) - timedelta(hours=1)
    sink = JsonLinesSink(tmp_path / "out.jsonl")
    sink.write(_result(17, pts_s=0.68, stream="gate", name="a", captured_s=time.monotonic() - 3600))
    sink.close()
    (line,) = _read(tmp_path / "out.jsonl")
    captured = datetime.fromisoformat(line.pop("time").replace("Z", "+00:00"))
    assert abs(captured - an_hour_ago) < timedelta(minutes=1)
    assert line == {
        "schema": 1,
        "stream": "gate",
        "index": 17,
        "name": "a",
        "pts_s": 0.68,
        "size": [2, 4],
        "areas": {"Straße": 0.375, "tree": 0.375, "car": 0.125},  # the rest has no label
        "latency_ms": {"infer": 1.235},
    }


@pytest.mark.parametrize(
    ("raw", "text"), [(b"caf\xe9 1", "caf\ufffd 1"), (b"\xff\xfe", "\ufffd\ufffd"), ("Straße 😀".encode(), "Straße 😀")]
)
def test_names_that_are_not_utf_8_are_told_in_valid_json_and_lose_nothing(
    tmp_path: Path, raw: bytes, text: str
) -> None:
    sink = JsonLinesSink(tmp_path / "out.jsonl")
    sink.write(_result(name=os.fsdecode(raw), stream=os.fsdecode(raw)))
    sink.close()
    (tmp_path / "out.jsonl").read_text(encoding="utf-8")  # strict
    (line,) = _read(tmp_path / "out.jsonl")
    _assert_valid(line)
    for key in ("name", "stream"):
        assert line[key] == text
        assert bytes.fromhex(line.get(f"{key}_hex", text.encode().hex())) == raw


def test_text_that_stands_for_no_file_is_told_as_well(tmp_path: Path) -> None:
    sink = JsonLinesSink(tmp_path / "out.jsonl")
    sink.write(_result(name="\ud800x"))
    sink.close()
    (line,) = _read(tmp_path / "out.jsonl")
    assert bytes.fromhex(line["name_hex"]).decode("utf-8", "surrogatepass") == "\ud800x"


def test_masks_are_of_the_classes_in_sight(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    found = {}
    for masks in ("rle", "polygons"):
        sink = JsonLinesSink(path, masks=masks)  # type: ignore[arg-type]
        sink.write(_result(labels=np.array([[255] * 4, [255, 255, 2, 255]], np.uint8)))
        sink.close()
        (mask,) = _read(path)[0]["masks"]
        assert (mask["class"], mask["category_id"]) == ("car", 2)
        found[masks] = mask["segmentation"]
    assert found["rle"] == {"size": [2, 4], "counts": "512"}
    (polygon,) = found["polygons"]
    assert sorted(zip(polygon[::2], polygon[1::2], strict=True)) == [(2, 1), (2, 2), (3, 1), (3, 2)]


def test_each_line_can_be_read_at_once(tmp_path: Path) -> None:
    sink = JsonLinesSink(tmp_path / "out.jsonl")
    for index in range(3):
        sink.write(_result(index))
        assert [line["index"] for line in _read(tmp_path / "out.jsonl")] == list(range(index + 1))
    sink.close()


def test_an_older_file_is_left_alone_until_the_first_frame(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    path.write_text('{"of": "yesterday"}\n')
    JsonLinesSink(path).close()
    assert path.read_text() == '{"of": "yesterday"}\n'
    sink = JsonLinesSink(path)
    sink.write(_result(5))
    sink.close()
    assert [line["index"] for line in _read(path)] == [5]


def test_a_named_pipe_is_read_to_its_end_and_may_be_left_early(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    sink = JsonLinesSink(pipe)
    first: list[str] = []

    def read_one() -> None:
        with pipe.open() as lines:
            first.append(lines.readline())

    reader = threading.Thread(target=read_one)
    reader.start()
    sink.write(_result(0))
    reader.join()
    assert json.loads(first[0])["index"] == 0
    with pytest.raises(ReaderGone, match=r"nobody reads .*pipe any more"):
        sink.write(_result(1))
    sink.close()


def test_where_no_more_fits_whole_lines_are_left(tmp_path: Path) -> None:
    """A limit on the size of files cuts a write in two, as a full disk does."""
    pytest.importorskip("resource", reason="needs a system with limits on processes")
    script = f"""
import resource
import numpy as np
from edgeseg.errors import SinkError
from edgeseg.spec import ModelSpec
from edgeseg.types import Frame, Result, Segmentation
from edgeseg.video.sinks.jsonl import JsonLinesSink
resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
segmentation = Segmentation(np.zeros((4, 4), np.uint8), ModelSpec(network="none", class_names=("a", "b")))
sink = JsonLinesSink({str(tmp_path / "out.jsonl")!r})
try:
    for index in range(100):
        sink.write(Result(Frame(np.zeros((4, 4, 3), np.uint8), index, 0.0), segmentation=segmentation))
except SinkError as error:
    print(error)
sink.close()
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    lines = _read(tmp_path / "out.jsonl")
    assert 3 < len(lines) < 100
    assert f"out.jsonl could not be written after {len(lines)} lines (File too large)" in done.stdout


def test_what_cannot_be_is_refused_before_the_run(tmp_path: Path) -> None:
    (tmp_path / "folder.jsonl").mkdir()
    for name, message in {"missing/out.jsonl": "there is no folder", "folder.jsonl": "cannot be written"}.items():
        with pytest.raises(SinkError, match=message):
            JsonLinesSink(tmp_path / name)
    with pytest.raises(InputError, match="no masks 'png'"):
        JsonLinesSink(tmp_path / "out.jsonl", masks="png")  # type: ignore[arg-type]
    assert [path.name for path in tmp_path.iterdir()] == ["folder.jsonl"]


def test_a_frame_without_labels_has_no_line(tmp_path: Path) -> None:
    sink = JsonLinesSink(tmp_path / "out.jsonl")
    with pytest.raises(InputError, match="no JSON line"):
        sink.write(Result(Frame(np.zeros((2, 2, 3), np.uint8), 0, 0.0)))
    sink.close()
    with pytest.raises(SinkError, match="is closed"):
        sink.write(_result(0))


def test_on_stdout_there_is_nothing_but_lines(run_cli: Callable[..., Any], tiny_onnx: Path) -> None:
    done = run_cli(
        "run", "synthetic:?frames=5&size=64x48", "--model", tiny_onnx, "--jsonl", "-", "--jsonl-masks", "rle"
    )
    assert done.rc == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["index"] for line in lines] == list(range(5))
    for line in lines:
        _assert_valid(line)
        assert line["size"] == [48, 64]
        assert sum(line["areas"].values()) == pytest.approx(1, abs=1e-5)
        assert line["masks"]
    assert "5 frames in = 5 processed + 0 dropped" in done.stderr


def test_streams_share_the_file_and_are_told_apart(
    run_cli: Callable[..., Any], tiny_onnx: Path, tmp_path: Path
) -> None:
    (tmp_path / "streams.yaml").write_text(
        "left: 'synthetic:?frames=3&size=64x48&seed=1'\nright: 'synthetic:?frames=3&size=48x32&seed=2'\n"
    )
    out = tmp_path / "out.jsonl"
    done = run_cli("run", "--sources", tmp_path / "streams.yaml", "--model", tiny_onnx, "--jsonl", out)
    assert done.rc == 0, done.stderr
    for stream, size in {"left": [48, 64], "right": [32, 48]}.items():
        lines = [line for line in _read(out) if line["stream"] == stream]
        assert [line["index"] for line in lines] == [0, 1, 2]
        assert all(line["size"] == size for line in lines)


def test_a_reader_that_has_seen_enough_ends_the_run_in_good_order(tiny_onnx: Path) -> None:
    command = [sys.executable, "-m", "edgeseg", "run", "synthetic:?frames=100000&size=64x48", "--jsonl", "-"]
    with subprocess.Popen(
        [*command, "--model", str(tiny_onnx)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert json.loads(process.stdout.readline())["index"] == 0
        process.stdout.close()
        said = process.stderr.read()
        assert process.wait(60) == 0, said
    assert "Traceback" not in said
    assert "BrokenPipe" not in said
