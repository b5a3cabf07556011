"""Every snippet of the documentation does what it says.

Python runs as it stands. Each command of edgeseg is parsed by the command line itself, and run on small files that stand
in for the reader's, unless ``ONLY_PARSED`` says what it lacks here. Cameras are a rendered street, network cameras a
real server. What is written for other programs is held against what this repository knows of them. A snippet that no
rule covers fails.
"""

from __future__ import annotations

import ast
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import yaml
from PIL import Image
from snippets import Command, Snippet, commands_of, extras_in, inline_code_of, snippets_of
from stream_servers import MjpegServer

REPOSITORY = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted(
    path
    for pattern in ("*.md", "docs/**/*.md", "edgeseg/weights/*.md")
    for path in REPOSITORY.glob(pattern)
    if path.name not in {"CHANGELOG.md", "LICENSE.md"}
)
SNIPPETS = [snippet for document in DOCUMENTS for snippet in snippets_of(REPOSITORY, document)]
INLINE = sorted({(str(d.relative_to(REPOSITORY)), code) for d in DOCUMENTS for code in inline_code_of(d)})

STREET = "synthetic:?size=64x48&live=1"
"""Stands in for a camera."""
TOKEN = "a-token-for-the-tests-4f1c9be2d07a65"

ONLY_PARSED = {
    r"--backend tensorrt|\.engine\b|--format tensorrt": "needs TensorRT and a GPU; tests/export/test_engine.py",
    r"--target tensorrt": "the artifact for TensorRT; tests/edgeseg/cli/test_quantize.py",
    r"csi://": "needs a Jetson's camera",
    r"gst:": "needs an OpenCV with GStreamer",
    r"v4l2://": "needs that very camera; tests/edgeseg/video/test_camera_source.py",
    r"stdin:|\brun -(\s|$)": "reads a pipe of raw video; tests/edgeseg/video/test_stdin_source.py",
    r"rtsps:": "needs that very camera; tests/edgeseg/video/test_network_source.py",
    r"raspberrypi\.local": "needs that very camera; tests/edgeseg/video/test_network_source.py",
    r"train --qat": "takes a minute; tests/edgeseg/train/test_qat.py",
    r"train .*--resume": "needs a run that was killed; tests/edgeseg/cli/test_train.py",
    r"--weights ": "needs weights of that name; tests/edgeseg/cli/test_train.py",
    r"--config ": "needs a recipe of that name; tests/edgeseg/cli/test_train.py",
    r"\bVERB\b|…|\.\.\.": "stands for any",
}
"""What a command must match to be parsed only, and why it is not run."""

OTHER_PROGRAMS = {
    "trtexec": "TensorRT's",
    "compute-sanitizer": "CUDA's",
    "curl": "a viewer of the page",
    "jq": "reads the lines of JSON",
    "ffmpeg": "makes raw video",
    "rpicam-vid": "a Raspberry Pi's",
    "openssl": "asks a camera for its certificate",
    "your_program": "the reader's",
    "echo": "the shell's",
    "cat": "the shell's",
    "for": "the shell's",
    "do": "the shell's",
    "done": "the shell's",
    ".": "the shell's",
    "systemctl": "systemd's",
    "docker": "Docker's",
}
"""Whose commands are not tried here."""

PYTHON_NEEDS = {"pydensecrf": "pydensecrf", "pandas": "pandas", "pycocotools": "pycocotools", "torch": "torch"}

PREPARED = """
import itertools
import numpy as np
rng = np.random.default_rng(0)
image = rng.integers(0, 256, (360, 480, 3), dtype=np.uint8)
probabilities = rng.random((11, 360, 480), dtype=np.float32)
probabilities /= probabilities.sum(axis=0)
frames = [(probabilities, image)] * 2
import edgeseg

class _MySink:
    def write(self, result): pass
    def close(self): pass

my_sink = _MySink()
"""
"""What the reader of a Python snippet is taken to have."""


def write_video(path: Path, frames: int = 6) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for index in range(frames):
            picture = np.full((48, 64, 3), 30 * index, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())


def write_data(folder: Path, names: list[str], count: int = 3) -> None:
    """A data set of blocks of colour with a train and a val split."""
    rng = np.random.default_rng(0)
    for split in ("train", "val"):
        for kind in ("images", "labels"):
            (folder / split / kind).mkdir(parents=True)
        for index in range(count):
            labels = np.kron(rng.permutation(24).reshape(4, 6) % len(names), np.ones((16, 16))).astype(np.uint8)
            image = (labels[..., None] * np.array([9, 21, 15]) + rng.integers(0, 30, (*labels.shape, 3))) % 256
            Image.fromarray(image.astype(np.uint8)).save(folder / split / "images" / f"{index}.png")
            Image.fromarray(labels).save(folder / split / "labels" / f"{index}.png")
    splits = {split: {"images": f"{split}/images", "labels": f"{split}/labels"} for split in ("train", "val")}
    (folder / "dataset.yaml").write_text(yaml.safe_dump({"names": names, "splits": splits}))


