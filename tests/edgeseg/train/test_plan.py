"""Steps and places in the schedule; with a time budget the schedule ends where the run does, whatever steps take."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from quick_training import QUICK

from edgeseg.errors import InputError
from edgeseg.train.budget import Budget
from edgeseg.train.config import TrainConfig
from edgeseg.train.duration import seconds_of
from edgeseg.train.loop import Trainer
from edgeseg.train.plan import Pace, Plan
from edgeseg.train.schedule import learning_rate_factor


@pytest.mark.parametrize(
    ("text", "seconds"), [("2h", 7200), ("30m", 1800), ("1h30m", 5400), ("45s", 45), ("1d 2H", 93600), ("90m", 5400)]
)
def test_times_as_people_write_them(text, seconds):
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "2", "h", "0m", "-1h", "30m1h", "1.5h", "soon", "9" * 100 + "h", "367d"])
def test_what_is_no_time(text):
    with pytest.raises(InputError, match=r"time_budget is .*Write it as 2h, 30m or 1h30m"):
        seconds_of(text)


def test_a_budget_is_looked_at_before_anything_else():
    with pytest.raises(InputError, match="time_budget is 'soon'"):
        TrainConfig(data=Path(), time_budget="soon")


def test_without_a_budget_a_step_is_a_step():
    plan = Plan.of_epochs(replace(QUICK, epochs=7, warmup_epochs=1.5), 13)
    assert (plan.end, plan.warmup, plan.epochs) == (91, 19, 7)
    assert [plan.position(step) for step in range(91)] == list(range(91))
    assert {plan.steps_of(epoch) for epoch in range(7)} == {13}


def test_a_plan_that_changes_goes_on_where_it_is_and_ends_at_the_end():
    plan = Plan.of_steps(QUICK, 10, 100)
    slower = plan.ending_at(40, 65)
    assert slower.position(40) == plan.position(40) == 40
    assert slower.position(65) == 100
    assert (slower.epochs, slower.steps_of(6)) == (7, 5)
    again = slower.ending_at(50, 90)
    assert again.position(50) == slower.position(50)
    assert again.position(90) == 100
    assert Plan.from_state(again.to_state()) == again


def test_near_its_end_and_for_little_a_plan_stays():
    plan = Plan.of_steps(QUICK, 10, 1000)
    assert plan.ending_at(200, 1004) is plan
    assert plan.ending_at(960, 1500) is plan


def test_a_run_by_time_has_no_more_warm_up_than_a_tenth():
    config = replace(QUICK, warmup_epochs=3)
    assert Plan.of_steps(config, 10, 1000).warmup == 30
    assert Plan.of_steps(config, 10, 100).warmup == 10


def test_evaluations_take_their_time():
    pace = Pace(step_s=1.0, epoch_s=0.0, evaluation_s=10.0)
    assert pace.steps_in(110, epoch_steps=10, eval_every=1) == 50
    assert pace.steps_in(110, epoch_steps=10, eval_every=5) == 83
    assert pace.steps_in(5, epoch_steps=10, eval_every=5) == 1


class Hours:
    """A clock that goes as it is told."""

    now = 0.0

    def __call__(self):
        return self.now


def test_a_budget_plans_for_what_is_left_of_it():
    clock = Hours()
    budget = Budget(100.0, spent_s=20.0, clock=clock)
    budget.took(step_s=1.0, epoch_s=0.0, evaluation_s=0.0)
    clock.now = 30.0
    assert budget.spent_s == 50
    assert budget.planned(Plan.of_steps(QUICK, 10, 500), 40, eval_every=1).end == 90


def test_a_run_by_time_ends_with_its_schedule_and_goes_on_by_its_plan(shapes, tmp_path):
    config = replace(QUICK, data=shapes, output=tmp_path / "run", time_budget="3s", schedule="poly", eval_every=1000)
    trainer, rates = Trainer(config), []
    trained = trainer.run(on_step=lambda *_: rates.append(trainer.learner.optimizer.param_groups[0]["lr"]))
    assert trained.model.exists()
    assert len(rates) == trainer.plan.end
    assert trainer.plan.position(trainer.plan.end) == trainer.plan.total
    last = trainer.plan.position(trainer.plan.end - 1)
    factor = learning_rate_factor("poly", last, trainer.plan.warmup, trainer.plan.total)
    assert rates[-1] == pytest.approx(factor * config.learning_rate)
    again = Trainer(config)
    assert again.run(resume=True).miou == trained.miou  # there is nothing left to do
    assert again.plan == trainer.plan
