"""ONNX files as edgeseg's artifacts: a ModelSpec in the metadata, written whole or not at all. Knows no torch."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import onnx

from edgeseg.errors import SinkError
from edgeseg.spec import METADATA_KEY, ModelSpec


def set_spec(model: onnx.ModelProto, spec: ModelSpec) -> None:
    """Put the spec into a model's metadata, in place of all that is there."""
    onnx.helper.set_model_props(model, {METADATA_KEY: spec.to_json()})


def rewrite_spec(path: Path, spec: ModelSpec, output: Path | None = None) -> None:
    """Give an exported file another spec, its graph untouched.

    Args:
        path: the .onnx file.
        spec: its new spec.
        output: the file to write; None for ``path`` itself.

    Raises:
        SinkError: the file cannot be written.
    """
    model = onnx.load(path)
    set_spec(model, spec)
    with replacing(output or path) as partial:
        onnx.save(model, partial)


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A file beside ``path`` that takes its place once it is whole; whether it can be made shows before the work.

    Raises:
        SinkError: the file cannot be written.
    """
    partial = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.touch()
        yield partial
        os.replace(partial, path)
    except OSError as error:
        raise SinkError(f"{path} cannot be written ({error.strerror})", "Choose another --output") from None
    finally:
        with contextlib.suppress(OSError):
            partial.unlink()
