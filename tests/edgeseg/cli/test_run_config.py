"""``edgeseg run --config run.yaml``: the file says what flags say, and flags win over it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
import pytest
from PIL import Image

import edgeseg


class Done(Protocol):
    """What ``run_cli`` gives."""

    rc: int
    stdout: str
    stderr: str


RunFile = Callable[..., Done]


@pytest.fixture
def run_file(run_cli: Callable[..., Done], tiny_onnx: Path, tmp_path: Path) -> RunFile:
    """``run_file("jsonl: o.jsonl", "--threads", 1)`` runs a file of these lines, which need not name a model.

    There are folders of three pictures, ``gate`` and ``yard``.
    """
    for folder in ("gate", "yard"):
        (tmp_path / folder).mkdir()
        for index in range(3):
            Image.new("RGB", (64, 48), (80 * index, 0, 200)).save(tmp_path / folder / f"{index}.png")

    def run(text: str, *words: object) -> Done:
        (tmp_path / "run.yaml").write_text(f"{text}\nmodel: {tiny_onnx}\n")
        return run_cli("run", "--config", "run.yaml", *words, cwd=tmp_path)

    return run


def _streams(path: Path) -> list[str]:
    return [json.loads(line)["stream"] for line in path.read_text().splitlines()]


def test_every_kind_of_key(run_file: RunFile, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("a token that nobody guesses\n")
    done = run_file("""
sources:
  gate: gate
  yard: yard
