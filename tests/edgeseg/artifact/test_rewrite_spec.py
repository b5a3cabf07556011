"""Another spec for a file that is there: the graph untouched, the file whole or not at all."""

from __future__ import annotations

import pytest

pytest.importorskip("onnx", reason="onnx writes the test models; pip install 'edgeseg[export]'")

import onnx

from edgeseg.artifact.onnx import read_spec, rewrite_spec
from edgeseg.errors import SinkError


@pytest.fixture
def path(tiny_onnx, tmp_path):
    path = tmp_path / "copy.onnx"
    path.write_bytes(tiny_onnx.read_bytes())
    return path


def test_another_spec_leaves_the_graph_alone(path, tiny_spec):
    before = onnx.load(path).graph
    spec = tiny_spec.with_metrics(val_miou=0.75)
    rewrite_spec(path, spec)
    assert read_spec(path) == spec
    assert onnx.load(path).graph == before
    assert [p.name for p in path.parent.iterdir()] == ["copy.onnx"]


def test_the_original_stays_when_another_file_is_written(path, tiny_spec, tmp_path):
    before = path.read_bytes()
    spec = tiny_spec.with_metrics(val_miou=0.5)
    rewrite_spec(path, spec, tmp_path / "new" / "tuned.onnx")
    assert path.read_bytes() == before
    assert read_spec(tmp_path / "new" / "tuned.onnx") == spec


def test_a_failed_write_leaves_the_old_file_and_no_half(path, tiny_spec, tmp_path):
    before = path.read_bytes()
    (tmp_path / "file").touch()
    for output in (tmp_path, tmp_path / "file" / "x.onnx", tmp_path / ("x" * 300)):
        with pytest.raises(SinkError, match="cannot be written"):
            rewrite_spec(path, tiny_spec.with_metrics(val_miou=0.75), output)
    assert path.read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["copy.onnx", "file"]
