"""The Sink protocol: where results go."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from edgeseg.types import Result
from edgeseg.video.status import SinkReports, Status, StreamStatus


class SinkClosed(Exception):  # noqa: N818 - not an error: the person has seen enough
    """Raised by a sink's write when somebody closed the output, such as the window: the run ends in good order."""


class Sink(Protocol):
    """Takes results in order, on one thread. A sink must not change what it is given: others see it too."""

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


@runtime_checkable
class Window(Sink, Protocol):
    """A sink that must live on the main thread and is looked after while no frames come."""

    def idle(self, status: Sequence[StreamStatus]) -> None:
        """Called some times a second while there is nothing to write: answer the desktop, show what is lost.

        Raises:
            SinkClosed: the person ended the run here.
        """
        ...


@runtime_checkable
class Follower(Sink, Protocol):
    """A sink that shows how the run stands, whether or not frames come."""

    def follow(self, status: Status, sinks: SinkReports) -> None:
        """Ask these, from any thread, from now on: how the streams stand, and how the sinks do."""
        ...


class NullSink:
    """Takes everything and keeps nothing: a run for its report alone."""

    def write(self, result: Result) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""
