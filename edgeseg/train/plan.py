"""How many steps a run has, and where in its schedule each of them is; what parts of a run take."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from edgeseg.train.config import TrainConfig

WARMUP_SHARE = 0.1
"""The most of a run that is planned by time which is warm-up."""

_KEPT_SHARE = 0.05
"""The last part of a run, of which the plan is not changed any more."""

_TOLERANCE = 0.01
"""Plans that differ by less are one."""


@dataclass(frozen=True)
class Plan:
    """The steps of a run. A step is where it is in the schedule as this says, whatever the clock says.

    Attributes:
        epoch_steps: steps of a whole epoch; the last one may have fewer.
        total: steps of the schedule.
        warmup: those of them that are warm-up.
        since: the step from which on the schedule is taken faster or slower than a step a step.
        place: where in the schedule that is, 0..total.
        end: steps of the run: where the end of the schedule is met.
    """

    epoch_steps: int
    total: int
    warmup: int
    since: int = 0
    place: float = 0.0
    end: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "end", self.end or self.total)

    @classmethod
    def of_epochs(cls, config: TrainConfig, epoch_steps: int) -> Plan:
        """As many epochs as the configuration says."""
        return cls(epoch_steps, config.epochs * epoch_steps, int(config.warmup_epochs * epoch_steps))

    @classmethod
    def of_steps(cls, config: TrainConfig, epoch_steps: int, steps: int) -> Plan:
        """A number of steps, with no longer a warm-up than such a run bears."""
        return cls(epoch_steps, steps, int(min(config.warmup_epochs * epoch_steps, WARMUP_SHARE * steps)))

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Plan:
        """What :meth:`to_state` made of one."""
        return cls(**state)

    def to_state(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    @property
    def epochs(self) -> int:
        """Epochs of the run, the last of which may be cut short."""
        return -(-self.end // self.epoch_steps)

    def steps_of(self, epoch: int) -> int:
        """Steps of an epoch, counted from 0."""
        return min(self.epoch_steps, self.end - epoch * self.epoch_steps)

    def position(self, step: int) -> float:
        """Where in the schedule a step is, of ``total``."""
        return self.place + (self.total - self.place) * (step - self.since) / (self.end - self.since)

    def ending_at(self, step: int, end: int) -> Plan:
        """The plan that goes on from a step where this one is, and meets the end of the schedule at another step.

        Near its end a plan stays as it is: steps that were added there would be taken at a rate of nearly nothing.
        """
        near = self.position(step) >= (1 - _KEPT_SHARE) * self.total
        if near or end <= step or abs(end - self.end) <= _TOLERANCE * (self.end - step):
            return self
        return replace(self, since=step, place=self.position(step), end=end)


@dataclass(frozen=True)
class Pace:
    """What parts of a run take here, in seconds.

    Attributes:
        step_s: a step.
        epoch_s: what is done after each epoch, such as writing the state.
        evaluation_s: what is done where it is evaluated, beside.
    """

    step_s: float
    epoch_s: float
    evaluation_s: float

    def steps_in(self, left_s: float, epoch_steps: int, eval_every: int) -> int:
        """Steps, at least one, for which a time is enough, with the evaluations between them and at the end."""
        after_s = self.epoch_s + self.evaluation_s / eval_every
        left_s -= self.epoch_s + self.evaluation_s
        return max(1, int(left_s / (self.step_s + after_s / epoch_steps)))