@pytest.fixture(scope="session")
def camera() -> Iterator[str]:
    """A network camera that serves Motion JPEG."""
    server = MjpegServer()
    yield server.uri()
    server.kill()


@pytest.fixture(scope="session")
def home(
    tmp_path_factory: pytest.TempPathFactory,
    convnet: Path,
    convnet_data: Path,
    camera: str,
    run_cli: Callable[..., Any],
) -> Path:
    """A folder with a small stand-in for every file that the documentation speaks of."""
    from edgeseg.weights import shipped

    home = tmp_path_factory.mktemp("reader")
    write_video(home / "street.mp4")
    (home / "photos").mkdir()
    for index in range(2):
        Image.new("RGB", (60, 40), (90 * index, 80, 70)).save(home / "photos" / f"{index}.jpg")
    for folder in ("street/labels", "masks", "truth"):
        (home / folder).mkdir(parents=True)
        for index in range(6):
            Image.new("L", (64, 48), index % 3).save(home / folder / f"{index}.png")
    shutil.copytree(convnet_data, home / "my_data")
    shipped_float = next(model for model in shipped() if model.name == "fast_scnn-camvid")
    names = shipped_float.spec.class_names if hasattr(shipped_float, "spec") else None
    if names is None:
        from edgeseg.segmenter import Segmenter

        with Segmenter.open("fast_scnn-camvid") as segmenter:
            names = segmenter.spec.class_names
    write_data(home / "camvid", list(names))
    for name in ("model", "street", "tuned", "mine", "int8", "A", "B"):
        shutil.copy(convnet, home / f"{name}.onnx")
    (home / "cameras.yaml").write_text(yaml.safe_dump({"gate": camera, "yard": STREET}))
    done = run_cli(
        *("run", "street.mp4", "--jsonl", "frames.jsonl", "--jsonl-masks", "rle", "--no-show"),
        cwd=home,
    )
    assert done.rc == 0, done.stderr
    return home


@pytest.fixture(scope="session")
def checkpoint(home: Path) -> Path:
    """``runs/mine/model.pt``, of the classes of my_data, untrained."""
    torch = pytest.importorskip("torch", reason="a checkpoint needs torch; pip install '.[train]'")
    from edgeseg.models.checkpoint import save_network
    from edgeseg.models.registry import build
    from edgeseg.spec import ModelSpec

    torch.manual_seed(0)
    path = home / "runs" / "mine" / "model.pt"
    path.parent.mkdir(parents=True)
    spec = ModelSpec(
        network="fast_scnn",
        class_names=("red", "green", "blue"),
        colors=((255, 0, 0), (0, 255, 0), (0, 0, 255)),
        input_size=(32, 64),
        output="logits",
        stride=8,
        data="none",
        license="Apache-2.0",
    )
    save_network(path, build("fast_scnn", 3).eval(), spec)
    return path


def parse(words: list[str]) -> None:
    """As the command line does, up to the verb's own work."""
    import click
    import typer

    from edgeseg.cli import _build

    command: Any = typer.main.get_command(_build())
    try:
        with command.make_context("edgeseg", words[:1]):
            verb = command.commands[words[0]]
            verb.make_context(words[0], list(words[1:]))
    except KeyError:
        pytest.fail(f"there is no verb {words[0]}")
    except click.exceptions.Exit:
        pass  # --help, --version
    except click.exceptions.ClickException as error:
        pytest.fail(f"edgeseg {' '.join(words)}: {error.format_message()}")


def substituted(words: list[str], camera: str) -> list[str]:
    """The command with what stands in for cameras, windows and ports, and an end."""
    command = [TOKEN if word == "$TOKEN" else word for word in words]
    for index, word in enumerate(command):
        if re.match(r"(rtsp|http)://", word):
            command[index] = camera
        if word == "--show":
            command[index] = "--no-show"
        if word == "--web":
            command[index + 1] = "0.0.0.0:0" if "0.0.0.0" in command[index + 1] else "127.0.0.1:0"
        if word == "--camera":
            command[index : index + 2] = ["--source", STREET]
    verb = command[0]
    if verb == "run":
        # What follows wins over what is written.
        shown = {"--web", "--save", "--save-masks", "--jsonl", "--show", "--no-show"} & set(command)
        return [*command, "--max-frames", "3", *([] if shown else ["--no-show"])]
    if verb == "train":
        small = ["--epochs", "1", "--height", "64", "--width", "96", "--batch-size", "2", "--output", "runs/new"]
        return [*command, *small, "--device", "cpu", "--workers", "0"]
    if verb == "quantize":
        return [*command, "--max-loss", "100"]
    if verb == "compare":
        return [f"{word}.onnx" if word in {"A", "B"} else word for word in command]
    return command


