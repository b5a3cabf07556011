"""How far a run has come, on stderr: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from edgeseg.types import Result
from edgeseg.video.source import StreamInfo

_LINE_EVERY_S = 10.0


class ProgressSink:
    """Counts the results that come by.

    Args:
        info: the source; without a number of frames the bar has no end.
        max_frames: where fewer are taken than it has.
    """

    def __init__(self, info: StreamInfo, max_frames: int | None = None) -> None:
        console = Console(stderr=True)
        self._is_terminal = console.is_terminal
        counts = [count for count in (info.frame_count, max_frames) if count is not None]
        self._total = min(counts) if counts else None
        self._frames = 0
        self._start_s = self._line_s = time.monotonic()
        self._bar = Progress(
            TextColumn(info.uri, markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[fps]:.1f} fps"),
            TimeRemainingColumn(),
            console=console,
            transient=True,
        )
        self._task = self._bar.add_task("", total=self._total, fps=0.0)

    def write(self, result: Result) -> None:
        """Count one more."""
        self._frames = result.frame.index + 1  # dropped ones included: it is the source's end that nears
        now_s = time.monotonic()
        if self._is_terminal:
            self._bar.start()
            self._bar.update(self._task, completed=self._frames, fps=self._frames / max(now_s - self._start_s, 1e-6))
        elif now_s - self._line_s >= _LINE_EVERY_S:
            self._line_s = now_s
            of_total = f" of {self._total}" if self._total else ""
            self._bar.console.print(
                f"frame {self._frames}{of_total}, {self._frames / (now_s - self._start_s):.1f} fps", highlight=False
            )

    def close(self) -> None:
        """Take the bar away. Calling it twice is harmless."""
        self._bar.stop()
