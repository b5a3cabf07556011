"""The Backend protocol, what edgeseg needs of an inference engine, and BackendInfo, what it knows of one unloaded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from edgeseg.errors import InputError
from edgeseg.runtime.cuda.gpu import Gpu
from edgeseg.spec import ModelSpec


class Backend(Protocol):
    """One loaded model on one inference engine.

    Where an engine can have several calls under way, ``infer`` may come from several threads; that is how frames
    overlap, and there is no other pair of calls for it.

    Attributes:
        spec: what the model takes and returns.
        max_batch: the most images that ``infer`` takes at a time, fewer being as welcome; None for any number.
    """

    spec: ModelSpec
    max_batch: int | None

    def infer(self, images: NDArray[np.uint8]) -> NDArray[np.float32] | NDArray[np.uint8]:
        """Run the network.

        Args:
            images: (N, H, W, 3) uint8 RGB, with (H, W) equal to ``spec.input_size``.

        Returns:
            (N, C, h, w) float32 logits, h = ceil(H / stride), where ``spec.output`` is ``logits``; (N, H, W) uint8
            labels where it is ``labels``. The array belongs to the caller: a later call does not overwrite it.

        Raises:
            InputError: images of another shape or dtype.
            ModelError: the engine failed.
        """
        ...

    def close(self) -> None:
        """Free what the engine holds. Calling it twice is harmless; infer after it raises ModelError."""
        ...


@dataclass(frozen=True)
class LayerLatency:
    """What one layer of a network takes, as the engine has it: several may have become one.

    Attributes:
        name: as the engine calls it.
        op_type: what it computes, such as ``Conv``.
        ms: median milliseconds of a run.
    """

    name: str
    op_type: str
    ms: float


@runtime_checkable
class ProfilingBackend(Backend, Protocol):
    """A backend that also tells where the milliseconds go; ONNX Runtime's on the CPU does."""

    def profile(self, images: NDArray[np.uint8], runs: int = 20) -> tuple[LayerLatency, ...]:
        """Run the network so many times, after one to warm up, and time each layer, in the order they run in.

        Args:
            images: as :meth:`Backend.infer` takes them.
            runs: how many.

        Raises:
            InputError: images of another shape or dtype, or no runs.
            ModelError: the engine failed, or cannot tell.
        """
        ...


DoctorLine = tuple[str, str, bool]
"""A name, what was found, and False where every run needs it and it does not work."""


@dataclass(frozen=True)
class Fit:
    """How well an engine suits an ONNX artifact on this machine.

    Attributes:
        score: the higher the better; ``auto`` takes the highest of those that lack nothing. ONNX Runtime's CPU, which
            runs everywhere, has 10.
        reason: why it suits, in words; empty where that is the GPU that is there, or that there is none.
        lacks: what keeps it from running here, in words; empty for nothing.
    """

    score: float
    reason: str = ""
    lacks: str = ""


class BackendInfo:
    """An engine before it is loaded: this costs next to nothing, and works where the engine is not installed.

    An engine derives from it, and an instance plugs in under a name: see :data:`edgeseg.runtime.registry.BACKENDS`.

    Attributes:
        suffixes: of the files that are its own, such as ``.engine``.
        package: what must be importable, for a message.
        install: what pip installs then, as :func:`edgeseg.installing.pip_install` takes it.
    """

    suffixes: ClassVar[frozenset[str]] = frozenset()
    package: str = ""
    install: str = ""

    def open(self, path: Path, *, threads: int | None = None, trust_engine: bool = False) -> Backend:
        """Load an artifact. See :func:`edgeseg.runtime.registry.open_backend`.

        Raises:
            ImportError: the engine is not installed.
        """
        raise NotImplementedError

    def build(self, onnx: Path) -> Path:
        """The engine's own file for an ONNX artifact, made anew or found in a cache; the artifact itself by default."""
        return onnx

    def fit(self, spec: ModelSpec | None, gpu: Gpu | None) -> Fit | None:
        """How well it suits an ONNX artifact here; None where it does not come into question.

        Args:
            spec: the artifact's; None for any in float.
            gpu: the GPU of this machine; None for none.
        """
        return None

    def doctor(self) -> DoctorLine | None:
        """What ``edgeseg doctor`` says of it; None where another line says it."""
        return None


def check_images(images: NDArray[np.uint8], size: tuple[int, int]) -> None:
    """Raise InputError unless ``images`` is (N, H, W, 3) uint8 with N >= 1 and (H, W) equal to ``size``."""
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1:] != (*size, 3) or not len(images):
        raise InputError(
            f"images have shape {images.shape} and dtype {images.dtype}",
            f"Pass (N, {size[0]}, {size[1]}, 3) uint8 RGB; edgeseg.runtime.preprocess.to_input does so",
        )