def only_parsed(words: list[str]) -> str:
    """Why a command is not run; empty where it is."""
    text = " ".join(words)
    return next((why for pattern, why in ONLY_PARSED.items() if re.search(pattern, text)), "")


@pytest.fixture(scope="session")
def run_edgeseg(home: Path, camera: str, run_cli: Callable[..., Any], request: Any) -> Callable[[list[str]], None]:
    """``run_edgeseg(words)`` runs a command of the documentation, once however often it is written."""
    done: set[tuple[str, ...]] = set()

    def run(words: list[str]) -> None:
        if any(word.endswith(".pt") for word in words) or words[0] in {"train"}:
            request.getfixturevalue("checkpoint")
        command = substituted(words, camera)
        if tuple(command) in done:
            return
        result = run_cli(*command, cwd=home)
        assert result.rc == 0, f"edgeseg {' '.join(command)}\n{result.stdout}{result.stderr}"
        assert "Traceback" not in result.stderr
        done.add(tuple(command))

    return run


def check_command(command: Command, run_edgeseg: Callable[[list[str]], None]) -> None:
    words = list(command.words)
    if words[0] == "sudo":
        del words[0]
    program = words[0].removeprefix(".venv/bin/")
    if program == "edgeseg":
        parse(words[1:])
        if not only_parsed(words):
            run_edgeseg(words[1:])
    elif program == "make":
        check_make([word for word in words[1:] if "=" not in word])
    elif program in {"apt", "apt-get"}:
        assert words[1] in {"install", "update"}
        assert all(re.fullmatch(r"[a-z0-9][a-z0-9.+-]+", word) for word in words[2:])
    elif program in {"pip", "pip3"}:
        check_pip(words[1:])
    elif program in {"python", "python3"}:
        check_python(words[1:])
    elif program.endswith("/edgeseg_bench"):
        assert "edgeseg_bench" in (REPOSITORY / "kernels/bench/CMakeLists.txt").read_text()
    else:
        assert program in OTHER_PROGRAMS, f"no rule for {command}"


def check_make(targets: list[str]) -> None:
    makefile = (REPOSITORY / "Makefile").read_text()
    for target in targets:
        assert re.search(rf"^{re.escape(target)}:", makefile, re.MULTILINE), f"make has no {target}"


def check_pip(words: list[str]) -> None:
    assert words[0] in {"install", "uninstall"}
    project = (REPOSITORY / "pyproject.toml").read_text()
    for word in words[1:]:
        for extra in extras_in(word):
            assert re.search(rf"^{re.escape(extra)} = \[", project, re.MULTILINE), f"there is no extra {extra}"
        if word.startswith("cmake.define."):
            option = word.removeprefix("cmake.define.").partition("=")[0]
            known = (REPOSITORY / "CMakeLists.txt").read_text() + (REPOSITORY / "kernels/CMakeLists.txt").read_text()
            modules = "".join(path.read_text() for path in (REPOSITORY / "kernels/cmake").glob("*.cmake"))
            assert option in known + modules, f"CMake has no {option}"
        if word.endswith(".txt"):
            assert (REPOSITORY / word).is_file()
        # The project lies on no index: what is installed by its bare name finds nothing, or someone else's.
        assert not word.startswith("edgeseg"), f"pip {' '.join(words)} finds nothing on an index: name the clone"


