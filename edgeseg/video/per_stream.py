"""One output for each stream of a run that has several, where the output itself can hold one only."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from edgeseg.types import Result
from edgeseg.video.sink import Sink


class PerStream:
    """A sink that opens another for each stream when its first result comes.

    Args:
        make: opens the sink of the stream of that name.
    """

    def __init__(self, make: Callable[[str], Sink]) -> None:
        self._make = make
        self._sinks: dict[str, Sink] = {}

    def write(self, result: Result) -> None:
        """Give the result to its stream's sink.

        Raises:
            SinkError, SinkClosed: as that sink.
        """
        if result.stream not in self._sinks:
            self._sinks[result.stream] = self._make(result.stream)
        self._sinks[result.stream].write(result)

    def close(self) -> None:
        """Finish all outputs, also where one of them cannot be finished.

        Raises:
            SinkError: the first that could not.
        """
        errors: list[Exception] = []
        for sink in self._sinks.values():
            try:
                sink.close()
            except Exception as error:
                errors.append(error)
        self._sinks.clear()
        if errors:
            raise errors[0]


def path_of(path: Path, stream: str) -> Path:
    """``out.mp4`` for the stream ``gate 2`` as ``out-gate-2.mp4``: a name that any file system takes."""
    name = re.sub(r"[^A-Za-z0-9]+", "-", stream).strip("-") or "stream"
    return path.with_name(f"{path.stem}-{name}{path.suffix}")
