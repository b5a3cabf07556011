"""The Sink protocol: where results go."""

from __future__ import annotations

from typing import Protocol

from edgeseg.types import Result


class SinkClosed(Exception):  # noqa: N818 - not an error: the person has seen enough
    """Raised by a sink's write when somebody closed the output, such as the window: the run ends in good order."""


class Sink(Protocol):
    """Takes results in order, on one thread."""

    def write(self, result: Result) -> None:
        """Take one result.

        Raises:
            SinkError: it could not be written; what was written before stays readable after close.
            SinkClosed: the person ended the run here.
        """
        ...

    def close(self) -> None:
        """Finish the output: a file is complete and readable afterwards. Calling it twice is harmless.

        Raises:
            SinkError: the output could not be finished.
        """
        ...


class NullSink:
    """Takes everything and keeps nothing: a run for its report alone."""

    def write(self, result: Result) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""
