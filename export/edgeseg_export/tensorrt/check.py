"""Does an engine say what the ONNX file says that it was built from? Both run here: the engine on the GPU."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgeseg.evaluation.parity import Parity, compare, probe_images
from edgeseg.refine.base import probabilities_of
from edgeseg.refine.crf import CrfRefiner
from edgeseg.runtime.backend import Backend
from edgeseg.runtime.postprocess import to_labels
from edgeseg.runtime.registry import open_backend
from edgeseg.runtime.tensorrt.record import EnginePrecision, EngineRecord

AGREEMENT: dict[EnginePrecision, float] = {"fp32": 0.998, "fp16": 0.99, "int8": 0.98}
"""The least fraction of equal labels. TensorRT's fp32 is TF32 on many GPUs, and probe images leave labels undecided
more often than pictures do: a mistake in the graph moves far more of them."""


class RefinedOnCpu:
    """A backend and the dense CRF behind it, as one that returns labels: what the plugin in an engine computes."""

    def __init__(self, backend: Backend) -> None:
        self.spec = replace(backend.spec, output="labels", stride=1)
        self.max_batch = backend.max_batch
        self._backend = backend
        self._refine = CrfRefiner(backend.spec.crf)

    def infer(self, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """See :meth:`edgeseg.runtime.backend.Backend.infer`."""
        labels = []
        for image in images:
            logits = np.asarray(self._backend.infer(image[np.newaxis]), np.float32)
            scores = self._refine(probabilities_of(logits, self.spec.input_size), image)
            labels.append(to_labels(scores[np.newaxis], self.spec.input_size, 0))
        return np.stack(labels)

    def close(self) -> None:
        self._backend.close()


def check_engine(engine: Path, source: Path, record: EngineRecord) -> Parity:
    """Run probe images through an engine and through the ONNX file it came from, which runs on the CPU.

    Args:
        engine: what ``build_engine`` has just written, for this machine.
        source: the ONNX file without the CRF; the CPU kernel makes labels of its logits.
        record: of the engine.

    Raises:
        EdgesegError: as :class:`edgeseg.runtime.tensorrt.backend.TrtBackend`.
    """
    images = probe_images(record.spec.input_size)
    with ExitStack() as opened:
        reference: Backend = open_backend(source, backend="ort")
        opened.callback(reference.close)
        if record.plugins and record.options.head == "logits":
            reference = RefinedOnCpu(reference)
            images = images[::2]  # not the noise, which may need more of the lattice than the plugin has room for
        candidate = open_backend(engine, backend="tensorrt", trust_engine=True)
        opened.callback(candidate.close)
        return compare(reference, candidate, ((image, None) for image in images))
