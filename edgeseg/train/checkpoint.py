"""The state that ``--resume`` continues from: written after each epoch, complete or not at all."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from edgeseg.errors import ModelError
from edgeseg.models.checkpoint import load_trusted, save_atomically
from edgeseg.train.config import TrainConfig

RESUME_FILE = "last.pt"

_FREE = frozenset({"data", "output", "device", "threads", "eval_every"})
"""Settings that may differ between the run and its continuation: they do not change the curve."""


def save_state(folder: Path, config: TrainConfig, epoch: int, state: dict[str, Any]) -> None:
    """Write last.pt: ``epoch`` epochs are done."""
    save_atomically(folder / RESUME_FILE, {"config": _recipe(config), "epoch": epoch, **state})


def load_state(folder: Path, config: TrainConfig) -> dict[str, Any]:
    """Read last.pt.

    Raises:
        ModelError: not there, damaged, or of a run with another recipe.
    """
    path = folder / RESUME_FILE
    if not path.is_file():
        raise ModelError(f"there is no {path} to resume from", "Start without --resume, or correct --output")
    state = load_trusted(path)
    recipe = _recipe(config)
    if differing := sorted(k for k in recipe if state.get("config", {}).get(k) != recipe[k]):
        key = differing[0]
        raise ModelError(
            f"{path} was trained with {key}={state.get('config', {}).get(key)}, not {recipe[key]}",
            "Resume with the settings of the run (its config.yaml), or start anew in another --output",
        )
    return state


def _recipe(config: TrainConfig) -> dict[str, Any]:
    return {k: v for k, v in dataclasses.asdict(config).items() if k not in _FREE}
