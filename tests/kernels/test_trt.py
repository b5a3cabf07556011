"""The plugin library in a real plugin registry, where it was built and a TensorRT, or TensorRT-RTX, is installed.

``EDGESEG_TRT_PLUGINS`` names a library that is not installed. The plugins' arithmetic, and what an engine stores of
them, is tested in ``kernels/tests/cuda_on_cpu``.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("onnx", reason="edgeseg_export needs onnx; pip install 'edgeseg[export]'")

from edgeseg.runtime.tensorrt.plugins import plugin_library

MODULES = ("tensorrt", "tensorrt_rtx", "tensorrt_rtx_bindings")

# In a process of its own: what is registered stays.
ASK = """
import ctypes, importlib, json, sys
import numpy as np

module, library, how, name, given = sys.argv[1:]
trt = importlib.import_module(module)
registry = trt.get_plugin_registry()
if how == "load":
    assert registry.load_library(library) is not None
else:
    ctypes.CDLL(library)
found = sorted(c.name for c in registry.all_creators if c.plugin_namespace == "edgeseg")
creator = registry.get_creator(name, "1", "edgeseg")
types = {field.name: field.type for field in creator.field_names}
as_array = {"FLOAT32": np.float32, "INT32": np.int32}
fields = []
for field, value in json.loads(given).items():
    kind = types[field]
    data = np.frombuffer(value.encode(), np.int8) if kind.name == "CHAR" else np.array(value, as_array[kind.name])
    fields.append(trt.PluginField(field, data, kind))
plugin = creator.create_plugin("node", trt.PluginFieldCollection(fields), trt.TensorRTPhase.BUILD)
build = plugin and plugin.get_capability_interface(trt.PluginCapabilityType.BUILD)
print(json.dumps({"found": found, "fields": sorted(types), "metadata": build and build.metadata_string}))
"""

FIELDS: dict[str, dict[str, object]] = {
    "DenseCRF": {
        "bilateral_sigma_xy_px": [40, 30.5],
        "bilateral_sigma_rgb": [5, 6, 7],
        "bilateral_weight": [4],
        "spatial_sigma_px": [2.25],
        "spatial_weight": [0.5],
        "iterations": [7],
        "compatibility": [0, 1, 2, 0],
        "more_bilateral": [9, 8, 20, 21, 22, 1.5],
        "more_spatial": [6, 7, 0.5],
        "quality": "accurate",
        "output": "marginals",
        "vertices": [4000],
    },
    "UpsampleArgmax": {"height": [360], "width": [480]},
}


def find_rtx() -> Path:
    """The folder with TensorRT-RTX's libraries."""
    spec = importlib.util.find_spec("tensorrt_rtx_libs")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent


def ask(folder: Path, how: str, name: str, fields: dict[str, object]) -> tuple[dict[str, object], str]:
    """The registry's answers and what stood on stderr."""
    library = os.environ.get("EDGESEG_TRT_PLUGINS") or plugin_library()
    if library is None or not Path(library).is_file():
        pytest.skip("the TensorRT plugins were not built: there is no nvcc or no NvInferRuntime.h")
    module = next((module for module in MODULES if importlib.util.find_spec(module)), None)
    if module is None:
        pytest.skip("neither TensorRT nor TensorRT-RTX is installed; pip install tensorrt-rtx-cu13-bindings")
    library = Path(library).resolve()
    environment = dict(os.environ)
    if how == "open" and module != "tensorrt":
        # It looks for a TensorRT of its headers' version; this one is called otherwise.
        if b"libnvinfer.so.11" not in library.read_bytes():
            pytest.skip("the library is for TensorRT 10, whose registry is laid out otherwise than TensorRT-RTX's")
        (tensorrt_rtx,) = find_rtx().glob("libtensorrt_rtx.so.*")
        (folder / "libnvinfer.so.11").symlink_to(tensorrt_rtx)
        environment["LD_LIBRARY_PATH"] = str(folder)
    done = subprocess.run(
        [sys.executable, "-c", ASK, module, str(library), how, name, json.dumps(fields)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    answers = json.loads(done.stdout.splitlines()[-1])
    assert isinstance(answers, dict)
    return answers, done.stderr + done.stdout


@pytest.mark.parametrize("how", ["load", "open"])
@pytest.mark.parametrize("name", FIELDS)
def test_the_registry_takes_the_library_and_a_plugin_keeps_its_fields(tmp_path: Path, how: str, name: str) -> None:
    answers, _ = ask(tmp_path, how, name, FIELDS[name])
    assert answers["found"] == ["DenseCRF", "UpsampleArgmax"]
    assert answers["fields"] == sorted(FIELDS[name])
    stored = dict(part.split("=") for part in str(answers["metadata"]).split("; "))
    expected = {field: value if isinstance(value, str) else numbers(value) for field, value in FIELDS[name].items()}
    assert stored == expected


def numbers(values: object) -> str:
    assert isinstance(values, list)
    return ", ".join(f"{value:g}" for value in values)


def test_fields_left_out_have_the_defaults_of_python(tmp_path: Path) -> None:
    from edgeseg.spec.crf_params import CrfParams

    answers, _ = ask(tmp_path, "load", "DenseCRF", {})
    stored = dict(part.split("=") for part in str(answers["metadata"]).split("; "))
    defaults = vars(CrfParams())
    shared = {name: float(value) for name, value in stored.items() if name in defaults}
    assert shared == {name: value for name, value in defaults.items() if isinstance(value, (int, float))}
    assert (stored["quality"], stored["output"], stored["vertices"]) == ("fast", "labels", "0")


def test_a_wrong_value_is_refused_with_its_name(tmp_path: Path) -> None:
    answers, said = ask(tmp_path, "load", "DenseCRF", {"iterations": [-1]})
    assert answers["metadata"] is None
    assert "field iterations has to be a number from 0 to 1000" in said
