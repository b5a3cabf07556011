"""A model in ONNX Runtime for as long as a measurement of it takes, from wherever it comes."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import onnx

from edgeseg.runtime.backend import Backend
from edgeseg.runtime.ort.backend import OrtBackend


@contextmanager
def opened(model: onnx.ModelProto | Path | Backend, threads: int | None = None) -> Iterator[Backend]:
    """A model to run: one in memory, or a file, opened and closed; or one that is open, and stays so.

    Args:
        model: the model.
        threads: CPU threads of what is opened here; None means all cores.

    Raises:
        ModelError, SpecError: as :class:`edgeseg.runtime.ort.backend.OrtBackend`.
    """
    if isinstance(model, Path):
        with closing(OrtBackend(model, threads=threads)) as backend:
            yield backend
    elif isinstance(model, onnx.ModelProto):
        with tempfile.TemporaryDirectory(prefix="edgeseg-") as folder:
            path = Path(folder, "model.onnx")
            onnx.save(model, path)
            backend = OrtBackend(path, threads=threads)
        with closing(backend):
            yield backend
    else:
        yield model
