"""Real engines, built by TensorRT-RTX, which needs no GPU for it; skipped where it is not installed.

What an engine computes cannot be seen here: TensorRT reads one back on a GPU only.
"""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from edgeseg import weights
from edgeseg.artifact.onnx import read_spec, set_spec
from edgeseg.artifact.record import record_path
from edgeseg.errors import EdgesegError, InputError, MissingDependencyError, ModelError, SinkError, SpecError
from edgeseg.evaluation.parity import probe_images
from edgeseg.installing import pip_install
from edgeseg.runtime.cuda.gpu import Gpu, find_gpu
from edgeseg.runtime.registry import open_backend
from edgeseg.runtime.tensorrt.module import find_tensorrt
from edgeseg.runtime.tensorrt.record import (
    BuildOptions,
    TensorInfo,
    check_fits,
    file_sha256,
    read_record,
)
from edgeseg.runtime.tensorrt.trust import was_built_here
from edgeseg.spec import METADATA_KEY
from edgeseg_export.tensorrt.engine import build_engine, cached_engine
from edgeseg_export.tensorrt.graph import prepare, read_onnx

NETWORKS = ["fast_scnn", "enet"]
SM86 = BuildOptions(target=("sm86",))


@pytest.fixture(scope="session")
def tensorrt():
    """TensorRT-RTX."""
    try:
        found = find_tensorrt()
    except MissingDependencyError as error:
        pytest.skip(f"needs TensorRT-RTX: pip install 'edgeseg[tensorrt-rtx]' ({error.what})")
    if not found.is_rtx:
        pytest.skip("TensorRT hides TensorRT-RTX, and builds for the GPU at hand only")
    return found


@pytest.fixture(scope="session")
def quantized(tmp_path_factory):
    """``quantized(path)``: that artifact with Q/DQ pairs in the form TensorRT takes, calibrated on probe images."""
    folder = tmp_path_factory.mktemp("quantized")

    class Reader(CalibrationDataReader):
        def __init__(self, size) -> None:
            self._images = iter(probe_images(size))

        def get_next(self):
            image = next(self._images, None)
            return None if image is None else {"images": image[None]}

    def make(source: Path) -> Path:
        path = folder / source.name
        spec = open_backend(source).spec
        if not path.exists():
            quantize_static(
                source,
                path,
                Reader(spec.input_size),
                quant_format=QuantFormat.QDQ,
                op_types_to_quantize=["Conv"],
                per_channel=True,
                activation_type=QuantType.QInt8,
                weight_type=QuantType.QInt8,
                extra_options={
                    "ActivationSymmetric": True,
                    "WeightSymmetric": True,
                    "AddQDQPairToWeight": True,
                    "QuantizeBias": False,
                    "DedicatedQDQPair": False,
                },
            )
            model = onnx.load(path)
            set_spec(model, spec)
            onnx.save(model, path)
        return path

    return make


