"""Learning-rate schedules as a factor of the peak rate."""

from __future__ import annotations

import math

from edgeseg.train.config import Schedule

WARMUP_START = 0.01
"""The factor the warm-up begins at."""


def learning_rate_factor(schedule: Schedule, step: float, warmup_steps: int, total_steps: int) -> float:
    """The factor 0..1 at a step: a linear warm-up, then ``poly`` of power 0.9 or half a period of a cosine."""
    if step < warmup_steps:
        return WARMUP_START + (1 - WARMUP_START) * step / warmup_steps
    progress = min(1.0, (step - warmup_steps) / max(1, total_steps - warmup_steps))
    if schedule == "poly":
        return float((1 - progress) ** 0.9)
    return 0.5 * (1 + math.cos(math.pi * progress))


def ramp_up_factor(step: int, ramp_steps: int) -> float:
    """A factor 0..1 that rises as exp(-5 (1 - t)^2) over the first steps (Laine, Aila, ICLR 2017, arXiv:1610.02242)."""
    if step >= ramp_steps:
        return 1.0
    return math.exp(-5 * (1 - step / ramp_steps) ** 2)
