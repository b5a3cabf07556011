"""Every snippet of the documentation does what it says.

Python runs as it stands. Each command of edgeseg is parsed by the command line itself, and run on small files that
stand in for the reader's, unless ``ONLY_PARSED`` says what it lacks here. Cameras are a real server of Motion JPEG.
What is written for other programs is held against what this repository knows of them. A snippet that no rule covers
fails.
"""

from __future__ import annotations

import ast
import importlib.util
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from doctest import DocTestParser
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import typer
import yaml
from dataset_exports import EXPORTS, coco_document
from PIL import Image
from snippets import Command, Snippet, commands_of, extras_in, inline_code_of, snippets_of
from stream_servers import MjpegServer

import edgeseg
from edgeseg.cli import VERBS, _build
from edgeseg.data.dataset import Dataset
from edgeseg.segmenter import Segmenter
from edgeseg.video.sources.sources_file import read_sources

REPOSITORY = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted(
    path
    for pattern in ("*.md", "docs/**/*.md", "edgeseg/weights/**/*.md")
    for path in REPOSITORY.glob(pattern)
    if path.name not in {"CHANGELOG.md", "LICENSE.md"}
)
SNIPPETS = [snippet for document in DOCUMENTS for snippet in snippets_of(REPOSITORY, document)]
EXAMPLES = DocTestParser().get_examples(str(edgeseg.__doc__))
SNIPPETS.append(Snippet("edgeseg/__init__.py", 3, "python", "".join(example.source for example in EXAMPLES)))
SHELL = [command for snippet in SNIPPETS if snippet.language == "sh" for command in commands_of(snippet.code)]
INLINE = sorted({(str(d.relative_to(REPOSITORY)), code) for d in DOCUMENTS for code in inline_code_of(d)})

ONLY_PARSED = {
    r"--backend tensorrt|\.engine\b|--format tensorrt": "needs a GPU; tests/export/tensorrt/test_engine.py",
    r"csi://": "needs a Jetson's camera; tests/edgeseg/video/sources/test_gst.py",
    r"gst:": "needs an OpenCV with GStreamer; tests/edgeseg/video/sources/test_gst.py",
    r"v4l2://": "needs that very camera; tests/edgeseg/video/sources/test_camera.py",
    r"stdin:|\brun -$": "reads a pipe of raw video; tests/edgeseg/video/sources/test_stdin.py",
    r"rtsps:": "needs a camera with a certificate; tests/edgeseg/video/test_reach.py",
    r"runs/gpu": "needs a GPU",
    r"--unlabelled|--tagged-split": "takes a while; tests/edgeseg/train/test_unlabelled.py",
    r"--network hed|runs/hed": "a large network; tests/edgeseg/evaluation/test_edges.py",
    r"train --qat": "takes a minute; tests/edgeseg/train/test_qat.py",
    r"--network NAME": "NAME is the reader's choice; tests/edgeseg/models/test_networks.py",
    r"models .*--measure": "takes a while; tests/edgeseg/cli/test_models.py",
    r"\bmine-int8\b": "needs what train --qat makes; tests/export/test_qat.py",
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
    "torchrun": "PyTorch's; tests/edgeseg/train/test_distributed.py",
    "your_program": "the reader's",
    "umask": "the shell's",
    "echo": "the shell's",
    "for": "the shell's",
    "done": "the shell's",
}
"""Whose commands are not tried here."""

NO_TORCH = importlib.util.find_spec("torch") is None
"""Training, and all that begins with what it made, is only parsed then."""

PYTHON_NEEDS = {"pydensecrf", "pandas", "pycocotools"}
"""What a snippet may be for those who have it."""

