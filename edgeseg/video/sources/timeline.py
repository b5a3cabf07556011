"""Presentation times that go on, whatever the clock of a stream does, or however a recording was put together."""

from __future__ import annotations

_LEAP_S = 5.0  # ahead of our own clock; a stream's first packets come faster than it plays
_TICK_S = 0.001
_RECORDED_LEAP_S = 10.0
_JITTER_STEPS = 1.5


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


class RecordedTimeline:
    """Presentation times of a recording that go on where its own begin anew, as those of two files joined by ``cat``.

    Args:
        joins_leaps: whether times that leap ahead by more than 10 s are joined on too, as FFmpeg does where a format
            is made to be cut and joined; else such a gap is one of the recording's.
    """

    def __init__(self, joins_leaps: bool = False) -> None:
        self._joins_leaps = joins_leaps
        self._shift_s = 0.0
        self._last_s: float | None = None

    def place(self, pts_s: float | None, step_s: float) -> float | None:
        """Where the next frame belongs, always later than the one before; None where it has no time of its own.

        Args:
            pts_s: the recording's own time.
            step_s: how long a frame lasts there.
        """
        if pts_s is None:
            return None
        placed_s = pts_s + self._shift_s
        if self._last_s is not None:
            back_s = self._last_s - placed_s
            if back_s > _JITTER_STEPS * step_s or (self._joins_leaps and -back_s > _RECORDED_LEAP_S):
                placed_s = self._last_s + step_s
                self._shift_s = placed_s - pts_s
            elif back_s >= 0:  # two frames of one time: the first is not to be moved, nor those that follow
                placed_s = self._last_s + _TICK_S
        self._last_s = placed_s
        return placed_s
