"""Runs in twice the digits that tell what they did; by one process, or by several under torchrun.

In float32 the roundings of a few steps grow, as AdamW divides gradients by their own size; in float64 whatever differs
by more than a billionth is another computation.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import torch
from quick_training import QUICK

from edgeseg.train.distributed import joined
from edgeseg.train.loop import Trainer
from edgeseg.train.world import world


@contextmanager
def twice_the_digits() -> Iterator[None]:
    """A block in which PyTorch computes in float64 unless it is told otherwise."""
    digits, to_float = torch.get_default_dtype(), torch.Tensor.float
    torch.set_default_dtype(torch.float64)
    torch.Tensor.float = torch.Tensor.double  # type: ignore[method-assign]
    try:
        yield
    finally:
        torch.set_default_dtype(digits)
        torch.Tensor.float = to_float  # type: ignore[method-assign]


def train(changes: dict[str, Any], *, resume: bool = False) -> None:
    """Train for two epochs; the losses of all steps, and the folder as it was after the first, are left too."""
    config = replace(QUICK, height=32, width=64, epochs=2, warmup_epochs=1, eval_every=2, **changes)
    losses = []

    def keep(row: dict[str, float]) -> None:
        if row["epoch"] == 1 and world().is_first:
            shutil.copytree(config.folder, f"{config.folder}-begun")

    trainer = Trainer(config)
    for module in (trainer.task, trainer.learner.ema):
        module.double()
    trainer.run(resume=resume, on_step=lambda *step: losses.append(step[3]), on_epoch=keep)
    if world().is_first:
        torch.save({"losses": losses, **trainer.learner.state()["network"]}, config.folder / "told.pt")


def main(runs: str) -> None:
    """Train one after the other: the changes of each, and whether it is resumed, from a JSON file."""
    with joined(sys.exit) as group, twice_the_digits():
        group.connect("cpu")
        for changes, resume in json.loads(Path(runs).read_text()):
            train(changes, resume=resume)


if __name__ == "__main__":
    main(*sys.argv[1:])
