"""What to say where PyTorch fails in training and has but words for it, or classes of its own."""

from __future__ import annotations

import torch

from edgeseg.errors import DeviceError
from edgeseg.train.batches import ended_process
from edgeseg.train.config import TrainConfig


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