FLAGS_OF_OTHERS = {
    "--staticPlugins",  # trtexec
    "--dynamicPlugins",
    "--stronglyTyped",
    "--useCudaGraph",
    "--shm-size",  # docker
    "--every",  # benchmarks/temporal.py
    "--images",  # benchmarks/dense_crf.py
    "--params",
}
HOMES = {
    "Segmenter": "edgeseg.Segmenter",
    "EdgesegError": "edgeseg.EdgesegError",
    "CrfParams": "edgeseg.CrfParams",
    "DenseCrf": "edgeseg.refine.crf.DenseCrf",
    "open_source": "edgeseg.video.sources.registry.open_source",
    "pipeline": "edgeseg.video.pipeline.Pipeline",
    "RunConfig": "edgeseg.RunConfig",
    "calibrate_model": "edgeseg.quantize.ptq.calibrate_model",
}
"""Where the names are at home that the text uses bare."""

NO_NAMES = {
    "edgeseg.export",  # what edgeseg_export is not
    "edgeseg._native",  # compiled, and nobody's to call
    "edgeseg.spec",  # the key in an ONNX file's metadata, and a module too
    # groups of entry points
    "edgeseg.networks",
    "edgeseg.backends",
    "edgeseg.label_formats",
    "edgeseg.dataset_formats",
    "edgeseg.losses",
    "edgeseg.backbones",
    "edgeseg.refiners",
    "edgeseg.sources",
    "edgeseg.live_sources",
    "edgeseg.sinks",
}

PREPARED = """
import itertools
import numpy as np
rng = np.random.default_rng(0)
image = np.kron(rng.integers(0, 256, (36, 48, 3)), np.ones((10, 10, 1))).astype(np.uint8)
probabilities = rng.random((11, 360, 480), dtype=np.float32)
probabilities /= probabilities.sum(axis=0)
frames = [(probabilities, image)] * 2

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
) -> Path:
    """A folder with a small stand-in for every file that the documentation speaks of."""
    home = tmp_path_factory.mktemp("reader")
    write_video(home / "street.mp4")
    (home / "photos").mkdir()
    for index in range(2):
        Image.new("RGB", (60, 40), (90 * index, 80, 70)).save(home / "photos" / f"{index}.jpg")
    for folder, size, count in (("street/labels", (64, 48), 6), ("truth", (60, 40), 2)):
        (home / folder).mkdir(parents=True)
        for index in range(count):
            Image.new("L", size, index % 3).save(home / folder / f"{index}.png")
    shutil.copytree(convnet_data, home / "my_data")
    EXPORTS["voc"](home / "VOCdevkit" / "VOC2012")
    EXPORTS["coco"](home / "export")
    for data, model in (("camvid", "fast_scnn-camvid"), ("people", "edgenet-small-people")):
        with Segmenter.open(model) as segmenter:
            write_data(home / data, list(segmenter.spec.class_names))
    for name in ("model", "street", "tuned", "A", "B"):
        shutil.copy(convnet, home / f"{name}.onnx")
    run = {"sources": {"gate": camera}, "model": "street.onnx", "jsonl": "gate.jsonl", "on_lost": "wait"}
    (home / "run.yaml").write_text(yaml.safe_dump(run))
    (home / "cameras.yaml").write_text(yaml.safe_dump({"gate": camera, "yard": camera}))
    return home


@cache
def verbs() -> dict[str, Any]:
    """The commands, as typer makes them."""
    command: Any = typer.main.get_command(_build())
    return dict(command.commands)


def of_words(words: list[str]) -> tuple[Any, list[str]]:
    """The command that words name, a verb or one of a group, and the words after it."""
    command, rest = verbs()[words[0]], words[1:]
    while rest and rest[0] in getattr(command, "commands", {}):
        command, rest = command.commands[rest[0]], rest[1:]
    return command, rest


def all_commands() -> list[Any]:
    """Every verb, and every one of a group."""
    return [c for verb in verbs().values() for c in (verb, *getattr(verb, "commands", {}).values())]


def parse(words: list[str], whole: bool = True) -> None:
    """As the command line does, up to the verb's own work; what is not ``whole`` may lack arguments and values."""
    if words[0] == "--debug":
        words = words[1:]
    assert words[0] in verbs(), f"there is no verb {words[0]}"
    try:
        command, rest = of_words(words)
        command.make_context(command.name, list(rest))
    except typer.Exit:
        pass  # --help
    except Exception as error:
        missing = type(error).__name__ in {"MissingParameter", "NoArgsIsHelpError"} or "requires an argument" in str(
            error
        )
        if whole or not missing:
            format_message = getattr(error, "format_message", error.__str__)
            pytest.fail(f"edgeseg {' '.join(words)}: {format_message()}")


