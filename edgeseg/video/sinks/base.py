"""The Sink protocol: where results go."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

from edgeseg.errors import SinkError
from edgeseg.types import Result
from edgeseg.video.status import SinkReports, Status, StreamStatus


class SinkClosed(Exception):  # noqa: N818 - not an error: the person has seen enough
    """Raised by a sink's write when somebody closed the output, such as the window: the run ends in good order."""


class ReaderGone(SinkError):  # noqa: N818 - it has seen enough, which is none
    """Nobody reads the output any more, as of a pipe: this sink is given up, and a run without others has done all."""


class ResultSkipped(Exception):  # noqa: N818 - not an error: the sink goes on
    """Raised by a sink's write when it leaves out this one result, which then counts as dropped there."""


class StreamSinkFailed(Exception):  # noqa: N818 - carries the error
    """Raised by a sink that has an output for each stream, when that of the result's stream is given up.

    Args:
        error: why; it names the output.
    """

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


class Sink(Protocol):
    """Takes results in order, on one thread. A sink must not change what it is given: others see it too.

    One that writes files or folders may name them in an attribute ``outputs``: the pipeline then refuses to run where
    they would replace what it reads, or what another sink writes. One that shows ``overlay_rgb_u8`` has an attribute
    ``shows_overlay`` that is true: frames are painted for it.
    """

    def write(self, result: Result) -> None:
        """Take one result.

        Raises:
            SinkError: it could not be written, and nothing more will be; what was written before stays readable after
                close. The sink is given up, and the others go on.
            SinkClosed: the person ended the run here.
            ResultSkipped: this result was left out.
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


def outputs_of(sink: Sink) -> tuple[Path, ...]:
    """The files and folders that a sink writes, replaces or deletes, as its attribute ``outputs`` says; may be none."""
    return tuple(getattr(sink, "outputs", ()))


def shows_overlay(sink: Sink) -> bool:
    """Whether a sink shows the painted frame, as its attribute ``shows_overlay`` says."""
    return bool(getattr(sink, "shows_overlay", False))
