"""How far long work has come: a bar on a terminal, plain lines elsewhere; both on stderr."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeVar

from rich.console import Console
from rich.progress import track

T = TypeVar("T")

_LINE_EVERY = 25


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