def options() -> set[str]:
    """Every flag of every verb."""
    flags = {flag for verb in all_commands() for p in verb.params for flag in [*p.opts, *p.secondary_opts]}
    return flags | {"--debug", "--help"}


def substituted(words: list[str], camera: str) -> list[str]:
    """The command with what stands in for cameras, windows and ports, and an end."""
    command = list(words)
    for index, word in enumerate(command):
        if re.match(r"(rtsp|http)://", word):
            command[index] = camera
        if word == "--show":
            command[index] = "--no-show"
        if word == "--web":
            command[index + 1] = "0.0.0.0:0" if "0.0.0.0" in command[index + 1] else "127.0.0.1:0"
        if word == "--camera":
            command[index : index + 2] = ["--source", camera]
    verb = command[0]
    if verb == "run":
        # What follows wins over what is written.
        shown = {"--web", "--save", "--save-masks", "--jsonl", "--show", "--no-show"} & set(command)
        return [*command, "--max-frames", "3", *([] if shown else ["--no-show"])]
    if verb == "train":
        for length in {"--epochs", "--time-budget"} & set(command):
            at = command.index(length)
            del command[at : at + 2]
        return [*command, *["--epochs", "1", "--height", "32", "--width", "64", "--batch-size", "2", "--device", "cpu"]]
    if verb == "quantize":
        return [*command, "--max-drop", "100"]
    if verb == "compare":
        return [f"{word}.onnx" if word in {"A", "B"} else word for word in command]
    return command


def only_parsed(words: list[str]) -> str:
    """Why a command is not run; empty where it is."""
    text = " ".join(words)
    return next((why for pattern, why in ONLY_PARSED.items() if re.search(pattern, text)), "")


@pytest.fixture(scope="session")
def run_edgeseg(home: Path, camera: str, run_cli: Callable[..., Any]) -> Callable[[list[str]], None]:
    """``run_edgeseg(words)`` runs a command of the documentation, once however often it is written."""
    done: set[tuple[str, ...]] = set()

    def run(words: list[str]) -> None:
        command = substituted(words, camera)
        if tuple(command) in done or (NO_TORCH and re.search(r"^train |^models -|runs/mine/", " ".join(words))):
            return
        result = run_cli(*command, cwd=home)
        assert result.rc == 0, f"edgeseg {' '.join(command)}\n{result.stdout}{result.stderr}"
        assert "Traceback" not in result.stderr
        done.add(tuple(command))

    return run


def check_command(command: Command, home: Path, run_edgeseg: Callable[[list[str]], None]) -> None:
    words = list(command.words)
    if words[0] in {"sudo", "do"}:
        del words[0]
    if not words:
        return
    program = words[0].removeprefix(".venv/bin/")
    if program == "edgeseg":
        parse(words[1:])
        if not only_parsed(words):
            run_edgeseg(words[1:])
    elif program == "make":
        check_make([word for word in words[1:] if "=" not in word])
    elif program == "apt":
        assert words[1] == "install"
        assert all(re.fullmatch(r"[a-z0-9][a-z0-9.+-]+", word) for word in words[2:])
    elif program == "pip":
        check_pip(words[1:])
    elif program in {"python", "python3"}:
        check_python(words[1:], home / (command.output or "stdout"))
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


