"""What to say where a training fails: where it diverges, and where PyTorch has but words, or classes of its own."""

from __future__ import annotations

import torch

from edgeseg.errors import DeviceError
from edgeseg.train.batches import ended_process
from edgeseg.train.config import TrainConfig
from edgeseg.train.folder import MODEL_FILE, RESUME_FILE
from edgeseg.train.health import DivergedError


def told(error: Exception, config: TrainConfig, device: torch.device) -> DeviceError | None:
    """The error for the user; None for what is a bug."""
    if isinstance(error, RuntimeError) and (ended := ended_process(error)) is not None:
        return ended
    if type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        return DeviceError(f"the network could not be compiled ({reason:.120})", "Set compile to off")
    # Of GPUs that are full there is a class; of a CPU words.
    if isinstance(error, MemoryError | torch.OutOfMemoryError) or "DefaultCPUAllocator" in str(error):
        return DeviceError(
            f"{device} has not enough memory for batches of {config.batch_size}",
            "Set a smaller batch_size, or smaller crop_height and crop_width",
        )
    return None


def diverged(what: str, config: TrainConfig, *, epochs: int, mixed: bool) -> DivergedError:
    """The error of a run whose losses or weights are numbers no more.

    Args:
        what: has happened.
        config: the recipe.
        epochs: that were done before, whose state is in the folder.
        mixed: whether the network computes in 16 bits.
    """
    folder = config.folder
    kept = f"; {folder / RESUME_FILE} is the state after epoch {epochs}" if epochs else ""
    remedies = [f"a learning_rate below {config.learning_rate:g}"]
    if mixed:
        remedies.append("amp off")
    start = f"init {folder / MODEL_FILE}" if (folder / MODEL_FILE).exists() and not config.qat else ""
    return DivergedError(
        f"{what}, so that nothing more can be learned{kept}",
        f"Train into another output with {' or '.join(remedies)}" + (f", starting from {start}" if start else ""),
    )
