from __future__ import annotations

from itertools import pairwise

import pytest

from edgeseg.train.schedule import learning_rate_factor, ramp_up_factor

SCHEDULES = ["poly", "cosine"]


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_warm_up_is_linear_from_a_hundredth(schedule):
    factors = [learning_rate_factor(schedule, step, 10, 100) for step in (0, 5, 10)]
    assert factors == pytest.approx([0.01, 0.505, 1.0])


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_it_falls_from_1_to_0(schedule):
    factors = [learning_rate_factor(schedule, step, 0, 100) for step in range(101)]
    assert factors[0] == 1
    assert factors[-1] == pytest.approx(0, abs=1e-12)
    assert all(later < earlier for earlier, later in pairwise(factors))


def test_half_way():
    assert learning_rate_factor("poly", 60, 20, 100) == pytest.approx(0.5**0.9)
    assert learning_rate_factor("cosine", 60, 20, 100) == pytest.approx(0.5)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_warm_up_longer_than_the_run_never_exceeds_the_peak(schedule):
    assert all(0 < learning_rate_factor(schedule, step, 30, 10) < 1 for step in range(10))


def test_what_is_ramped_up_rises_to_1_and_stays():
    factors = [ramp_up_factor(step, 10) for step in range(15)]
    assert factors[0] == pytest.approx(0.0067, abs=1e-4)
    assert all(later > earlier for earlier, later in pairwise(factors[:11]))
    assert factors[10:] == [1.0] * 5
    assert ramp_up_factor(0, 0) == 1