def check_python(words: list[str], output: Path) -> None:
    if words[0] == "-m":
        assert importlib.util.find_spec(words[1]) is not None
    elif words[0] == "-c":
        done = subprocess.run([sys.executable, *words], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        output.write_text(done.stdout)
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
    assert {snippet.language for snippet in SNIPPETS} <= {"sh", "python", "yaml", "json", "nginx", ""}
    shell = re.compile(r"^\s*(\.venv/bin/)?(edgeseg|pip|python3?|make|sudo) [a-z'-]", re.MULTILINE)
    for snippet in SNIPPETS:
        if not snippet.language:
            assert not shell.search(snippet.code), f"{snippet}: a command in a block of no language"


@pytest.mark.parametrize("snippet", in_language("sh"))
def test_shell(snippet: Snippet, home: Path, run_edgeseg: Callable[[list[str]], None]) -> None:
    commands = commands_of(snippet.code)
    assert commands
    for command in commands:
        check_command(command, home, run_edgeseg)


def imports_before(snippet: Snippet) -> str:
    """What the Python of the same document has imported further up."""
    before = [s for s in SNIPPETS if s.language == "python" and s.file == snippet.file and s.line < snippet.line]
    return "\n".join(line for s in before for line in s.code.splitlines() if re.match(r"import edgeseg$", line))


@pytest.mark.parametrize("snippet", in_language("python"))
def test_python(snippet: Snippet, home: Path, camera: str, run_edgeseg: Callable[[list[str]], None]) -> None:
    tree = ast.parse(snippet.code)
    packages = {
        name.name.split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names
    }
    packages |= {(node.module or "").split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    for package in packages & PYTHON_NEEDS:
        pytest.importorskip(package, reason=f"the snippet is for those who have {package}")
    if "frames.jsonl" in snippet.code:
        run_edgeseg(["run", "street.mp4", "--jsonl", "frames.jsonl", "--jsonl-masks", "rle"])
    code = snippet.code.replace("rtsp://10.0.0.7/main", camera).replace("camera:0", camera).replace("8080", "0")
    # Streams of cameras do not end: what would go on for ever stops after a few frames.
    code = re.sub(r"(edgeseg\.stream\((.*?)\)):", r"itertools.islice(\1, 3):", code)
    code = re.sub(r"(\[WebSink.*?my_sink\])\)", r"\1, max_frames=3)", code)
    done = subprocess.run(
        [sys.executable, "-I", "-c", "\n".join((PREPARED, imports_before(snippet), code))],
        cwd=home,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, f"{snippet}\n{done.stderr}"


@pytest.mark.parametrize("snippet", in_language("yaml"))
def test_yaml_is_a_data_set_a_run_or_a_file_of_sources(snippet: Snippet, tmp_path: Path) -> None:
    file = tmp_path / "dataset.yaml"
    file.write_text(snippet.code)
    content = yaml.safe_load(snippet.code)
    if "model" in content:
        assert set(edgeseg.RunConfig.read(file)) == set(content)
        edgeseg.RunConfig.load(file)
        return
    if content.get("format") in ("joined", "edges"):
        parts = content.get("parts", [content])
        assert len(made_of(parts, content, tmp_path).split("train").samples()) == len(parts)
        return
    if "splits" not in content:
        assert read_sources(file) == content
        assert all(re.fullmatch(r"(rtsps?|camera):[^#\s]+(#\S+=\S+)?", uri) for uri in content.values())
        return
    for split in content["splits"].values():
        for path in files_of_split(split, tmp_path):
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("L", (16, 12)).save(path)
        if content.get("format") == "coco":
            (tmp_path / split["labels"]).write_text(json.dumps(coco_document([], ("0001.png",))))
    assert all(len(split.samples()) == 1 for split in Dataset.load(file).splits.values())


def made_of(parts: list[dict[str, Any]], content: dict[str, Any], folder: Path) -> Dataset:
    """The data set of others, each of which is there with the classes that its map names."""
    for part in parts:
        place = folder / "made" / part["data"]
        for kind in ("images", "labels"):
            (place / kind).mkdir(parents=True)
            Image.new("L", (16, 12)).save(place / kind / "a.png")
        splits = {"train": {"images": "images", "labels": "labels"}}
        (place / "dataset.yaml").write_text(yaml.safe_dump({"names": [*part.get("map", ["ground"])], "splits": splits}))
    (folder / "made").mkdir(exist_ok=True)
    (folder / "made" / "dataset.yaml").write_text(yaml.safe_dump(content))
    return Dataset.load(folder / "made")


def files_of_split(split: dict[str, Any], folder: Path) -> list[Path]:
    """An image and its label, where a split says that they are; a list is written."""
    if "list" in split:
        (folder / split["list"]).write_text("listed/0001.png listed/ids/0001.png")
        return [folder / "listed" / "0001.png", folder / "listed" / "ids" / "0001.png"]
    below = "city" if split.get("nested") else ""
    images = folder / split["images"] / below / "0001.png"
    if split["labels"].endswith(".json"):
        return [images]
    if "{stem}" in split["labels"]:
        return [images, folder / split["labels"].format(folder=below, stem="0001")]
    return [images, folder / split["labels"] / below / "0001.png"]


def test_no_secret_stands_on_a_command_line() -> None:
    """Where everybody on the machine can read it."""
    for command in SHELL:
        assert "--web-token" not in command.words
        assert not any(re.search(r"://[^/]*@|[?#&]token=", word) for word in command.words), command


@pytest.mark.parametrize("snippet", in_language("json"))
def test_json_is_a_line_of_results(snippet: Snippet) -> None:
    """The one kind of JSON that is shown."""
    jsonschema = pytest.importorskip("jsonschema", reason="jsonschema checks the example; pip install '.[dev]'")
    jsonschema.validate(json.loads(snippet.code), json.loads((REPOSITORY / "docs/results.schema.json").read_text()))


def test_what_is_not_run_is_still_written_somewhere() -> None:
    """The tables hold no more than they must, and the tests that they name are there."""
    for pattern, why in ONLY_PARSED.items():
        assert any(re.search(pattern, " ".join(command.words)) for command in SHELL), pattern
        for file in re.findall(r"tests/\S+", why):
            assert (REPOSITORY / file).is_file(), file
    programs = {word for command in SHELL for word in command.words[:1]}
    assert set(OTHER_PROGRAMS) <= programs | {"compute-sanitizer"}
    text = " ".join(code for _, code in INLINE)
    assert all(flag in text for flag in FLAGS_OF_OTHERS)
    assert all(name in text for name in NO_NAMES)


def test_the_examples_of_the_help_are_parsed() -> None:
    examples = [import_module("edgeseg.cli").EXAMPLES]
    modules = [import_module(f"edgeseg.cli.{verb.replace('-', '_')}") for verb in VERBS]
    modules += [import_module(f"{m.__name__}.{verb}") for m in modules for verb in getattr(m, "VERBS", ())]
    examples += [module.EXAMPLES for module in modules]
    for command in commands_of(
        "\n".join(re.sub(r"  +.*", "", line) for text in examples for line in text.splitlines())
    ):
        assert command.words[0] == "edgeseg"
        parse(list(command.words[1:]))


def test_commands_within_the_text_are_parsed() -> None:
    parsed = 0
    for document, code in INLINE:
        for command in commands_of(code) if re.match(r"(\.venv/bin/)?(edgeseg|pip|make|python3?) ", code) else []:
            words = [word for word in command.words if word != "…"]
            program, rest = words[0].removeprefix(".venv/bin/"), words[1:]
            assert rest, document
            if program == "edgeseg" and "VERB" not in rest:
                parse(["1" if word == "N" else word for word in rest], whole=False)
            elif program == "make":
                check_make([word for word in rest if "=" not in word])
            elif program == "pip":
                check_pip(rest)
            parsed += 1
    assert parsed > 20


def test_flags_within_the_text_are_those_of_the_command_line() -> None:
    known = options() | FLAGS_OF_OTHERS
    for document, code in INLINE:
        if code.startswith("--"):
            for flag in re.findall(r"(?<!\S)--[a-z][\w-]*", code):
                assert flag in known, f"{document}: there is no {flag}"


def test_python_names_within_the_text_are_there() -> None:
    """Each in a process that has imported nothing but edgeseg; calls take the arguments that are shown."""
    names = []
    for document, code in INLINE:
        match = re.fullmatch(r"((?:[A-Za-z_]\w*\.)*[A-Za-z_]\w*)(\(.*?\))?(\.quantize\(\))?", code)
        first, _, rest = match[1].partition(".") if match else ("", "", "")
        if match and (first in HOMES or (first == "edgeseg" and rest)) and match[1] not in NO_NAMES:
            arguments = re.sub(r"…|\.\.\.", "None", match[2] or "")
            names.append((document, f"{HOMES.get(first, first)}.{rest}".rstrip("."), arguments))
    assert len(names) > 10
    done = subprocess.run(
        [sys.executable, "-I", "-c", RESOLVES],
        input=json.dumps(names),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert not done.stdout


RESOLVES = """
import ast, inspect, json, os, sys

for document, name, arguments in json.load(sys.stdin):
    if os.fork():
        os.wait()
        continue
    try:
        import edgeseg
        value = eval(name)
        if arguments:
            call = ast.parse("f" + arguments).body[0].value
            method = inspect.isfunction(value) and "." in value.__qualname__
            given = [None] * (len(call.args) + method)
            inspect.signature(value).bind_partial(*given, **{word.arg: None for word in call.keywords})
    except ModuleNotFoundError as error:
        if error.name not in {"torch", "onnx", "starlette"}:
            print(document, name, repr(error), flush=True)
    except Exception as error:
        print(document, name, repr(error), flush=True)
    os._exit(0)
"""


def test_files_within_the_text_are_there() -> None:
    """As paths from the root, from tests/, or as what a line above has named the folder of."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    files = listed.stdout.splitlines() or [
        str(path.relative_to(REPOSITORY)) for path in REPOSITORY.rglob("*") if not path.is_dir()
    ]
    for document, code in INLINE:
        if re.fullmatch(r"(test_\w+|[\w./-]+/\w+)\.(py|pyi|cpp|cu|cuh|h)", code):
            assert any(f"/{file}".endswith(f"/{code}") for file in files), f"{document}: there is no {code}"


def test_links_lead_somewhere() -> None:
    for document in DOCUMENTS:
        for target in re.findall(r"\]\(([^)\s]+)\)", document.read_text()):
            path, _, anchor = target.partition("#")
            if "://" in target:
                continue
            file = document.parent / path if path else document
            assert file.exists(), f"{document.name}: {target}"
            if anchor:
                headings = re.findall(r"^#+ (.*)$", file.read_text(), re.MULTILINE)
                slugs = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
                assert anchor in slugs, f"{document.name}: {target}"


def test_the_system_packages_are_those_of_the_makefile() -> None:
    packages = re.search(r"^APT := (.*)$", (REPOSITORY / "Makefile").read_text(), re.MULTILINE)[1]  # type: ignore[index]
    assert f"sudo apt install {packages}\n" in (REPOSITORY / "README.md").read_text()


def test_every_extra_is_told_in_the_readme() -> None:
    project = (REPOSITORY / "pyproject.toml").read_text()
    section = project.split("[project.optional-dependencies]")[1].split("\n[")[0]
    for extra in re.findall(r"^([\w-]+) = \[", section, re.MULTILINE):
        assert extra in {"dev", "docs"} or f"[{extra}]" in (REPOSITORY / "README.md").read_text(), extra
