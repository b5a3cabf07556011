"""Recipes: settings of training that go well together, one flat YAML file each, with the data it was tried on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgeseg.errors import InputError
from edgeseg.train.config import TrainConfig

_FOLDER = Path(__file__).parent

RECIPES = tuple(sorted(path.stem for path in _FOLDER.glob("*.yaml")))
"""Their names."""


def read_recipe(name: str) -> dict[str, Any]:
    """The settings of a recipe, for :class:`edgeseg.train.config.TrainConfig` beside those of one's own.

    >>> TrainConfig(data="my_data", **read_recipe("few"))

    Raises:
        InputError: no such recipe.
    """
    if name not in RECIPES:
        raise InputError(f"there is no recipe {name!r}", f"Use {', '.join(RECIPES)}")
    return TrainConfig.read(_FOLDER / f"{name}.yaml")
