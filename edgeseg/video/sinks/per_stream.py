"""The outputs of a run's streams: one for each where there are several, and the output itself can hold one only."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

from edgeseg.errors import combined
from edgeseg.types import Result
from edgeseg.video.sinks.base import ResultSkipped, Sink, SinkClosed, StreamSinkFailed, outputs_of, shows_overlay
from edgeseg.video.sources.base import StreamInfo

_LONGEST_BYTES = 100
"""Of a stream's name in a file's, which has 255 in all."""


class PerStream:
    """A sink that has another for each stream. One that fails is given up alone.

    Args:
        make: opens the sink of the stream of that name.
        streams: those that are known, whose sinks are opened at once; of others when their first result comes.

    Raises:
        SinkError: as ``make``; what was opened is closed again.
    """

    def __init__(self, make: Callable[[str], Sink], streams: Sequence[str] = ()) -> None:
        self._make = make
        self._sinks: dict[str, Sink] = {}
        self._failed: dict[str, Exception] = {}
        with ExitStack() as opened:
            for stream in streams:
                self._sinks[stream] = make(stream)
                opened.callback(self._sinks[stream].close)
            opened.pop_all()

    @property
    def outputs(self) -> tuple[Path, ...]:
        """What the sinks of the streams write."""
        return tuple(path for sink in self._sinks.values() for path in outputs_of(sink))

    @property
    def shows_overlay(self) -> bool:
        """Whether one of them shows the painted frame."""
        return any(map(shows_overlay, self._sinks.values()))

    def write(self, result: Result) -> None:
        """Give the result to its stream's sink.

        Raises:
            StreamSinkFailed: that sink failed, and was closed.
            SinkClosed, ResultSkipped: as that sink.
        """
        if result.stream in self._failed:
            raise StreamSinkFailed(self._failed[result.stream])
        try:
            if result.stream not in self._sinks:
                self._sinks[result.stream] = self._make(result.stream)
            self._sinks[result.stream].write(result)
        except (SinkClosed, ResultSkipped):
            raise
        except Exception as error:
            self._failed[result.stream] = error
            failed = self._sinks.pop(result.stream, None)
            if failed is not None:
                with suppress(Exception):  # it would say the same
                    failed.close()
            raise StreamSinkFailed(error) from error

    def close(self) -> None:
        """Finish all outputs, also where one of them cannot be finished.

        Raises:
            SinkError: names those that could not.
        """
        errors: list[Exception] = []
        for sink in self._sinks.values():
            try:
                sink.close()
            except Exception as error:
                errors.append(error)
        self._sinks.clear()
        if errors:
            raise combined(errors)


@dataclass(frozen=True)
class Streams:
    """The streams of a run, for whom outputs are made.

    Attributes:
        infos: what is known of each, by name; None before the sources are opened.
        note: told what people should know of an output, such as where it is.
    """

    infos: Mapping[str, StreamInfo | None]
    note: Callable[[str], None]

    @property
    def are_open(self) -> bool:
        """Whether the sources are opened. Before that it is only tried whether outputs can be."""
        return None not in self.infos.values()

    def each(self, path: Path, make: Callable[[Path, StreamInfo | None], Sink]) -> Sink:
        """One output for the run, or one for each of its streams."""
        if len(self.infos) == 1:
            (info,) = self.infos.values()
            return make(path, info)
        paths = paths_of(path, list(self.infos))
        return PerStream(lambda stream: make(paths[stream], self.infos[stream]), list(self.infos))


def paths_of(path: Path, streams: Sequence[str]) -> dict[str, Path]:
    """``out.mp4`` for the streams ``gate 2`` and ``двор`` as ``out-gate-2.mp4`` and ``out-двор.mp4``.

    Letters and digits of all scripts stay, in a form that any file system takes. Names that would be one file, also
    where upper case does not count, get numbers: ``out-gate-2.mp4``, ``out-gate-2-2.mp4``.
    """
    taken: set[str] = set()
    paths: dict[str, Path] = {}
    for stream in streams:
        name = plain = _plain(stream)
        number = 1
        while (folded := unicodedata.normalize("NFKC", name).casefold()) in taken:
            number += 1
            name = f"{plain}-{number}"
        taken.add(folded)
        paths[stream] = path.with_name(f"{path.stem}-{name}{path.suffix}")
    return paths


def _plain(stream: str) -> str:
    """The stream's name in letters, digits and hyphens; marks that belong to letters stay with them."""
    kept = [
        letter if unicodedata.category(letter)[0] in "LMN" else " " for letter in unicodedata.normalize("NFC", stream)
    ]
    name = "-".join("".join(kept).split())
    return name.encode()[:_LONGEST_BYTES].decode(errors="ignore").strip("-") or "stream"
