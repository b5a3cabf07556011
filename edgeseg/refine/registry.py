"""Refiners by name; each is imported when it is first asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from edgeseg.errors import InputError
from edgeseg.plugins import Plugins

if TYPE_CHECKING:
    from edgeseg.refine.base import Refiner
    from edgeseg.spec import ModelSpec

REFINERS: Plugins[Callable[[ModelSpec, int], Refiner]] = Plugins(
    "edgeseg.refiners",
    {
        "crf": "edgeseg.refine.crf:fast_refiner",
        "crf-accurate": "edgeseg.refine.crf:accurate_refiner",
        "guided": "edgeseg.refine.guided:refiner",
    },
)
"""What makes a refiner of a model's spec and the most threads to use, 0 for all cores."""


def open_refiner(name: str, spec: ModelSpec, threads: int | None = None) -> Refiner | None:
    """The refiner of that name for a model; None for ``none``.

    Args:
        name: ``none``, or one of :data:`REFINERS`.
        spec: the model's.
        threads: the most to use; None for all cores.

    Raises:
        InputError: no such name.
        ModelError: the model cannot be refined.
    """
    if name == "none":
        return None
    if name not in REFINERS:
        raise InputError(f"there is no refinement {name!r}", f"Use one of none, {', '.join(REFINERS)}")
    from edgeseg.refine.base import check_refinable

    check_refinable(spec)
    return REFINERS[name](spec, threads or 0)
