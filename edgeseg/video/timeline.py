"""Presentation times of a live stream that go on, whatever its clock does."""

from __future__ import annotations

_LEAP_S = 5.0  # ahead of our own clock; a stream's first packets come faster than it plays
_TICK_S = 0.001


class Timeline:
    """Places the frames of one stream after another on a single axis of time, in seconds.

    The stream's own times are kept as they are. Where they break off (a connection that begins anew, times that are
    missing, that go back or leap) the clock on which the frames were captured bridges the gap, and from there the
    stream's own distances count again.
    """

    def __init__(self) -> None:
        self._shift_s: float | None = 0.0  # None: the next time is to be joined on
        self._last_s: float | None = None
        self._ahead_s = 0.0  # of the clock, which is where the axis of time lies

    def interrupt(self) -> None:
        """Say that the next frame comes of another connection."""
        self._shift_s = None

    def place(self, pts_s: float | None, captured_s: float) -> float:
        """Where the next frame belongs; always later than the one before."""
        if self._last_s is None:
            placed_s = 0.0 if pts_s is None else pts_s
            self._shift_s = 0.0
            self._ahead_s = placed_s - captured_s
        else:
            placed_s = max(captured_s + self._ahead_s, self._last_s + _TICK_S)
            if pts_s is not None:
                if self._shift_s is None or not self._last_s < pts_s + self._shift_s < placed_s + _LEAP_S:
                    self._shift_s = placed_s - pts_s
                placed_s = pts_s + self._shift_s
                self._ahead_s = placed_s - captured_s
        self._last_s = placed_s
        return placed_s
