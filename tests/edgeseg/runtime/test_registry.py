from __future__ import annotations

import pytest

from edgeseg.errors import InputError, ModelError
from edgeseg.runtime.ort.backend import OrtBackend
from edgeseg.runtime.registry import BACKENDS, open_backend


def test_the_suffix_chooses(tiny_onnx):
    assert isinstance(open_backend(tiny_onnx), OrtBackend)
    assert isinstance(open_backend(str(tiny_onnx)), OrtBackend)


def test_a_name_wins_over_the_suffix(tiny_onnx, tmp_path):
    renamed = tmp_path / "model.bin"
    renamed.write_bytes(tiny_onnx.read_bytes())
    assert isinstance(open_backend(renamed, backend="ort"), OrtBackend)
    with pytest.raises(ModelError, match=r"no backend is known for .*model\.bin.*\.onnx, \.pt"):
        open_backend(renamed)


def test_unknown_backend_lists_those_there_are(tiny_onnx):
    with pytest.raises(InputError, match="no backend 'tvm'") as caught:
        open_backend(tiny_onnx, backend="tvm")
    assert all(name in str(caught.value) for name in BACKENDS)


@pytest.mark.parametrize("threads", [0, -1])
def test_threads_are_1_or_more(tiny_onnx, threads):
    with pytest.raises(InputError, match=f"threads is {threads}"):
        open_backend(tiny_onnx, threads=threads)


def test_missing_file(tmp_path):
    with pytest.raises(ModelError, match=r"no model file .*nowhere\.onnx"):
        open_backend(tmp_path / "nowhere.onnx")
