"""How far TensorRT has come with an engine: bars on a terminal, plain lines elsewhere; both on stderr."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn


class BuildProgress(Protocol):
    """Told of TensorRT's phases, which nest; calls may come from several threads at once."""

    def start(self, phase: str, parent: str | None, steps: int) -> None:
        """A phase of so many steps begins inside another, or inside none."""

    def step(self, phase: str, done: int) -> None:
        """So many of its steps are done."""

    def finish(self, phase: str) -> None:
        """It has ended, whether or not all steps were taken."""


class _Bars:
    def __init__(self, bars: Progress) -> None:
        self._bars = bars
        self._tasks: dict[str, TaskID] = {}

    def start(self, phase: str, parent: str | None, steps: int) -> None:
        self._tasks[phase] = self._bars.add_task(phase, total=steps)

    def step(self, phase: str, done: int) -> None:
        if phase in self._tasks:
            self._bars.update(self._tasks[phase], completed=done)

    def finish(self, phase: str) -> None:
        if phase in self._tasks:
            self._bars.remove_task(self._tasks.pop(phase))


class _Lines:
    """The two outer levels only: TensorRT has hundreds of phases below them."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._outermost: str | None = None

    def start(self, phase: str, parent: str | None, steps: int) -> None:
        if parent is None:
            self._outermost = phase
        if parent in (None, self._outermost):
            self._console.print(f"TensorRT: {phase}")

    def step(self, phase: str, done: int) -> None:
        pass

    def finish(self, phase: str) -> None:
        pass


@contextlib.contextmanager
def show_build() -> Iterator[BuildProgress]:
    """Show a build for as long as the context lasts."""
    console = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
    if not console.is_terminal:
        yield _Lines(console)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bars:
        yield _Bars(bars)
