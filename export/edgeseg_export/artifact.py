"""ONNX files as edgeseg's artifacts: a ModelSpec in the metadata, written whole or not at all. Knows no torch."""

from __future__ import annotations

from pathlib import Path

import onnx

from edgeseg.artifact.onnx import load_model, set_spec
from edgeseg.files.whole import written_whole
from edgeseg.spec import ModelSpec

__all__ = ["rewrite_spec", "set_spec"]


def rewrite_spec(path: Path, spec: ModelSpec, output: Path | None = None) -> None:
    """Give an exported file another spec, its graph untouched.

    Args:
        path: the .onnx file.
        spec: its new spec.
        output: the file to write; None for ``path`` itself.

    Raises:
        ModelError: the file cannot be read as ONNX.
        SinkError: the file cannot be written.
    """
    model = load_model(path)
    set_spec(model, spec)
    with written_whole(output or path, make_folders=True) as partial:
        onnx.save(model, partial)
