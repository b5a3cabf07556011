"""The outputs of a run: never over what it reads, refused before the work, whatever standard streams there are."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import edgeseg.video  # noqa: F401 - before PyAV, as it explains

# isort: split
import av
import numpy as np
import pytest
from PIL import Image

from edgeseg.types import Frame, Result
from edgeseg.video.sinks.mp4 import Mp4Sink
from edgeseg.video.sinks.segmented import SegmentedMp4Sink

pytestmark = pytest.mark.any_python


class Done(Protocol):
    """What ``run_cli`` gives."""

    rc: int
    stdout: str
    stderr: str


Cli = Callable[..., Done]


@pytest.fixture
def folder(tmp_path: Path, tiny_onnx: Path) -> Path:
    """Pictures, labels of theirs, a video, a segment of a recording, a model and a list of sources."""
    for name in ("photos", "gt", "elsewhere"):
        (tmp_path / name).mkdir()
    for index in range(3):
        Image.new("RGB", (48, 32), (index, 0, 200)).save(tmp_path / "photos" / f"p{index}.png")
        Image.fromarray(np.full((32, 48), 2, np.uint8)).save(tmp_path / "gt" / f"p{index}.png")
    for sink in (Mp4Sink(tmp_path / "v.mp4"), SegmentedMp4Sink(tmp_path / "clip-%d.mp4", 1)):
        for index in range(4):
            sink.write(Result(Frame(np.full((32, 48, 3), index, np.uint8), index, 0.0, pts_s=index / 2)))
        sink.close()
    shutil.copy(tiny_onnx, tmp_path / "m.onnx")
    (tmp_path / "sources.yaml").write_text("a: photos\nb: v.mp4\n")
    (tmp_path / "token").write_text("a token that nobody guesses\n")
    for name in ("photos", "gt", "v.mp4", "m.onnx", "sources.yaml"):
        (tmp_path / f"link to {name}").symlink_to(name)
    os.link(tmp_path / "v.mp4", tmp_path / "hard.mp4")
    return tmp_path


@contextmanager
def _untouched(folder: Path) -> Iterator[None]:
    """All files of the folder, links included, are afterwards what they were, and there are no others."""

    def look() -> dict[str, bytes | None]:
        return {str(path): path.read_bytes() if path.is_file() else None for path in sorted(folder.rglob("*"))}

    before = look()
    yield
    assert look() == before


def _assert_refused(done: Done, *words: str) -> None:
    assert done.rc == 2, done.stderr
    assert done.stdout == ""
    errors = [line for line in done.stderr.splitlines() if line.startswith("edgeseg: error:")]
    assert len(errors) == 1, done.stderr
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in errors[0]


@pytest.mark.parametrize(
    "arguments",
    [
        "photos --save-masks photos",
        "photos --save-masks ./elsewhere/../photos",
        "photos --save-masks link\\ to\\ photos",
        "photos/p*.png --save-masks photos",
        "photos/p1.png --save-masks photos",
        "photos --save-masks .",
        "photos --jsonl photos/p1.png",
        "photos/*.png --jsonl photos/p1.png",
        "photos --labels gt --save-masks gt",
        "photos --labels gt --save-masks link\\ to\\ gt",
        "photos --labels link\\ to\\ gt --save-masks gt",
        "photos --labels gt --jsonl gt/p2.png",
        "v.mp4 --jsonl v.mp4",
        "v.mp4 --jsonl elsewhere/../v.mp4",
        "v.mp4 --jsonl link\\ to\\ v.mp4",
        "v.mp4 --jsonl hard.mp4",
        "link\\ to\\ v.mp4 --save v.mp4",
        "hard.mp4 --save v.mp4",
        "--source v.mp4 --save v.mp4",
        "photos v.mp4 --jsonl v.mp4",
        "clip-0.mp4 --save clip-%d.mp4 --segment-secs 1 --segment-keep 1",
        "photos --jsonl m.onnx",
        "photos --jsonl link\\ to\\ m.onnx",
        "photos --jsonl token --web-token-file token --web 0",
        "--sources sources.yaml --jsonl sources.yaml",
        "--sources link\\ to\\ sources.yaml --jsonl sources.yaml",
        "--sources sources.yaml --jsonl photos/p1.png",
        "photos --save o.mp4 --jsonl o.mp4",
        "photos --save o.mp4 --jsonl elsewhere/../o.mp4",
    ],
)
def test_no_output_may_be_what_the_run_reads_or_another_output(run_cli: Cli, folder: Path, arguments: str) -> None:
    words = [word.replace("\0", " ") for word in arguments.replace("\\ ", "\0").split()]
    with _untouched(folder):
        done = run_cli("run", *words, "--model", "m.onnx", cwd=folder)
    _assert_refused(done, "rite to" if "o.mp4" not in arguments else "an output of this run")


def test_standard_input_is_an_input_as_well(folder: Path) -> None:
    with _untouched(folder), (folder / "v.mp4").open("rb") as video:
        command = [sys.executable, "-m", "edgeseg", "run", "-", "--jsonl", "v.mp4", "--model", "m.onnx"]
        done = subprocess.run(command, stdin=video, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "v.mp4 is /dev/stdin, which would be lost" in done.stderr


def test_clips_of_the_users_own_stay(run_cli: Cli, folder: Path) -> None:
    for number in range(4):
        shutil.copy(folder / "v.mp4", folder / f"mine-{number:03d}.mp4")
    before = (folder / "v.mp4").read_bytes()
    done = run_cli(
        *("run", "mine-000.mp4", "--save", "mine-%03d.mp4", "--segment-secs", 0.2, "--segment-keep", 2),
        *("--model", "m.onnx"),
        cwd=folder,
    )
    assert done.rc == 0, done.stderr
    assert all((folder / f"mine-{number:03d}.mp4").read_bytes() == before for number in range(4))
    assert len(list(folder.glob("mine-*.mp4"))) == 4 + 2


def test_photos_in_the_way_of_masks_stay(run_cli: Cli, folder: Path) -> None:
    with _untouched(folder):
        done = run_cli("run", "photos", "--save-masks", "gt", "--model", "m.onnx", cwd=folder)
    assert done.rc == 2
    assert "p0.png is there already, and is no mask that edgeseg has written" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--save", "out.avi"), "out.avi is not an .mp4. Name it .mp4"),
        (("--save", "clip.mp4", "--segment-secs", "1"), "must say once where the number goes"),
        (("--save", "none/out.mp4"), "there is no folder none"),
        (("--save", f"{'x' * 252}.mp4"), "Choose a name of at most 255 bytes"),
        (("--save-masks", "x" * 256), "Choose a name of at most 255 bytes"),
        (("--jsonl", "x" * 256), "Choose a name of at most 255 bytes"),
        (("--jsonl", "gt"), "Choose another name: this is a folder"),
        (("--save-masks", "v.mp4"), "a file stands where a folder must be"),
        (("--jsonl", "v.mp4/x"), "v.mp4/x cannot be written"),
        (("--save", "/proc/out.mp4"), "/proc/out.mp4 cannot be written"),
        (("--web", "0.0.0.0:0"), "--web-token-file"),
        (("--web", "0", "--web-token-file", "none"), "the token in none cannot be read"),
        (("--web", "0", "--web-token-file", "gt"), "the token in gt cannot be read"),
        (("--web", "0", "--web-token-file", "short"), "of at least 16 characters"),
        (("--web", "0", "--web-token-file", "v.mp4"), "v.mp4 is no text"),
    ],
)
def test_what_cannot_be_is_refused_before_the_model_is_loaded(
    run_cli: Cli, folder: Path, arguments: Sequence[str], words: str
) -> None:
    (folder / "bad.onnx").write_bytes(b"no model")  # which would be told if it came to that
    (folder / "short").write_text("x\n")
    with _untouched(folder):
        done = run_cli("run", "photos", *arguments, "--model", "bad.onnx", cwd=folder)
    _assert_refused(done, words)


def test_a_page_without_its_packages_is_refused_before_the_model_is_loaded(folder: Path) -> None:
    (folder / "bad.onnx").write_bytes(b"no model")
    script = "import sys; sys.modules['starlette'] = None; from edgeseg.cli import main; main()"
    command = [sys.executable, "-c", script, "run", "photos", "--web", "0", "--model", "bad.onnx"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 2
    assert "starlette" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_the_shells_list_of_images_is_one_stream_in_the_order_people_count_in(run_cli: Cli, folder: Path) -> None:
    for index in (2, 10, 1):
        shutil.copy(folder / "photos" / "p0.png", folder / f"f_{index}.png")
        shutil.copy(folder / "gt" / "p0.png", folder / "elsewhere" / f"f_{index}.png")
    arguments = ("--model", "m.onnx", "--save-masks", "masks", "--jsonl", "o.jsonl", "--labels", "elsewhere")
    done = run_cli("run", "f_1.png", "f_10.png", "f_2.png", *arguments, cwd=folder)
    assert done.rc == 0, done.stderr
    lines = [json.loads(line) for line in (folder / "o.jsonl").read_text().splitlines()]
    assert [(line["stream"], line["name"], line["index"]) for line in lines] == [
        ("", "f_1", 0),
        ("", "f_2", 1),
        ("", "f_10", 2),
    ]
    assert len(list((folder / "masks").iterdir())) == 3
    assert "mIoU" in done.stdout
    done = run_cli("run", "f_10.png", "f_1.png", "--jsonl", "o.jsonl", "--model", "m.onnx", cwd=folder)
    assert [json.loads(line)["name"] for line in (folder / "o.jsonl").read_text().splitlines()] == ["f_10", "f_1"]


def test_streams_of_alike_names_and_other_scripts_have_files_of_their_own(run_cli: Cli, folder: Path) -> None:
    names = ["двор", "улица", "gate 1", "gate-1", "Gate 1"]
    (folder / "list.yaml").write_text("".join(f"{name}: photos\n" for name in names), encoding="utf-8")
    done = run_cli("run", "--sources", "list.yaml", "--save", "o.mp4", "--model", "m.onnx", cwd=folder)
    assert done.rc == 0, done.stderr
    written = {path.name for path in folder.glob("o-*.mp4")}
    assert written == {"o-двор.mp4", "o-улица.mp4", "o-gate-1.mp4", "o-gate-1-2.mp4", "o-Gate-1-3.mp4"}


def test_a_time_in_a_name_is_no_protocol(run_cli: Cli, folder: Path) -> None:
    name = "2024-11-14T22:57:44.mp4"
    done = run_cli("run", "photos", "--save", name, "--model", "m.onnx", cwd=folder)
    assert done.rc == 0, done.stderr
    with av.open(f"file:{folder / name}") as container:
        assert sum(1 for _ in container.decode(video=0)) == 3


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_standard_streams_harm_nothing(folder: Path, closed: str) -> None:
    """What is opened takes the lowest number that is free: it must not be that of standard error."""
    command = f"exec '{sys.executable}' -m edgeseg run photos --save o.mp4 --jsonl o.jsonl --model m.onnx {closed}"
    done = subprocess.run(["sh", "-c", command], cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert [json.loads(line)["name"] for line in (folder / "o.jsonl").read_text().splitlines()] == ["p0", "p1", "p2"]
    with av.open(str(folder / "o.mp4")) as container:
        assert sum(1 for _ in container.decode(video=0)) == 3
    assert ("3 frames in" in done.stdout) == (">&-" not in closed.replace("2>&-", ""))


def test_lines_for_a_closed_standard_output_are_refused(folder: Path) -> None:
    command = f"exec '{sys.executable}' -m edgeseg run photos --jsonl - --model m.onnx >&-"
    done = subprocess.run(["sh", "-c", command], cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 2
    assert "standard output, which is closed. Name a file" in done.stderr


def test_a_standard_output_that_is_full_is_told(folder: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("needs /dev/full")
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-m", "edgeseg", "run", "photos", "--no-show", "--model", "m.onnx"]
        done = subprocess.run(command, cwd=folder, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 2
    assert "standard output cannot be written (No space left on device)" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("settings", [{"PYTHONIOENCODING": "ascii:strict"}, {"LANG": "C", "LC_ALL": "C"}, {}])
def test_names_that_cannot_be_printed_lose_nothing(folder: Path, settings: dict[str, str]) -> None:
    odd = os.fsencode(folder) + b"/caf\xe9 \xd1\x8f.png"
    shutil.copy(os.fsencode(folder / "photos" / "p0.png"), odd)
    (folder / "o.jsonl").unlink(missing_ok=True)
    command = [sys.executable, "-m", "edgeseg", "run", odd, "--jsonl", "o.jsonl", "--model", "m.onnx"]
    done = subprocess.run(
        command, cwd=folder, capture_output=True, env={**os.environ, **settings}, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert b"1 frames in = 1 processed" in done.stdout
    (line,) = [json.loads(line) for line in (folder / "o.jsonl").read_text(encoding="utf-8").splitlines()]
    assert bytes.fromhex(line["name_hex"]) == b"caf\xe9 \xd1\x8f"


def test_a_token_is_read_from_a_file_and_one_that_is_typed_is_warned_of(folder: Path) -> None:
    command = [sys.executable, "-m", "edgeseg", "run", "photos", "--web", "0.0.0.0:0", "--model", "m.onnx"]
    environment = {key: value for key, value in os.environ.items() if key != "EDGESEG_WEB_TOKEN"}
    token = "a token that nobody guesses"
    for arguments, variable, warned in (
        (["--web-token-file", "token"], None, False),
        (["--web-token", token], None, True),
        ([], token, False),
    ):
        given = {**environment, **({"EDGESEG_WEB_TOKEN": variable} if variable else {})}
        done = subprocess.run(
            [*command, *arguments], cwd=folder, env=given, capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, done.stderr
        assert ("list of processes" in done.stderr) == warned
    both = [*command, "--web-token", token, "--web-token-file", "token"]
    done = subprocess.run(both, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 2
    assert "each give a token" in done.stderr


def test_pipelines_of_gstreamer_can_be_forbidden(run_cli: Cli, folder: Path) -> None:
    done = run_cli("run", "gst:videotestsrc ! appsink", "--no-gst", "--no-show", "--model", "m.onnx", cwd=folder)
    _assert_refused(done, "not allowed")


def test_ctrl_c_ends_a_model_that_takes_for_ever_to_load(folder: Path) -> None:
    """A native call that does not return, on the main thread: Python's own handler would wait for its end."""
    script = """
import ctypes, sys
import edgeseg.cli.run as run
def open_model(*_):
    print("loading", flush=True)
    ctypes.CDLL(None).pause()
    ctypes.PyDLL(None).pause()
run.open_model = open_model
from edgeseg.cli import main
main()
"""
    command = [sys.executable, "-c", script, "run", "photos", "--no-show", "--model", "m.onnx"]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "loading\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == -signal.SIGINT


def test_a_cv2_of_the_current_folder_is_not_run(folder: Path) -> None:
    """The window's trial is a process of its own, and must not take what lies about for OpenCV."""
    (folder / "cv2.py").write_text("open('was run', 'w').close()\n")
    (folder / "numpy.py").write_text("open('was run', 'w').close()\n")
    script = "import sys; sys.path[:1] = []; from edgeseg.video.sinks.window import display_works; display_works()"
    repository = Path(__file__).resolve().parents[3]
    environment = {**os.environ, "DISPLAY": ":987", "PYTHONPATH": str(repository)}
    subprocess.run([sys.executable, "-c", script], cwd=folder, env=environment, timeout=120, check=True)
    assert not (folder / "was run").exists()