backend: ort
threads: 1
refine: guided
temporal: true
opacity: 1
max_frames: 2
drop_policy: none
show: false
save: clip-%d.mp4
segment_secs: 60
segment_keep: 2
save_masks: masks
jsonl: o.jsonl
jsonl_masks: rle
web: 0.0.0.0:0
web_token_file: token
camera:
""")
    assert done.rc == 0, done.stderr
    assert "4 frames in = 4 processed + 0 dropped" in done.stdout
    assert "backend" not in done.stderr  # it is asked for, not chosen
    assert "the page is at" in done.stderr
    assert {"temporal", "refine", "overlay"} <= {line.split(" ")[0] for line in done.stdout.splitlines()}
    assert sorted(_streams(tmp_path / "o.jsonl")) == ["gate"] * 2 + ["yard"] * 2
    assert '"counts"' in (tmp_path / "o.jsonl").read_text()
    assert len(list(tmp_path.glob("clip-*.mp4"))) == 2
    assert {path.name for path in tmp_path.glob("masks*")} == {"masks-gate", "masks-yard"}


def test_a_list_of_sources_and_a_file_of_them(run_file: RunFile, tmp_path: Path) -> None:
    (tmp_path / "list.yaml").write_text("a: gate\nb: gate\n")
    for lines, streams in (
        ("source: gate", [""]),
        ("source:\n  - gate\n  - gate", ["gate", "gate 2"]),
        ("sources: list.yaml", ["a", "b"]),
    ):
        done = run_file(f"{lines}\njsonl: o.jsonl\nmax_frames: 1")
        assert done.rc == 0, done.stderr
        assert sorted(_streams(tmp_path / "o.jsonl")) == streams


def test_flags_win_over_the_file(run_file: RunFile, tmp_path: Path) -> None:
    lines = "sources: {gate: gone.mp4, yard: gone.mp4}\nmax_frames: 3\njsonl: o.jsonl\nsave_masks: masks\ngst: false"
    done = run_file(lines, "gate", "--max-frames", 2, "--jsonl", "other.jsonl")
    assert done.rc == 0, done.stderr
    assert _streams(tmp_path / "other.jsonl") == ["", ""]
    assert len(list((tmp_path / "masks").iterdir())) == 2
    assert not (tmp_path / "o.jsonl").exists()
    done = run_file("trust_engine: true\nshow: true\nsource: gone.mp4", "--source", "also-gone.mp4", "--no-show")
    assert "there is no file also-gone.mp4" in done.stderr
    done = run_file("gst: false\nsource: gst:videotestsrc ! appsink\nshow: false")
    assert "not allowed" in done.stderr


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sourcs: a.mp4", "run.yaml: unknown key 'sourcs'. Allowed are backend, bit_depth, camera,"),
        ("opacity: 2", "run.yaml: opacity is 2. Give at most 1."),
        ("threads: many", "run.yaml: threads is 'many'. Give a whole number."),
        ("on_lost: cry", "run.yaml: on_lost is 'cry'. Use one of wait, exit."),
        ("show: maybe", "run.yaml: show is 'maybe'. Give true or false."),
        ("save: [a]", "run.yaml: save is not what it can be. Give a path."),
        ("web: [8080]", "run.yaml: web is no address. Give [HOST:]PORT."),
        ("source: [1]", "run.yaml: source is no source. Give a SOURCE, or a list of some."),
        ("sources: {a: 1}", "run.yaml: sources lists no sources. Write one 'name: SOURCE' a line"),
        ("sources: {a: x.mp4, 'a ': y.mp4}", "sources names two streams a. Give each a name of its own."),
        ("source: a.mp4\ncamera: 0", "SOURCE and --camera each name a source. Give one of them."),
        ("segment_secs: 3", "--segment-secs belongs to --save. Add --save, or leave --segment-secs out."),
        ("sink: mqtt:gate", "--sink mqtt is not known. Write NAME:WHAT, with"),
        ("refine: blur", "there is no refinement 'blur'."),
        ("jsonl: run.yaml\nsource: gate", "run.yaml is read by this run as well"),
        ("jsonl: ./run.yaml\nsource: gate", "run.yaml is read by this run as well"),
    ],
)
def test_what_is_wrong_is_one_line(run_file: RunFile, tmp_path: Path, text: str, message: str) -> None:
    done = run_file(text)
    assert (done.rc, done.stdout) == (2, "")
    errors = [line for line in done.stderr.splitlines() if line.startswith("edgeseg: error:")]
    assert len(errors) == 1, done.stderr
    assert message in errors[0]
    assert "Traceback" not in done.stderr


def test_a_token_of_the_file_guards_the_page_and_is_never_shown(run_file: RunFile) -> None:
    secret = "hunter2-that-nobody-guesses"
    page = "source: gate\nmax_frames: 1\nweb: 0.0.0.0:0\n"
    done = run_file(f"{page}web_token: {secret}")
    assert done.rc == 0, done.stderr
    assert "list of processes" not in done.stderr
    shown = done.stdout + done.stderr
    for text in (
        f"web_token: [{secret}]",
        f"web_token: '{secret}",
        f"web_token: {secret}\nweb_token_file: f",
        "web: 0.0.0.0:0",
    ):
        done = run_file(text)
        assert done.rc == 2
        shown += done.stderr
    assert "--web-token and --web-token-file each give a token" in shown
    assert "hunter2" not in shown
    assert run_file(f"{page}web_token: short").rc == 2


def test_python_and_the_command_line_do_the_same(run_cli: Callable[..., Done], tiny_onnx: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    (tmp_path / "photos").mkdir()
    for index in range(3):
        Image.fromarray(rng.integers(0, 256, (48, 64, 3), np.uint8)).save(tmp_path / "photos" / f"{index}.png")
    source = tmp_path / "photos"
    done = run_cli("run", source, "--model", tiny_onnx, "--save-masks", tmp_path / "a", "--refine", "guided")
    assert done.rc == 0, done.stderr
    report = edgeseg.run(edgeseg.RunConfig(source, model=tiny_onnx, save_masks=tmp_path / "b", refine="guided"))
    assert (report.frames_in, report.processed) == (3, 3)
    assert len(list((tmp_path / "a").iterdir())) == 3
    for path in (tmp_path / "a").iterdir():
        one, other = (cv2.imread(str(tmp_path / folder / path.name), cv2.IMREAD_UNCHANGED) for folder in "ab")
        assert np.array_equal(one, other)
