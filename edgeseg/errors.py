"""The errors people see: what happened, where, and the remedy, in one line.

Every error that a user can cause derives from :class:`EdgesegError`. The command line prints its message without a
traceback and exits with status 2; a traceback means a bug in edgeseg.
"""

from __future__ import annotations

from collections.abc import Sequence


class EdgesegError(Exception):
    """Something the user can mend.

    Args:
        what: what happened, and where (file, stream, class index, …).
        remedy: what to do about it, as an imperative sentence; empty when ``what`` makes it plain.
    """

    def __init__(self, what: str, remedy: str = "") -> None:
        self.what = what.rstrip(".")
        self.remedy = remedy.rstrip(".")
        super().__init__(f"{self.what}. {self.remedy}." if remedy else f"{self.what}.")


class InputError(EdgesegError, ValueError):
    """An argument or array of the wrong shape, dtype or range."""


class SpecError(EdgesegError, ValueError):
    """A ModelSpec that is missing, malformed, or written by a newer edgeseg."""


class ModelError(EdgesegError):
    """A model artifact that cannot be found, read or run."""


class DeviceError(EdgesegError):
    """A GPU that is absent, lost, or out of memory."""


class DatasetError(EdgesegError):
    """A dataset.yaml, image or label file that cannot be used."""


class SourceError(EdgesegError):
    """A camera, video, image or folder that cannot be opened or read to its end."""


class SinkError(EdgesegError):
    """An output that cannot be opened or written."""


class MissingDependencyError(EdgesegError, ImportError):
    """An optional package or a part of the native extension that is not installed."""


def printable(text: str) -> str:
    """The text with escapes for what cannot be printed: bytes of a name that is not UTF-8, control characters."""
    text = text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text)


def combined(errors: Sequence[BaseException]) -> BaseException:
    """One error for several: of the first one's class and with its remedy, naming what happened to each."""
    bug = next((error for error in errors if not isinstance(error, EdgesegError)), None)
    first = errors[0]
    if bug is not None or len(errors) == 1 or not isinstance(first, EdgesegError):
        return bug or first
    return type(first)("; ".join(dict.fromkeys(map(in_one_line, errors))), first.remedy)


def counted(count: int, word: str) -> str:
    """How many of something, such as ``no points``, ``1 point``, ``3 points``."""
    return f"{count or 'no'} {word}{'' if count == 1 else 's'}"


def in_one_line(error: BaseException) -> str:
    """What happened, without the remedy; of a bug with its cause."""
    if isinstance(error, EdgesegError):
        return error.what
    cause = error.__cause__
    text = str(error) if cause is None else f"{error} ({type(cause).__name__}: {cause})"
    return " ".join(text.split()) or type(error).__name__
