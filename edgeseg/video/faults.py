"""What a run has lost: each part that fails is told at once, and all of them are summed up at the end."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from edgeseg.errors import EdgesegError
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


def combined(errors: Sequence[BaseException]) -> BaseException:
    """One error for several: of the first one's class and with its remedy, naming what happened to each."""
    bug = next((error for error in errors if not isinstance(error, EdgesegError)), None)
    first = errors[0]
    if bug is not None or len(errors) == 1 or not isinstance(first, EdgesegError):
        return bug or first
    return type(first)("; ".join(dict.fromkeys(map(in_one_line, errors))), first.remedy)


def located(error: Exception, part: object, result: Result) -> Exception:
    """The error with the part and the frame in its message: the user's stay the user's, a bug becomes RuntimeError."""
    where = f"{of_stream(result)}{type(part).__name__} failed at frame {result.frame.index}"
    if isinstance(error, EdgesegError):
        return type(error)(f"{where}: {error.what}", error.remedy)
    bug = RuntimeError(where)
    bug.__cause__ = error
    return bug


def in_one_line(error: BaseException) -> str:
    """What happened, without the remedy; of a bug with its cause."""
    if isinstance(error, EdgesegError):
        return error.what
    cause = error.__cause__
    text = str(error) if cause is None else f"{error} ({type(cause).__name__}: {cause})"
    return " ".join(text.split()) or type(error).__name__


def of_stream(result: Result) -> str:
    """The stream's name as the beginning of a message; empty where the run has one."""
    return f"{result.stream}: " if result.stream else ""
