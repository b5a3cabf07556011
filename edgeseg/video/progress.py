"""How far a run has come, on stderr: a bar on a terminal, a line now and then elsewhere; and what is lost or back."""

from __future__ import annotations

import time
from collections.abc import Sequence

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from edgeseg.video.sources.base import StreamInfo
from edgeseg.video.status import Condition, StreamStatus

_LINE_EVERY_S = 10.0


class ProgressLine:
    """Shows what a pipeline's ``watch`` is told.

    Args:
        infos: of the sources; unless each has a number of frames, the bar has no end.
        max_frames: where fewer are taken of each than it has.
    """

    def __init__(self, infos: Sequence[StreamInfo], max_frames: int | None = None) -> None:
        self._console = Console(stderr=True, highlight=False, soft_wrap=True)
        self._total = _total(infos, max_frames)
        self._start_s = self._line_s = time.monotonic()
        self._conditions: dict[str, Condition] = {}
        self._lost_s: dict[str, float] = {}
        self._bar = Progress(
            TextColumn(infos[0].uri if len(infos) == 1 else f"{len(infos)} streams", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[fps]:.1f} fps"),
            TimeRemainingColumn(),
            console=self._console,
            transient=True,
        )
        self._task = self._bar.add_task("", total=self._total, fps=0.0)

    def __call__(self, status: Sequence[StreamStatus]) -> None:
        """Show how the streams stand."""
        for stream in status:
            self._tell_changes(stream)
        frames = sum(stream.frames_in for stream in status)  # dropped ones included: it is the source's end that nears
        fps = sum(stream.fps for stream in status)
        now_s = time.monotonic()
        if self._console.is_terminal:
            if frames:
                self._bar.start()
                self._bar.update(self._task, completed=frames, fps=fps)
        elif frames and now_s - self._line_s >= _LINE_EVERY_S:
            self._line_s = now_s
            of_total = f" of {self._total}" if self._total else ""
            self._console.print(f"frame {frames}{of_total}, {fps:.1f} fps")

    def _tell_changes(self, stream: StreamStatus) -> None:
        before = self._conditions.get(stream.stream)
        now = self._conditions[stream.stream] = stream.state.condition
        if now == "lost" and before != "lost":
            self._lost_s[stream.stream] = stream.state.since_s
            self._print(f"edgeseg: lost: {stream.state.reason}; it is tried again")
        elif now == "running" and before == "lost":
            away_s = stream.state.since_s - self._lost_s[stream.stream]
            self._print(f"edgeseg: {stream.uri} is back after {away_s:.0f} s")

    def tell(self, line: str) -> None:
        """What the pipeline says was lost, at once; on any thread."""
        self._print(f"edgeseg: {line}")

    def _print(self, line: str) -> None:
        shown = "".join(letter if letter.isprintable() else "?" for letter in line)  # a camera may write part of it
        self._console.print(shown, markup=False)

    def close(self) -> None:
        """Take the bar away. Calling it twice is harmless."""
        if self._bar.live.is_started:  # or it would print an empty line
            self._bar.stop()


def _total(infos: Sequence[StreamInfo], max_frames: int | None) -> int | None:
    total = 0
    for info in infos:
        counts = [count for count in (info.frame_count, max_frames) if count is not None]
        if not counts:
            return None
        total += min(counts)
    return total
