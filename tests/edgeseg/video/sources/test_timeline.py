"""Presentation times that go on."""

from __future__ import annotations

import pytest

from edgeseg.video.sources.timeline import RecordedTimeline, Timeline


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


def test_two_recordings_joined_go_on_with_their_own_distances() -> None:
    timeline = RecordedTimeline()
    own_s = [1.4, 1.44, 1.5, 1.4, 1.44, 1.5, 1.4]
    placed_s = [timeline.place(pts_s, 0.04) for pts_s in own_s]
    assert placed_s == pytest.approx([1.4, 1.44, 1.5, 1.54, 1.58, 1.64, 1.68])


def test_two_frames_of_one_time_move_nothing_that_follows() -> None:
    timeline = RecordedTimeline()
    placed_s = [timeline.place(pts_s, 0.04) for pts_s in (1.0, 1.0, 0.99, 1.04)]
    assert placed_s == pytest.approx([1.0, 1.001, 1.002, 1.04])


@pytest.mark.parametrize(("joins", "last_s"), [(False, 100.0), (True, 1.04)])
def test_leaps_ahead_are_joined_where_a_format_is_made_for_it(joins: bool, last_s: float) -> None:
    timeline = RecordedTimeline(joins_leaps=joins)
    placed_s = [timeline.place(pts_s, 0.04) for pts_s in (1.0, 100.0)]
    assert placed_s == pytest.approx([1.0, last_s])
    assert timeline.place(None, 0.04) is None