def check_python(words: list[str]) -> None:
    if words[0] == "-m":
        assert importlib.util.find_spec(words[1]) is not None
    elif words[0] == "-c":
        done = subprocess.run([sys.executable, "-c", words[1]], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    else:
        script = (REPOSITORY / words[0]).read_text()
        for word in words[1 : words.index("--") if "--" in words else None]:
            if word.startswith("--"):
                assert f'"{word}"' in script, f"{words[0]} has no {word}"
        if "--" in words:
            parse(["run", *words[words.index("--") + 1 :]])


def in_language(*languages: str) -> list[Any]:
    return [pytest.param(s, id=str(s)) for s in SNIPPETS if s.language in languages]


def test_all_snippets_are_of_a_language_that_is_tried() -> None:
    assert SNIPPETS
    assert {snippet.language for snippet in SNIPPETS} <= {"sh", "python", "yaml", "json", "", "ini", "dockerfile"}
    shell = re.compile(r"^\s*(\.venv/bin/)?(edgeseg|pip|python3?|make|sudo) [a-z'-]", re.MULTILINE)
    for snippet in SNIPPETS:
        if not snippet.language:
            assert not shell.search(snippet.code), f"{snippet}: a command in a block of no language"


@pytest.mark.parametrize("snippet", in_language("sh"))
def test_shell(snippet: Snippet, run_edgeseg: Callable[[list[str]], None]) -> None:
    for command in commands_of(snippet.code):
        check_command(command, run_edgeseg)
    for code in re.findall(r'\$\(python3? -c\s+(?:\\\n\s*)?"([^"]+)"\)', snippet.code):
        check_python(["-c", code])


@pytest.mark.parametrize("snippet", in_language("python"))
def test_python(snippet: Snippet, home: Path, camera: str) -> None:
    tree = ast.parse(snippet.code)
    packages = {
        name.name.split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names
    }
    packages |= {(node.module or "").split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    for package in packages & set(PYTHON_NEEDS):
        pytest.importorskip(package, reason=f"the snippet is for those who have {package}")
    code = snippet.code.replace("rtsp://10.0.0.7/main", camera).replace("camera:0", STREET).replace("8080", "0")
    # Streams of cameras do not end: what would go on for ever stops after a few frames.
    code = re.sub(r"(edgeseg\.stream\((.*?)\)):", r"itertools.islice(\1, 3):", code)
    code = re.sub(r"(\[WebSink.*?my_sink\])\)", r"\1, max_frames=3)", code)
    done = subprocess.run(
        [sys.executable, "-c", PREPARED + code],
        cwd=home,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, f"{snippet}\n{done.stderr}"


@pytest.mark.parametrize("snippet", in_language("yaml"))
def test_yaml(snippet: Snippet) -> None:
    assert isinstance(yaml.safe_load(snippet.code), dict)


@pytest.mark.parametrize("snippet", in_language("json"))
def test_json(snippet: Snippet) -> None:
    json.loads(snippet.code)


@pytest.mark.parametrize(
    ("document", "code"), [(d, c) for d, c in INLINE if re.match(r"edgeseg (?!VERB)[a-z]", c) and "ABOUT" not in c]
)
def test_commands_within_the_text_are_parsed(document: str, code: str) -> None:
    for command in commands_of(code):
        words = list(command.words)
        if words[0] == "edgeseg" and len(words) > 1 and not re.search(r"…|\.\.\.", code):
            if words[1] == "--debug":
                del words[1]
            parse(words[1:] if words[1].islower() else ["doctor"])


@pytest.mark.parametrize(
    ("document", "code"), [(d, c) for d, c in INLINE if re.match(r"edgeseg(_export)?\.[A-Za-z_.]+(\(.*\))?$", c)]
)
def test_python_names_within_the_text_are_there(document: str, code: str) -> None:
    """After ``import edgeseg`` alone."""
    first, *names = re.match(r"[\w.]+", code)[0].split(".")  # type: ignore[index]
    if names == ["spec"] or names[-1] == "engine":
        return  # the key in an ONNX file's metadata
    value: Any = import_module(first)
    for name in names:
        if name in {"models", "train"} or "edgeseg_export" in code:
            pytest.importorskip("torch")
        try:
            value = getattr(value, name)
        except AttributeError:
            value = import_module(f"{value.__name__}.{name}")


def test_pip_and_make_lines_within_the_text_are_true() -> None:
    for document, code in INLINE:
        for command in commands_of(code) if re.match(r"(\.venv/bin/)?(pip|make) ", code) else []:
            words = [word for word in command.words if "=" not in word]
            program = words[0].removeprefix(".venv/bin/")
            assert words[1:], document
            check_make(words[1:]) if program == "make" else check_pip(list(command.words[1:]))


def test_the_system_packages_are_those_of_the_makefile() -> None:
    packages = re.search(r"^APT := (.*)$", (REPOSITORY / "Makefile").read_text(), re.MULTILINE)[1]  # type: ignore[index]
    assert f"sudo apt install {packages}\n" in (REPOSITORY / "README.md").read_text()


def test_every_extra_is_told_in_the_readme() -> None:
    project = (REPOSITORY / "pyproject.toml").read_text()
    section = project.split("[project.optional-dependencies]")[1].split("\n[")[0]
    for extra in re.findall(r"^([\w-]+) = \[", section, re.MULTILINE):
        assert extra == "dev" or f"[{extra}" in (REPOSITORY / "README.md").read_text(), extra
