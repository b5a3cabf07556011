"""ONNX files as artifacts: the spec in them, and writing them whole or not at all."""

from __future__ import annotations

import onnx
import pytest

from edgeseg.errors import SinkError
from edgeseg.runtime.registry import open_backend
from edgeseg_export.artifact import rewrite_spec


def test_another_spec_leaves_the_graph_alone(artifact_of, tmp_path):
    path = tmp_path / "copy.onnx"
    path.write_bytes(artifact_of("fast_scnn", "logits").read_bytes())
    before = onnx.load(path).graph
    spec = open_backend(path).spec.with_metrics(val_miou=0.75)
    rewrite_spec(path, spec)
    assert open_backend(path).spec == spec
    assert onnx.load(path).graph == before
    assert [p.name for p in tmp_path.iterdir()] == ["copy.onnx"]


def test_the_original_stays_when_another_file_is_written(artifact_of, tmp_path):
    original = artifact_of("fast_scnn", "logits")
    before = original.read_bytes()
    spec = open_backend(original).spec.with_metrics(val_miou=0.5)
    rewrite_spec(original, spec, tmp_path / "new" / "tuned.onnx")
    assert original.read_bytes() == before
    assert open_backend(tmp_path / "new" / "tuned.onnx").spec == spec


def test_no_torch_is_needed(run_python):
    done = run_python("import sys, edgeseg_export.artifact; print('torch' in sys.modules)")
    assert done == (0, "False\n", "")


def test_a_failed_write_leaves_the_old_file_and_no_half(artifact_of, tmp_path):
    path = tmp_path / "copy.onnx"
    path.write_bytes(artifact_of("fast_scnn", "logits").read_bytes())
    before = path.read_bytes()
    (tmp_path / "file").touch()
    for output in (tmp_path, tmp_path / "file" / "x.onnx", tmp_path / ("x" * 300)):
        with pytest.raises(SinkError, match="cannot be written"):
            rewrite_spec(path, open_backend(path).spec.with_metrics(val_miou=0.75), output)
    assert path.read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["copy.onnx", "file"]
