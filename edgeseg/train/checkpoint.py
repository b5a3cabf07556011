"""The state of a run, which is written whole after each epoch."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from edgeseg.errors import ModelError
from edgeseg.models.checkpoint import load_trusted, save_atomically
from edgeseg.train.config import TrainConfig
from edgeseg.train.folder import CONFIG_FILE, RESUME_FILE

_FREE = frozenset({"data", "output", "device", "threads", "compile", "eval_every"})
"""Settings that may differ between the run and its continuation: they are no part of the recipe.

Another device, other threads or another version of PyTorch add numbers up in another order, so that the curve goes on
near the one it would have had, not on it.
"""


def save_state(folder: Path, config: TrainConfig, epoch: int, state: dict[str, Any]) -> None:
    """Write last.pt: ``epoch`` epochs are done.

    Raises:
        SinkError: it cannot be written.
    """
    save_atomically(folder / RESUME_FILE, {"config": _recipe(config), "epoch": epoch, **state})


def load_state(folder: Path, config: TrainConfig) -> dict[str, Any]:
    """Read last.pt.

    Raises:
        ModelError: not there, damaged, or of a run with another recipe.
    """
    path = folder / RESUME_FILE
    if not path.is_file():
        raise ModelError(f"there is no {path} to resume from", "Start without resume, or correct output")
    state = load_trusted(path)
    recipe, before = _recipe(config), state.get("config")
    if not isinstance(before, dict):
        raise ModelError(f"{path} is not the state of a training run", "Start anew in another output")
    before = {**_recipe(TrainConfig(data=config.data)), **TrainConfig.renewed(before)}  # it may lack newer settings
    for key, value in recipe.items():
        recorded = before[key]
        if isinstance(recorded, str):
            recorded = TrainConfig.OLD_NAMES.get(key, {}).get(recorded, recorded)
        if recorded != value:
            raise ModelError(
                f"{path} was trained with {key}={recorded!r}, not {value!r}",
                f"Resume with the settings of the run ({CONFIG_FILE} beside it), or start anew in another output",
            )
    return state


def _recipe(config: TrainConfig) -> dict[str, Any]:
    return {k: v for k, v in dataclasses.asdict(config).items() if k not in _FREE}
