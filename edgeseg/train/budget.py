"""The time that a run may take: what is left of it, what its parts take here, and the plan that fits."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from edgeseg.train.plan import Pace, Plan
from edgeseg.train.world import world

FIRST_PACE = Pace(step_s=0.0, epoch_s=0.1, evaluation_s=1.0)
"""Before anything has been measured: what is written after an epoch, and drawn after an evaluation."""

_TRIAL_STEPS, _TRIAL_SHARE = 50, 0.02
"""Steps that are tried before a run is planned, and the share of its time that they may take."""

_TRIAL_PICTURES = 4
"""That each process measures then."""

_LOOKS = 20
"""How often a run sees whether it is on time."""


class Budget:
    """Time, which is measured as it goes by.

    Args:
        seconds: for the whole run.
        spent_s: of them by earlier processes, which this one goes on from.
        clock: seconds, from whatever moment on.

    Attributes:
        pace: of the parts of the run, as last measured.
    """

    def __init__(self, seconds: float, *, spent_s: float = 0.0, clock: Callable[[], float] = time.monotonic) -> None:
        self.pace = FIRST_PACE
        self._seconds = seconds
        self._clock = clock
        self._before_s = spent_s
        self._started_s = clock()

    @property
    def spent_s(self) -> float:
        """By this process and the earlier ones."""
        return self._before_s + self._clock() - self._started_s

    def try_steps(self, step: Callable[[], Tensor]) -> None:
        """See what a step takes.

        Args:
            step: takes one, and returns a number that tells, when it is there, that the device has done it.
        """

        def took_s(steps: int) -> float:
            started_s = self._clock()
            torch.stack([step() for _ in range(steps)]).tolist()
            return self._clock() - started_s

        took_s(1)  # which prepares much
        one_s = took_s(1)
        most = max(1, min(_TRIAL_STEPS, int(_TRIAL_SHARE * self._seconds / max(one_s, 1e-9))))
        steps = world().from_first(lambda: most)
        self.took(step_s=took_s(steps) / steps)

    def try_pictures(self, measure: Callable[[int], object], count: int) -> None:
        """See what an evaluation takes.

        Args:
            measure: evaluates so many pictures.
            count: pictures of the split.
        """
        pictures = min(count, _TRIAL_PICTURES * world().size)
        started_s = self._clock()
        measure(pictures)
        self.took(evaluation_s=FIRST_PACE.evaluation_s + (self._clock() - started_s) / pictures * count)

    def steps_left(self, epoch_steps: int, eval_every: int) -> int:
        """Steps, at least one, that there is time for."""
        return self.pace.steps_in(self._seconds - self.spent_s, epoch_steps, eval_every)

    def is_due(self, step: int, plan: Plan) -> bool:
        """Whether to see before this step if the run is on time: so often that an hour's drift can be made good."""
        return step % max(1, plan.end // _LOOKS) == 0

    def planned(self, plan: Plan, step: int, eval_every: int) -> Plan:
        """The plan that meets the end of the schedule when the time is over, as the first process sees it.

        Args:
            plan: until now.
            step: the next one.
            eval_every: epochs between evaluations.
        """
        left = world().from_first(lambda: self.steps_left(plan.epoch_steps, eval_every))
        return plan.ending_at(step, step + left)

    def took(self, **seconds: float) -> None:
        """Remember what parts took, by their names in :class:`Pace`."""
        self.pace = replace(self.pace, **seconds)
