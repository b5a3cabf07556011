"""What a run reads and what it writes, which must not meet: the user's files are worth more than any result."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from glob import glob, has_magic
from pathlib import Path

from edgeseg.files.whole import keep_apart, keep_distinct
from edgeseg.video.sinks.base import Sink, outputs_of
from edgeseg.video.sources.base import Source

_STDIN = ("-", "stdin")


def keep_outputs_apart(sinks: Sequence[Sink], sources: Sequence[Source], inputs: Iterable[str | Path] = ()) -> None:
    """Refuse sinks that would write over what the run reads, or over each other.

    Args:
        sinks: what they write is what :func:`edgeseg.video.sinks.base.outputs_of` says.
        sources: the files they read, as their attribute ``files`` names them or their URI does.
        inputs: what is read besides: labels, model, configuration.

    Raises:
        SinkError: with both named.
    """
    outputs = [path for sink in sinks for path in outputs_of(sink)]
    if not outputs:
        return
    keep_distinct(outputs)
    read = [file for source in sources for file in getattr(source, "files", None) or files_of(source.info.uri)]
    keep_apart(outputs, [*read, *(file for given in inputs for file in files_of(str(given)))])


def files_of(uri: str) -> list[Path]:
    """The files that a source of this name reads: a file, a folder and all that lies in it, what a pattern matches.

    Standard input counts where a file was put in its place. Of cameras, networks and the like there are none.
    """
    return list(_files_of(uri))


def _files_of(uri: str) -> Iterator[Path]:
    if uri.partition(":")[0].partition("?")[0] in _STDIN:
        yield Path("/dev/stdin")
        return
    name = uri.removeprefix("file:") if uri.startswith("file:") and not Path(uri).exists() else uri
    path = Path(name)
    try:
        if path.is_dir():
            yield path
            yield from path.iterdir()
        elif path.exists() or not has_magic(name):
            yield path
        else:
            yield from map(Path, glob(name, recursive=True))
    except (OSError, ValueError):
        return  # what cannot be looked at is for the source to say
