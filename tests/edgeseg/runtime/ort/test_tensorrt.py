"""What ONNX Runtime's TensorRT provider is told. What it makes of that has not been seen: there is no GPU here."""

from __future__ import annotations

from dataclasses import replace

import onnxruntime
import pytest

from edgeseg.runtime.ort import backend as ort
from edgeseg.runtime.ort.tensorrt import MOST_IMAGES, provider_options, tensorrt_options


def test_engines_and_times_are_kept_and_float_is_computed_in_fp16(tiny_spec, tmp_path):
    assert provider_options(tiny_spec, None, tmp_path) == {
        "trt_engine_cache_enable": "True",
        "trt_engine_cache_path": str(tmp_path),
        "trt_timing_cache_enable": "True",
        "trt_timing_cache_path": str(tmp_path),
        "trt_fp16_enable": "True",
    }


def test_int8_is_computed_where_it_is_in_tensorrts_form(tiny_spec, tmp_path):
    for precision, wanted in (("fp32", None), ("fp16", None), ("int8-cpu", None), ("int8-tensorrt", "True")):
        options = provider_options(replace(tiny_spec, precision=precision), None, tmp_path)
        assert options.get("trt_int8_enable") == wanted


def test_the_shapes_that_will_come_are_told_where_the_batch_is_open(tiny_spec, tmp_path):
    options = provider_options(tiny_spec, "images", tmp_path)
    shapes = [options[f"trt_profile_{name}_shapes"] for name in ("min", "opt", "max")]
    assert shapes == ["images:1x32x48x3", "images:1x32x48x3", f"images:{MOST_IMAGES}x32x48x3"]
    assert all(isinstance(value, str) for value in options.values())


def test_every_model_has_a_cache_of_its_own(tiny_onnx, tiny_spec, tmp_path, monkeypatch):
    """The provider names engines after the graph without its weights."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    copies = [tmp_path / "a.onnx", tmp_path / "b.onnx"]
    copies[0].write_bytes(tiny_onnx.read_bytes())
    copies[1].write_bytes(tiny_onnx.read_bytes() + b"\x12\x01x")  # another producer_name
    folders = [tensorrt_options(path, tiny_spec, None)["trt_engine_cache_path"] for path in (*copies, tiny_onnx)]
    assert folders[0] == folders[2] != folders[1]
    assert all(folder.startswith(str(tmp_path / "cache" / "edgeseg" / "onnxruntime")) for folder in folders)


@pytest.mark.parametrize("model", ["tiny_onnx", "convnet"])
def test_the_provider_gets_them(request, model, tmp_path, monkeypatch):
    """In a session of the real ONNX Runtime, with the CPU in the provider's place."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    asked = []
    real = onnxruntime.InferenceSession

    def open_session(path, options, providers, **_how):
        asked.append(providers)
        session = real(path, options, providers=["CPUExecutionProvider"])
        session.get_providers = lambda: [name if isinstance(name, str) else name[0] for name in providers]
        return session

    known = ["TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: known)
    monkeypatch.setattr(onnxruntime, "InferenceSession", open_session)
    backend = ort.OrtBackend(request.getfixturevalue(model), threads=1, provider="tensorrt")
    (name, options), *others = asked[-1]
    assert (name, others) == ("TensorrtExecutionProvider", known[1:])
    assert ("trt_profile_max_shapes" in options) == (model == "convnet")
    assert backend.max_batch == (MOST_IMAGES if model == "convnet" else 1)
