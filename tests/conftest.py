"""Fixtures for all tests: a real little ONNX model, the command line, and the real data where it is at hand."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image
from warm_edgeseg import CliResult, WarmEdgeseg

from edgeseg.segmenter import Segmenter
from edgeseg.spec import METADATA_KEY, ModelSpec

REPOSITORY = Path(__file__).resolve().parents[1]

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # more processes than cores: one that spins takes another's time
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # for tests that load ONNX Runtime by itself
_CACHE = tempfile.TemporaryDirectory(prefix="edgeseg-tests-")
os.environ["XDG_CACHE_HOME"] = _CACHE.name  # the user's own cache is left alone

LONGEST = (
    "tests/export/test_qat.py",
    "tests/edgeseg/train/test_qat.py",
    "tests/edgeseg/train/test_loop.py",
    "tests/edgeseg/cli/test_train_ending.py",
    "tests/edgeseg/train/test_distributed.py",
    "tests/docs/test_snippets.py",
    "tests/fuzz/test_fuzz.py",
    "tests/export/tensorrt/test_engine.py",
    "tests/edgeseg/video/web/test_page.py",
    "tests/contracts/test_source.py",
)
"""What begins first, so that no process is left with one of these while the others have nothing to do."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long files first; the rest stays in order."""
    places = {str(REPOSITORY / name): place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(str(item.path), len(places)))


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
def write_convnet() -> Callable[..., Path]:
    """``write_convnet(path, outlier=…)``: a little network of convolutions with everything that quantization meets.

    It takes uint8 (N, 32, 48, 3), normalises, and returns logits (N, 3, 4, 6) that depend on the image: a stem, a
    depthwise convolution, a residual, pooled context joined again. ``outlier`` blows up one channel between the layers
    ``loud`` and ``soft``, which changes nothing in float and ruins both in INT8.
    """
    onnx = pytest.importorskip("onnx", reason="onnx writes the test model; pip install 'edgeseg[quantize]'")
    helper, tensor = onnx.helper, onnx.TensorProto

    def write(path: Path, outlier: float = 1.0) -> Path:
        rng = np.random.default_rng(20)  # of a network that uses all three classes
        constants = {
            "offset": np.array([110, 115, 120]).reshape(1, 3, 1, 1),
            "scale": 1 / np.array([60, 65, 70]).reshape(1, 3, 1, 1),
        }
        nodes = []

        def conv(name: str, source: str, shape: tuple[int, ...], relu: bool = True, **attributes: object) -> str:
            constants[f"{name}.weight"] = rng.standard_normal(shape) * np.sqrt(2 / np.prod(shape[1:]))
            constants[f"{name}.bias"] = rng.standard_normal(shape[0]) * 0.1
            inputs = [source, f"{name}.weight", f"{name}.bias"]
            nodes.append(helper.make_node("Conv", inputs, [name], name=name, **attributes))
            if relu:
                nodes.append(helper.make_node("Relu", [name], [f"{name}.relu"], name=f"{name}.relu"))
            return f"{name}.relu" if relu else name

        def node(op_type: str, name: str, inputs: list[str], **attributes: object) -> str:
            nodes.append(helper.make_node(op_type, inputs, [name], name=name, **attributes))
            return name

        pixels = node("Transpose", "nchw", ["images"], perm=[0, 3, 1, 2])
        pixels = node("Cast", "f32", [pixels], to=tensor.FLOAT)
        pixels = node("Mul", "normalised", [node("Sub", "centred", [pixels, "offset"]), "scale"])
        stem = conv("stem", pixels, (8, 3, 3, 3), strides=[2, 2], pads=[1] * 4)
        depthwise = conv("depthwise", stem, (8, 1, 3, 3), group=8, strides=[2, 2], pads=[1] * 4)
        loud = conv("loud", depthwise, (8, 8, 1, 1))
        soft = conv("soft", loud, (8, 8, 1, 1), relu=False)
        constants["loud.weight"][0] *= outlier
        constants["loud.bias"][0] *= outlier
        constants["soft.weight"][:, 0] /= outlier
        body = node(
            "MaxPool", "body", [node("Add", "residual", [soft, depthwise])], kernel_shape=[2, 2], strides=[2, 2]
        )
        context = node("AveragePool", "context", [body], kernel_shape=[2, 2], strides=[2, 2])
        context = conv("context_conv", context, (8, 8, 1, 1))
        constants["scales"] = np.array([1, 1, 2, 2])
        wide = node("Resize", "wide", [context, "", "scales"], mode="linear")
        conv("logits", node("Concat", "joined", [body, wide], axis=1), (3, 16, 1, 1), relu=False)

        images = helper.make_tensor_value_info("images", tensor.UINT8, ["N", 32, 48, 3])
        logits = helper.make_tensor_value_info("logits", tensor.FLOAT, ["N", 3, 4, 6])
        initializers = [onnx.numpy_helper.from_array(v.astype(np.float32), name) for name, v in constants.items()]
        graph = helper.make_graph(nodes, "convnet", [images], [logits], initializers)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
        model.metadata_props.add(key=METADATA_KEY, value=TINY_SPEC.to_json())
        onnx.checker.check_model(model)
        onnx.save(model, path)
        return path

    return write


