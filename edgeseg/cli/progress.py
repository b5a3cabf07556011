"""How far long work has come: a bar on a terminal, plain lines elsewhere; both on stderr."""

from __future__ import annotations

from collections.abc import Iterable, Sized
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


def show_progress(items: Iterable[T], what: str, count: int | None = None) -> Iterable[T]:
    """The items, while it is shown how many are done.

    Args:
        items: one after the other.
        what: is done with them.
        count: how many there are; None to ask them, or not to tell where they do not know.
    """
    if count is None and isinstance(items, Sized):
        count = len(items)
    console = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
    if console.is_terminal:
        yield from track(items, description=what, total=count, console=console, transient=True)
        return
    of_all = "" if count is None else f"/{count}"
    for number, item in enumerate(items, 1):
        yield item
        if number % _LINE_EVERY == 0 or number == count:
            console.print(f"{what}: {number}{of_all}")
