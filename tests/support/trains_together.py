"""A run in twice the digits that tells what it did; by itself, or as one of several processes under torchrun.

In float32 the roundings of a few steps grow, as AdamW divides gradients by their own size; in float64 whatever differs
by more than a billionth is another computation.
"""

from __future__ import annotations

import shutil
import sys
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import torch
from quick_training import QUICK

from edgeseg.train.distributed import joined
from edgeseg.train.loop import Trainer
from edgeseg.train.world import world


def main(data: str, output: str, resume: str) -> None:
    """Train for two epochs; the losses of all steps, and the folder as it was after the first, are left too."""
    torch.set_default_dtype(torch.float64)
    torch.Tensor.float = torch.Tensor.double  # type: ignore[method-assign]
    loss = "ohem(0.5) + dice + lovasz(0.5) + boundary(0.2)"
    config = replace(QUICK, data=data, output=output, epochs=2, warmup_epochs=1, eval_every=1, loss=loss)
    losses = []

    def keep(row: dict[str, float]) -> None:
        if row["epoch"] == 1 and world().is_first:
            shutil.copytree(output, f"{output}-begun")

    with joined(sys.exit) as group:
        group.connect("cpu")
        trainer = Trainer(config)
        for module in (trainer.task, trainer.learner.ema):
            module.double()
        trainer.run(resume=resume == "resume", on_step=lambda *step: losses.append(step[3]), on_epoch=keep)
        if world().is_first:
            torch.save({"losses": losses, **trainer.learner.state()["network"]}, f"{output}/told.pt")


if __name__ == "__main__":
    main(*sys.argv[1:])
