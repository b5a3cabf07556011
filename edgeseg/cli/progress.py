"""How far long work has come: a bar on a terminal, plain lines elsewhere; both on stderr."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeVar

from rich.console import Console
from rich.progress import Progress, track

T = TypeVar("T")

_LINE_EVERY = 25


class Bar(Progress):
    """A progress bar that leaves nothing where it is not shown; rich's own end is an empty line there."""

    def stop(self) -> None:
        """Take it away."""
        if self.live.is_started:
            super().stop()


def show_progress(items: Sequence[T], what: str) -> Iterable[T]:
    """The items, while it is shown how many are done."""
    console = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
    if console.is_terminal:
        yield from track(items, description=what, console=console, transient=True)
        return
    for number, item in enumerate(items, 1):
        yield item
        if number % _LINE_EVERY == 0 or number == len(items):
            console.print(f"{what}: {number}/{len(items)}")