@pytest.fixture(scope="session")
def convnet(tmp_path_factory: pytest.TempPathFactory, write_convnet: Callable[..., Path]) -> Path:
    """A network of ``write_convnet`` that INT8 suits."""
    return write_convnet(tmp_path_factory.mktemp("models") / "convnet.onnx")


@pytest.fixture(scope="session")
def convnet_data(tmp_path_factory: pytest.TempPathFactory, convnet: Path) -> Path:
    """Pictures with the labels that ``convnet`` gives them, six as train and four others as val."""
    folder = tmp_path_factory.mktemp("convnet_data")
    rng = np.random.default_rng(0)
    with Segmenter.open(convnet, threads=1) as segmenter:
        for split, count in (("train", 6), ("val", 4)):
            for kind in ("images", "labels"):
                (folder / split / kind).mkdir(parents=True)
            for index in range(count):
                image = np.kron(rng.integers(0, 256, (8, 12, 3)), np.ones((4, 4, 1))).astype(np.uint8)
                Image.fromarray(image).save(folder / split / "images" / f"{index}.png")
                Image.fromarray(segmenter(image).labels).save(folder / split / "labels" / f"{index}.png")
    splits = {split: {"images": f"{split}/images", "labels": f"{split}/labels"} for split in ("train", "val")}
    (folder / "dataset.yaml").write_text(yaml.safe_dump({"names": list(TINY_SPEC.class_names), "splits": splits}))
    return folder


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The folder of real data sets and videos; the test is skipped where there is none."""
    root = Path(os.environ.get("EDGESEG_DATA", REPOSITORY.parent / "shared" / "data"))
    if not root.is_dir():
        pytest.skip("needs the real data: set EDGESEG_DATA to the folder that holds camvid/ and videos/")
    return root


@pytest.fixture(scope="session")
def warm_edgeseg(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WarmEdgeseg]:
    """The edgeseg command in forks of a process that has loaded PyTorch and the rest before."""
    warm = WarmEdgeseg(tmp_path_factory.mktemp("warm"))
    yield warm
    warm.close()


@pytest.fixture(scope="session")
def run_cli(warm_edgeseg: WarmEdgeseg) -> Callable[..., CliResult]:
    """``run_cli("eval", "--data", …, cwd=…)`` runs the edgeseg command in a process of its own.

    It is a fork of ``warm_edgeseg``; what a start of its own is about starts one.
    """

    def run(*args: str | Path, cwd: Path | None = None) -> CliResult:
        return warm_edgeseg.run([str(arg) for arg in args], cwd or Path.cwd())

    return run


@pytest.fixture(scope="session")
def run_python() -> Callable[[str], CliResult]:
    """``run_python(code)`` runs code in a fresh interpreter, to see what it imports."""

    def run(code: str) -> CliResult:
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
        return CliResult(done.returncode, done.stdout, done.stderr)

    return run