def assert_fits_its_spec(engine: Path) -> None:
    """Types and shapes as TensorRT has them, and an engine that fits the GPU it was built for."""
    record = check_fits(engine, find_tensorrt(), Gpu("any", "sm86"))
    spec = record.spec
    (height, width), stride = spec.input_size, spec.stride
    assert record.inputs == (TensorInfo("images", "uint8", (-1, height, width, 3)),)
    logits = (-1, spec.num_classes, -(-height // stride), -(-width // stride))
    expected = {
        "logits": TensorInfo("logits", "float32", logits),
        "labels": TensorInfo("labels", "uint8", (-1, height, width)),
    }
    assert record.outputs == (expected[spec.output],)
    content = engine.read_bytes()
    assert b"images" in content
    assert spec.output.encode() in content


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@pytest.mark.parametrize("output", ["logits", "labels"])
@pytest.mark.parametrize("network", NETWORKS)
def test_a_network_becomes_an_engine(tensorrt, artifact_of, tmp_path, network, output, precision):
    source = artifact_of(network, output)
    options = BuildOptions(precision, (1, 2, 4), ("sm86",))
    record = build_engine(source, tmp_path / "x.engine", options)
    assert_fits_its_spec(tmp_path / "x.engine")
    own = open_backend(source).spec
    assert record.spec == (own if precision == "fp32" else own.unmeasured(precision="fp16"))
    assert record.options == options
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.engine", "x.engine.json"]


@pytest.mark.parametrize("network", NETWORKS)
def test_a_quantized_network_becomes_an_engine(tensorrt, artifact_of, quantized, tmp_path, network):
    build_engine(
        quantized(artifact_of(network, "logits")), tmp_path / "x.engine", BuildOptions("int8", target=("sm86",))
    )
    assert_fits_its_spec(tmp_path / "x.engine")


BUILT_AS = {"fp32": ("fp32", "fp16"), "int8-tensorrt": ("int8",), "int8-cpu": ()}
"""Of shipped models by their own precision."""


@pytest.mark.parametrize(
    ("model", "precision"),
    [
        pytest.param(model, precision, id=f"{model.name}-{precision}")
        for model in weights.shipped()
        for precision in BUILT_AS[read_spec(model.path).precision]
    ],
)
def test_a_shipped_model_becomes_an_engine(tensorrt, tmp_path, model, precision):
    build_engine(model.path, tmp_path / "x.engine", BuildOptions(precision, target=("sm86",)))
    assert_fits_its_spec(tmp_path / "x.engine")


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_a_shipped_model_in_int8_for_cpus_does_not(tensorrt, tmp_path, precision):
    (model, *_) = (model for model in weights.shipped() if read_spec(model.path).precision == "int8-cpu")
    with pytest.raises(ModelError, match=r"quantized.*(Use the precision int8|--target tensorrt)"):
        build_engine(model.path, tmp_path / "x.engine", BuildOptions(precision, target=("sm86",)))


@pytest.mark.parametrize("network", NETWORKS)
def test_an_engine_of_logits_can_be_made_to_return_labels(tensorrt, artifact_of, tmp_path, network):
    record = build_engine(artifact_of(network, "logits"), tmp_path / "x.engine", replace(SM86, head="labels"))
    assert_fits_its_spec(tmp_path / "x.engine")
    assert record.spec.output == "labels"
    assert not record.plugins  # TensorRT-RTX takes none
    assert record.options.flags() == " --target sm86 --head labels"


def test_fp16_halves_an_engine(tensorrt, tmp_path):
    model = weights.find("fast_scnn-camvid")
    for precision in ("fp32", "fp16"):
        build_engine(model, tmp_path / f"{precision}.engine", BuildOptions(precision, target=("sm86",)))
    sizes = [Path(tmp_path, f"{precision}.engine").stat().st_size for precision in ("fp16", "fp32")]
    assert sizes[0] < 0.7 * sizes[1]


def test_what_edgeseg_quantize_writes_becomes_an_engine(tensorrt, run_cli, convnet, convnet_data, tmp_path):
    int8 = tmp_path / "int8.onnx"
    quantizing = ("--target", "tensorrt", "--output", int8, "--max-drop", "100")
    assert run_cli("quantize", convnet, "--data", convnet_data, *quantizing).rc == 0
    done = run_cli("export", int8, "--format", "tensorrt", "--precision", "int8", "--target", "sm86")
    assert done.rc == 0, done.stderr
    assert "images  uint8 Nx32x48x3" in done.stdout
    assert_fits_its_spec(tmp_path / "int8.engine")


def test_what_is_quantized_for_the_cpu_says_so(tensorrt, run_cli, convnet, convnet_data, tmp_path):
    int8 = tmp_path / "int8.onnx"
    assert run_cli("quantize", convnet, "--data", convnet_data, "--output", int8, "--max-drop", "100").rc == 0
    with pytest.raises(ModelError, match=r"quantized with zero points.*--target tensorrt"):
        build_engine(int8, tmp_path / "x.engine", BuildOptions("int8", target=("sm86",)))


def test_int8_of_a_float_model_says_how_to_quantize_it(tensorrt, artifact_of, tmp_path):
    with pytest.raises(ModelError, match=r"is not quantized.*Run: edgeseg quantize .*--target tensorrt"):
        build_engine(artifact_of("enet", "logits"), tmp_path / "x.engine", BuildOptions("int8", target=("sm86",)))


def test_the_prepared_graph_computes_the_same(artifact_of, tmp_path):
    path = artifact_of("fast_scnn", "logits")
    model, _ = read_onnx(path)
    onnx.save(prepare(model, path, "fp32"), tmp_path / "prepared.onnx")
    images = np.stack(probe_images((64, 96)))
    expected = open_backend(path, threads=1).infer(images)
    np.testing.assert_array_equal(open_backend(tmp_path / "prepared.onnx", threads=1).infer(images), expected)


def test_no_torch_is_needed(run_python):
    done = run_python("import sys, edgeseg_export.tensorrt.engine; print('torch' in sys.modules)")
    assert done == (0, "False\n", "")


def bad_onnx(path: Path, spec, kind: str) -> Path:
    """A model that TensorRT cannot take, of such a kind, and our spec in it."""
    images = helper.make_tensor_value_info("images", TensorProto.UINT8, ["N", 32, 48, 3])
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", 3, 4, 6])
    cast = helper.make_node("Cast", ["images"], ["f"], to=TensorProto.FLOAT)
    inputs, constants = [images], []
    if kind == "unsupported operator":
        nodes = [cast, helper.make_node("NonZero", ["f"], ["z"]), helper.make_node("Cast", ["z"], ["logits"], to=1)]
    elif kind == "plugin":
        nodes = [cast, helper.make_node("Magic", ["f"], ["logits"], domain="some.where")]
    elif kind == "two inputs":
        inputs = [images, helper.make_tensor_value_info("shape", TensorProto.INT64, [4])]
        nodes = [cast, helper.make_node("Reshape", ["f", "shape"], ["logits"])]
    elif kind == "dynamic rank":
        # As many dimensions as the batch has images.
        constants = [numpy_helper.from_array(np.array(value), name) for name, value in (("one", [1]), ("zero", [0]))]
        nodes = [
            cast,
            helper.make_node("Shape", ["f"], ["batch"], start=0, end=1),
            helper.make_node("Expand", ["one", "batch"], ["shape"]),
            helper.make_node("Reshape", ["f", "shape"], ["logits"]),
        ]
    elif kind == "no rank":
        inputs = [helper.make_tensor_value_info("images", TensorProto.UINT8, None)]
        nodes = [cast, helper.make_node("Relu", ["f"], ["logits"])]
    elif kind == "free size":
        inputs = [helper.make_tensor_value_info("images", TensorProto.UINT8, ["N", "H", "W", 3])]
        nodes = [cast, helper.make_node("Relu", ["f"], ["logits"])]
    else:
        assert kind == "negative scale"
        constants = [
            numpy_helper.from_array(np.array(-1, np.float32), "s"),
            numpy_helper.from_array(np.array(0, np.int8), "z"),
        ]
        nodes = [
            cast,
            helper.make_node("QuantizeLinear", ["f", "s", "z"], ["q"]),
            helper.make_node("DequantizeLinear", ["q", "s", "z"], ["logits"]),
        ]
    graph = helper.make_graph(nodes, "bad", inputs, [logits], constants)
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("some.where", 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    set_spec(model, spec)
    onnx.save(model, path)
    return path


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("unsupported operator", r"cannot take .*bad\.onnx: NonZero \(node 1\)"),
        ("plugin", r"cannot take .*bad\.onnx: Magic \(node 1\).*Plugin not found"),
        ("two inputs", r"bad\.onnx has 2 inputs \(images, shape\)"),
        ("dynamic rank", r"cannot take .*bad\.onnx: Reshape \(node"),
        ("no rank", r"bad\.onnx: images has no fixed number of dimensions"),
        ("free size", r"bad\.onnx: dimensions \[1, 2\] of images are free"),
        ("negative scale", r"cannot take .*bad\.onnx: QuantizeLinear .*positive"),
    ],
)
def test_what_tensorrt_cannot_take_is_one_line_and_leaves_nothing(tensorrt, tiny_spec, tmp_path, kind, message):
    source = bad_onnx(tmp_path / "bad.onnx", tiny_spec, kind)
    precision = "int8" if kind == "negative scale" else "fp32"
    with pytest.raises(EdgesegError, match=message) as caught:
        build_engine(source, tmp_path / "x.engine", BuildOptions(precision, target=("sm86",)))
    assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["bad.onnx"]


@pytest.mark.parametrize("content", [b"", b"hello" * 100, "half"])
def test_a_damaged_model(tensorrt, artifact_of, tmp_path, content):
    whole = artifact_of("enet", "logits").read_bytes()
    (tmp_path / "bad.onnx").write_bytes(whole[: len(whole) // 2] if content == "half" else content)
    with pytest.raises(ModelError, match=r"bad\.onnx is (no ONNX file|empty)"):
        build_engine(tmp_path / "bad.onnx", tmp_path / "x.engine", SM86)
    assert [path.name for path in tmp_path.iterdir()] == ["bad.onnx"]


def test_a_model_without_a_spec(tensorrt, write_onnx, tmp_path):
    with pytest.raises(SpecError, match=METADATA_KEY):
        build_engine(write_onnx(tmp_path / "bare.onnx", spec_json=None), tmp_path / "x.engine", SM86)


def test_a_checkpoint_says_to_export_it_first(tensorrt, checkpoint_of, tmp_path):
    with pytest.raises(ModelError, match=r"is a checkpoint.*Run: edgeseg export .*fast_scnn\.pt"):
        build_engine(checkpoint_of("fast_scnn"), tmp_path / "x.engine", SM86)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (BuildOptions(target=("sm87",)), r"does not build for sm87.*sm86.*on a Jetson"),
        (BuildOptions("fp16", target=("sm86",), dla=0), "knows no dla"),
        (BuildOptions(target=("sm86",), version_compatible=True), "knows no version_compatible"),
        (BuildOptions(target=("sm86",), hardware_compatibility="ampere_plus"), "knows no hardware_compatibility"),
        (BuildOptions(target=("sm86",), batch=(1, 1, 4)), r"takes 1 image\(s\) at a time.*the batch 1"),
    ],
)
def test_options_that_do_not_suit(tensorrt, tiny_onnx, tmp_path, options, message):
    with pytest.raises(InputError, match=message):
        build_engine(tiny_onnx, tmp_path / "x.engine", options)
    assert not list(tmp_path.iterdir())


def has_gpu() -> bool:
    try:
        find_gpu()
    except EdgesegError:
        return False
    return True


@pytest.mark.skipif(has_gpu(), reason="there is a GPU to build for")
def test_without_a_gpu_the_target_must_be_named(tensorrt, tiny_onnx, tmp_path):
    with pytest.raises(EdgesegError, match=r"there is no .*Say what target to build for, such as sm86"):
        build_engine(tiny_onnx, tmp_path / "x.engine")
    assert not list(tmp_path.iterdir())


def test_a_target_folder_that_cannot_be(tensorrt, tiny_onnx, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(SinkError, match=r"x\.engine cannot be written"):
        build_engine(tiny_onnx, tmp_path / "file" / "x.engine", SM86)


def test_a_failed_build_keeps_the_old_engine(tensorrt, tiny_onnx, tiny_spec, tmp_path):
    engine = tmp_path / "x.engine"
    record = build_engine(tiny_onnx, engine, SM86)
    with pytest.raises(ModelError):
        build_engine(bad_onnx(tmp_path / "bad.onnx", tiny_spec, "plugin"), engine, SM86)
    assert check_fits(engine, tensorrt, Gpu("any", "sm86")) == record


class Recorder:
    """Notes the phases; ``at`` is called when the first step is done."""

    def __init__(self, at=lambda: None) -> None:
        self.started: list[str] = []
        self.open: list[str] = []
        self._at = at

    def start(self, phase, parent, steps):
        assert parent is None or parent in self.open
        self.started.append(phase)
        self.open.append(phase)

    def step(self, phase, done):
        at, self._at = self._at, lambda: None
        at()

    def finish(self, phase):
        self.open.remove(phase)


def test_progress_is_told(tensorrt, tiny_onnx, tmp_path):
    progress = Recorder()
    build_engine(tiny_onnx, tmp_path / "x.engine", SM86, progress=progress)
    assert len(progress.started) > 3
    assert not progress.open


def test_ctrl_c_ends_the_build_and_leaves_nothing(tensorrt, artifact_of, tmp_path):
    before = signal.getsignal(signal.SIGINT)
    progress = Recorder(at=lambda: os.kill(os.getpid(), signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        build_engine(artifact_of("enet", "logits"), tmp_path / "x.engine", SM86, progress=progress)
    assert not list(tmp_path.iterdir())
    assert signal.getsignal(signal.SIGINT) is before


def test_what_progress_raises_is_raised(tensorrt, artifact_of, tmp_path):
    def fail():
        raise RuntimeError("no more bars")

    with pytest.raises(RuntimeError, match="no more bars"):
        build_engine(artifact_of("enet", "logits"), tmp_path / "x.engine", SM86, progress=Recorder(fail))
    assert not list(tmp_path.iterdir())


def test_the_cache_builds_once_and_again_when_something_changes(tensorrt, tiny_onnx, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    first, second = Recorder(), Recorder()
    engine = cached_engine(tiny_onnx, SM86, progress=first)
    assert engine.parent == tmp_path / "cache" / "edgeseg" / "engines"
    assert cached_engine(tiny_onnx, SM86, progress=second) == engine
    assert first.started
    assert not second.started
    assert cached_engine(tiny_onnx, BuildOptions("fp16", target=("sm86",))) != engine
    engine.write_bytes(engine.read_bytes()[:-10])
    assert cached_engine(tiny_onnx, SM86) == engine
    check_fits(engine, tensorrt, Gpu("any", "sm86"))


BOOT = """
import sys
from pathlib import Path
from edgeseg.runtime.tensorrt.record import BuildOptions
from edgeseg_export.tensorrt.engine import cached_engine

class Gate:
    started = False
    def start(self, phase, parent, steps):
        if not self.started:
            print("building", flush=True)
            sys.stdin.readline()
        self.started = True
    def step(self, phase, done): pass
    def finish(self, phase): pass

gate = Gate()
path = cached_engine(
    Path(sys.argv[1]), BuildOptions(target=("sm86",)), progress=gate, waiting=lambda: print("waiting", flush=True)
)
print("built" if gate.started else "found", path, flush=True)
"""


def test_two_services_that_start_together_build_an_engine_once(tensorrt, tiny_onnx, tmp_path):
    def start():
        return subprocess.Popen(
            [sys.executable, "-c", BOOT, tiny_onnx],
            env={**os.environ, "XDG_CACHE_HOME": str(tmp_path)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    with start() as first:
        assert first.stdout.readline() == "building\n"
        with start() as second:
            assert second.stdout.readline() == "waiting\n"
            first.stdin.write("\n")
            first.stdin.flush()
            built, found = first.stdout.readline(), second.stdout.readline()
    assert built.startswith("built ")
    assert found == built.replace("built", "found")


def test_an_engine_in_the_cache_that_was_not_built_here_is_built_again(tensorrt, tiny_onnx, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    engine = cached_engine(tiny_onnx, SM86)
    assert was_built_here(read_record(engine).engine_sha256)
    engine.write_bytes(engine.read_bytes() + b"a stranger's")
    strange = replace(read_record(engine), engine_sha256=file_sha256(engine))
    record_path(engine).write_text(strange.to_json())
    assert cached_engine(tiny_onnx, SM86) == engine
    assert not engine.read_bytes().endswith(b"a stranger's")
    assert stat.S_IMODE(engine.parent.stat().st_mode) == 0o700


def test_an_engine_that_was_exported_is_known_to_be_built_here(tensorrt, tiny_onnx, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    record = build_engine(tiny_onnx, tmp_path / "x.engine", SM86)
    assert was_built_here(record.engine_sha256)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "another user's"))
    assert not was_built_here(record.engine_sha256)


def test_an_engine_that_cannot_be_noted_is_built_all_the_same(tensorrt, tiny_onnx, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    record = build_engine(tiny_onnx, tmp_path / "x.engine", SM86)
    assert check_fits(tmp_path / "x.engine", tensorrt, Gpu("any", "sm86")) == record


def test_the_model_is_never_the_engines_place(tensorrt, tiny_onnx, tmp_path):
    model = tmp_path / "model.onnx"
    model.write_bytes(tiny_onnx.read_bytes())
    (tmp_path / "x.engine").symlink_to(model)
    (tmp_path / "y.engine.json").symlink_to(model)
    for name in ("x.engine", "y.engine"):
        with pytest.raises(SinkError, match="would be lost"):
            build_engine(model, tmp_path / name, SM86)
    assert model.read_bytes() == tiny_onnx.read_bytes()


def test_what_the_command_line_writes_is_never_what_it_reads(tensorrt, run_cli, tiny_onnx, tmp_path):
    model = tmp_path / "model.onnx"
    model.write_bytes(tiny_onnx.read_bytes())
    (tmp_path / "link.engine").symlink_to(model)
    engine = ("export", model, "--format", "tensorrt", "--target", "sm86")
    for words in (
        (*engine, "--output", tmp_path / "link.engine"),
        (*engine, "--timing-cache", model),
        (*engine, "--timing-cache", tmp_path / "model.engine"),
        ("export", model, "--refine", "crf", "--output", model),
    ):
        done = run_cli(*words)
        assert (done.rc, done.stderr.count("\n")) == (2, 1), done.stderr
        assert "would be lost" in done.stderr
    assert model.read_bytes() == tiny_onnx.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link.engine", "model.onnx"]


def test_the_command_line(tensorrt, run_cli, tmp_path):
    words = ("--format", "tensorrt", "--precision", "fp16", "--target", "sm86", "--target", "sm89", "--batch", "1,2,4")
    done = run_cli("export", "fast_scnn-camvid", *words, cwd=tmp_path)
    assert done.rc == 0, done.stderr
    assert "fast_scnn-camvid.engine" in done.stdout
    assert f"fp16, {tensorrt} for sm86, sm89" in done.stdout
    assert "TensorRT: " in done.stderr
    record = read_record(tmp_path / "fast_scnn-camvid.engine")
    assert record.options == BuildOptions("fp16", (1, 2, 4), ("sm86", "sm89"))
    assert record.options.flags() == " " + " ".join(("--precision fp16 --batch 1,2,4", "--target sm86 --target sm89"))
    assert "Resize" not in done.stdout


def test_the_command_line_tells_whose_labels_an_engine_returns(tensorrt, run_cli, tiny_onnx, tmp_path):
    words = ("--format", "tensorrt", "--target", "sm86", "--head", "labels", "--output", tmp_path / "x.engine")
    done = run_cli("export", tiny_onnx, *words)
    assert done.rc == 0, done.stderr
    assert "out  labels  uint8 1x32x48" in done.stdout
    assert "labels by TensorRT-RTX's own Resize and ArgMax, for it does not have edgeseg's plugin" in done.stdout


def test_the_flags_in_a_record_build_the_same_engine_again(tensorrt, run_cli, artifact_of, tmp_path):
    source = artifact_of("enet", "logits")
    options = BuildOptions("fp16", (1, 2, 4), ("sm86",), workspace_mib=256)
    record = build_engine(source, tmp_path / "x.engine", options)
    again = tmp_path / "again.engine"
    words = record.options.flags().split()
    assert run_cli("export", source, "--format", "tensorrt", *words, "--output", again).rc == 0
    assert read_record(again).options == options


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("x.onnx", "--format", "tensorrt", "--height", "64"), "height belongs to the format onnx"),
        (("x.onnx", "--format", "tensorrt", "--head", "labels", "--refine", "crf"), "refine crf needs logits"),
        (("x.pt", "--target", "sm86"), "target belongs to the format tensorrt"),
        (("x.onnx", "--format", "tensorrt", "--batch", "1,2"), "--batch is '1,2'"),
        (("x.onnx", "--format", "tensorrt", "--output", "x.onnx"), "x.onnx does not end in .engine"),
    ],
)
def test_mistakes_on_the_command_line(run_cli, tmp_path, words, message):
    done = run_cli("export", *words, cwd=tmp_path)
    assert done.rc == 2
    assert done.stderr.startswith("edgeseg: error: ")
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_without_tensorrt_the_line_says_what_to_install(run_python):
    block = (
        "import sys\n"
        "for name in ('tensorrt', 'tensorrt_rtx', 'tensorrt_rtx_bindings'): sys.modules[name] = None\n"
        "from edgeseg.runtime.tensorrt.module import find_tensorrt\n"
        "try: find_tensorrt()\n"
        "except ImportError as error: print(error)\n"
    )
    rc, stdout, _ = run_python(block)
    assert rc == 0
    assert "Jetson" in stdout
    assert f"{pip_install('edgeseg[tensorrt]')}, or with [tensorrt-rtx] to build without a GPU" in stdout
