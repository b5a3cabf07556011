"""How often something is done, counted from outside while it is done: nothing is replaced for it."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

_watched: dict[str, list[str]] = {}


@contextmanager
def opens_of(path: Path) -> Iterator[list[str]]:
    """A list that gets one entry for each time that Python code of this process opens the file."""
    if not _watched:
        sys.addaudithook(_note)  # for good: none can be taken away
    opened = _watched.setdefault(os.path.realpath(path), [])
    opened.clear()
    try:
        yield opened
    finally:
        _watched[os.path.realpath(path)] = []


def _note(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "open" and isinstance(arguments[0], str | bytes | os.PathLike):
        opened = _watched.get(os.path.realpath(os.fsdecode(arguments[0])))
        if opened is not None:
            opened.append(str(arguments[1]))


@contextmanager
def calls_of(*functions: Callable[..., Any]) -> Iterator[list[str]]:
    """A list that gets the name of one of the functions for each call of it, by this thread or one that it starts."""
    codes = {function.__code__: function.__qualname__ for function in functions}
    called: list[str] = []

    def note(frame: FrameType, event: str, _: Any) -> None:
        if event == "call" and frame.f_code in codes:
            called.append(codes[frame.f_code])

    sys.setprofile(note)
    threading.setprofile(note)
    try:
        yield called
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
