"""Fixtures for all tests: a real little ONNX model, the command line, and the real data where it is at hand."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from edgeseg.spec import METADATA_KEY, ModelSpec

REPOSITORY = Path(__file__).resolve().parents[1]

TINY_SPEC = ModelSpec(
    network="brightest_channel",
    class_names=("red", "green", "blue"),
    colors=((255, 0, 0), (0, 255, 0), (0, 0, 255)),
    input_size=(32, 48),
    output="logits",
    stride=8,
    data="none: made by the tests",
    license="Apache-2.0",
)


class CliResult(NamedTuple):
    """What a command left behind."""

    rc: int
    stdout: str
    stderr: str


@pytest.fixture(scope="session")
def tiny_spec() -> ModelSpec:
    """The spec of ``tiny_onnx``: red, green, blue; 32x48 input, logits at stride 8."""
    return TINY_SPEC


@pytest.fixture(scope="session")
def write_onnx() -> Callable[..., Path]:
    """``write_onnx(path, output=…, spec_json=…)``: a real ONNX file whose class is the brightest colour channel.

    It takes uint8 (1, 32, 48, 3) and returns the mean of each channel over 8x8 pixels as logits (1, 3, 4, 6), or
    their argmax (1, 32, 48) after nearest upsampling as labels. ``spec_json`` replaces the metadata; None leaves it
    out.
    """
    onnx = pytest.importorskip("onnx", reason="onnx writes the test model; pip install 'edgeseg[export]'")
    helper, tensor = onnx.helper, onnx.TensorProto

    def write(path: Path, output: str = "logits", spec_json: str | None = "") -> Path:
        nodes = [
            helper.make_node("Cast", ["images"], ["f32"], to=tensor.FLOAT),
            helper.make_node("Transpose", ["f32"], ["nchw"], perm=[0, 3, 1, 2]),
            helper.make_node("AveragePool", ["nchw"], ["logits"], kernel_shape=[8, 8], strides=[8, 8]),
        ]
        constants = []
        spec = TINY_SPEC
        if output == "labels":
            spec = ModelSpec(**{**vars(TINY_SPEC), "output": "labels", "stride": 1})
            nodes += [
                helper.make_node("Resize", ["logits", "", "scales"], ["full"], mode="nearest"),
                helper.make_node("ArgMax", ["full"], ["index"], axis=1, keepdims=0),
                helper.make_node("Cast", ["index"], ["labels"], to=tensor.UINT8),
            ]
            constants = [helper.make_tensor("scales", tensor.FLOAT, [4], [1.0, 1.0, 8.0, 8.0])]
        result = {
            "logits": helper.make_tensor_value_info("logits", tensor.FLOAT, [1, 3, 4, 6]),
            "labels": helper.make_tensor_value_info("labels", tensor.UINT8, [1, 32, 48]),
        }[output]
        images = helper.make_tensor_value_info("images", tensor.UINT8, [1, 32, 48, 3])
        graph = helper.make_graph(nodes, "brightest_channel", [images], [result], constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        if spec_json is not None:
            model.metadata_props.add(key=METADATA_KEY, value=spec_json or spec.to_json())
        onnx.checker.check_model(model)
        onnx.save(model, path)
        return path

    return write


@pytest.fixture(scope="session")
def tiny_onnx(tmp_path_factory: pytest.TempPathFactory, write_onnx: Callable[..., Path]) -> Path:
    """A model artifact that labels each 8x8 block by its brightest channel; see ``tiny_spec`` and ``write_onnx``."""
    return write_onnx(tmp_path_factory.mktemp("models") / "tiny.onnx")


@pytest.fixture(scope="session")
def tiny_labels_onnx(tmp_path_factory: pytest.TempPathFactory, write_onnx: Callable[..., Path]) -> Path:
    """``tiny_onnx`` with the upsampling and argmax in the graph."""
    return write_onnx(tmp_path_factory.mktemp("models") / "tiny_labels.onnx", output="labels")


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The folder of real data sets and videos; the test is skipped where there is none."""
    root = Path(os.environ.get("EDGESEG_DATA", REPOSITORY.parent / "shared" / "data"))
    if not root.is_dir():
        pytest.skip("needs the real data: set EDGESEG_DATA to the folder that holds camvid/ and videos/")
    return root


@pytest.fixture(scope="session")
def run_cli() -> Callable[..., CliResult]:
    """``run_cli("eval", "--data", …, cwd=…)`` runs the edgeseg command in a process of its own."""

    def run(*args: str | Path, cwd: Path | None = None, timeout_s: float = 300) -> CliResult:
        done = subprocess.run(
            [sys.executable, "-m", "edgeseg", *map(str, args)],
            cwd=cwd,
            env={**os.environ, "NO_COLOR": "1", "TERM": "dumb", "COLUMNS": "200", "PYTHONIOENCODING": "utf-8"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=timeout_s,
            check=False,
        )
        return CliResult(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture(scope="session")
def run_python() -> Callable[[str], CliResult]:
    """``run_python(code)`` runs code in a fresh interpreter, to see what it imports."""

    def run(code: str) -> CliResult:
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
        return CliResult(done.returncode, done.stdout, done.stderr)

    return run
