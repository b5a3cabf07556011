"""What a run has lost: each part that fails is told at once, and all of them are summed up at the end."""

from __future__ import annotations

import logging
from collections.abc import Callable

from edgeseg.errors import EdgesegError, combined, in_one_line
from edgeseg.types import Result
from edgeseg.video.sinks.base import ReaderGone

Tell = Callable[[str], None]
"""Told in one line, at once and on any thread, what was lost while the run goes on."""

log_fault: Tell = logging.getLogger("edgeseg").warning
"""For those who did not say whom to tell."""


class Faults:
    """The errors of the parts of a run.

    Args:
        tell: told of each error that does not end the run.
    """

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._errors: list[BaseException] = []

    def add(self, error: BaseException, *, goes_on: bool) -> None:
        """One more part has failed; ``goes_on`` says whether others have something left to do."""
        self._errors.append(error)
        if goes_on:
            self._tell(f"lost: {in_one_line(error)}; the rest goes on")

    def lose_frame(self, reason: str, result: Result) -> None:
        """A frame of a live stream was lost, for a reason that was not told yet."""
        self._tell(f"lost: {of_stream(result)}frame {result.frame.index}: {reason}; the stream goes on")

    @property
    def only_readers_gone(self) -> bool:
        """Whether there was nothing but readers of pipes that had seen enough."""
        return all(isinstance(error, ReaderGone) for error in self._errors)

    def sum_up(self) -> BaseException | None:
        """The error that names all that was lost; a bug goes before what a user can mend. None while all is well."""
        return combined(self._errors) if self._errors else None


def located(error: Exception, part: object, result: Result) -> Exception:
    """The error with the part and the frame in its message: the user's stay the user's, a bug becomes RuntimeError."""
    where = f"{of_stream(result)}{type(part).__name__} failed at frame {result.frame.index}"
    if isinstance(error, EdgesegError):
        return type(error)(f"{where}: {error.what}", error.remedy)
    bug = RuntimeError(where)
    bug.__cause__ = error
    return bug


def of_stream(result: Result) -> str:
    """The stream's name as the beginning of a message; empty where the run has one."""
    return f"{result.stream}: " if result.stream else ""
