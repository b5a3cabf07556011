"""PyTorch, to run a checkpoint as it is: on the GPU where PyTorch finds one, else on the CPU."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edgeseg.errors import ModelError
from edgeseg.installing import installed_version
from edgeseg.runtime.backend import Backend, BackendInfo, DoctorLine, check_images

if TYPE_CHECKING:
    import torch

    from edgeseg.models.checkpoint import Checkpoint


class _PyTorch(BackendInfo):
    suffixes = frozenset({".pt"})
    package = "torch"
    install = "edgeseg[train]"

    def open(self, path: Path, *, threads: int | None = None, trust_engine: bool = False) -> Backend:
        return PytorchBackend(path, threads=threads)

    def doctor(self) -> DoctorLine:
        version = installed_version("torch")
        return "torch", version or "not installed; only training, export and .pt models need it", True


PYTORCH = _PyTorch()


class PytorchBackend:
    """A checkpoint's network in eval mode.

    Args:
        source: a checkpoint that ``edgeseg train`` wrote, or what was read of it.
        threads: CPU threads; PyTorch has one number for the whole process, and None leaves it alone.

    Raises:
        ModelError: the file is damaged, or no checkpoint of edgeseg.
        SpecError: its spec is malformed.
    """

    def __init__(self, source: Path | Checkpoint, *, threads: int | None = None) -> None:
        import torch
        from torch import nn

        from edgeseg.models.checkpoint import read_checkpoint
        from edgeseg.models.normalise import Normalise

        if threads is not None:
            torch.set_num_threads(threads)
        self.max_batch: int | None = None
        checkpoint = read_checkpoint(source)
        self.spec = checkpoint.spec
        self._path = checkpoint.path
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        deployed = nn.Sequential(Normalise(self.spec), checkpoint.network())
        self._network: nn.Module | None = deployed.to(self._device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    def infer(self, images: NDArray[np.uint8]) -> NDArray[np.float32] | NDArray[np.uint8]:
        """See :meth:`edgeseg.runtime.backend.Backend.infer`."""
        check_images(images, self.spec.input_size)
        return self.infer_any(images)

    def infer_any(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(N, C, h, w) float32 logits of (N, H, W, 3) uint8 RGB, of any size that the network takes."""
        if self._network is None:
            raise ModelError(f"{self._path} is closed", "Open the model again")
        check_images(images, (images.shape[1], images.shape[2]))
        import torch

        try:
            with torch.inference_mode():
                pixels = torch.tensor(np.ascontiguousarray(images), device=self._device).permute(0, 3, 1, 2)
                logits: torch.Tensor = self._network(pixels)
                return np.ascontiguousarray(logits.float().cpu().numpy())
        except RuntimeError as error:
            reason = " ".join(str(error).split())
            raise ModelError(f"{self._path} failed to run ({reason})", "Train or export the model again") from error

    def close(self) -> None:
        """Free the network."""
        self._network = None
