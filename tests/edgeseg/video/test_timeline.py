"""Presentation times that go on."""

from __future__ import annotations

import pytest

from edgeseg.video.timeline import Timeline


def test_a_streams_own_times_are_kept_whatever_the_clock_says() -> None:
    timeline = Timeline()
    arrivals = [(10.0, 100.0), (10.04, 100.01), (10.12, 100.3), (10.16, 100.301)]
    assert [timeline.place(pts_s, captured_s) for pts_s, captured_s in arrivals] == [10.0, 10.04, 10.12, 10.16]


def test_after_a_break_the_clock_bridges_the_gap_and_the_streams_distances_count_again() -> None:
    timeline = Timeline()
    timeline.place(7.0, 100.0)
    timeline.interrupt()
    assert timeline.place(0.0, 112.0) == pytest.approx(19.0)
    assert timeline.place(0.04, 112.1) == pytest.approx(19.04)


@pytest.mark.parametrize("pts_s", [6.9, 7.0, 0.0, -3.0, 5000.0])
def test_times_that_go_back_or_leap_are_joined_on(pts_s: float) -> None:
    timeline = Timeline()
    timeline.place(7.0, 100.0)
    assert timeline.place(pts_s, 100.04) == pytest.approx(7.04)
    assert timeline.place(pts_s + 0.04, 100.08) == pytest.approx(7.08)


def test_missing_times_are_the_clocks() -> None:
    timeline = Timeline()
    assert timeline.place(None, 100.0) == 0.0
    assert timeline.place(None, 100.04) == pytest.approx(0.04)
    assert timeline.place(None, 100.04) > 0.04  # a burst
    assert timeline.place(None, 100.08) == pytest.approx(0.08)  # which leaves nothing behind
    assert timeline.place(0.12, 100.12) == pytest.approx(0.12)
