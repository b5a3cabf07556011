"""What a run writes to: from the flags of ``edgeseg run`` to its sinks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgeseg.cli import standard_streams
from edgeseg.cli.open_model import note
from edgeseg.errors import InputError, SinkError

if TYPE_CHECKING:
    from edgeseg.video.sinks.base import Sink
    from edgeseg.video.sinks.jsonl import Masks
    from edgeseg.video.sources.base import StreamInfo
    from edgeseg.video.web.sink import WebSink

_STILLS_FPS = 10.0
"""The rate of a video made of still images."""

_GB = 1_000_000_000

STDOUT = "-"


@dataclass(frozen=True)
class Outputs:
    """The flags that name outputs, as the user gave them.

    Raises:
        InputError: a flag without the one it belongs to.
    """

    show: bool | None
    save: Path | None
    segment_secs: float | None
    segment_keep: int | None
    segment_keep_gb: float | None
    save_masks: Path | None
    jsonl: str | None
    jsonl_masks: Masks
    web: str | None
    web_token: str | None
    opacity: float = 0.5

    def __post_init__(self) -> None:
        for flag, value, wanted, there in (
            ("--segment-secs", self.segment_secs, "--save", self.save),
            ("--segment-keep", self.segment_keep, "--segment-secs", self.segment_secs),
            ("--segment-keep-gb", self.segment_keep_gb, "--segment-secs", self.segment_secs),
            ("--jsonl-masks", None if self.jsonl_masks == "none" else self.jsonl_masks, "--jsonl", self.jsonl),
        ):
            if value is not None and there is None:
                raise InputError(f"{flag} belongs to {wanted}", f"Add {wanted}, or leave {flag} out")
        if self.save is not None and self.segment_secs is None and "%" in self.save.name:
            raise InputError(f"{self.save.name} has a place for a number", "Add --segment-secs 60, say")
        if self.jsonl == STDOUT and not standard_streams.was_open(1):
            raise InputError("--jsonl - writes to standard output, which is closed", "Name a file")

    def check(self, streams: Sequence[str], inputs: Iterable[str | Path]) -> None:
        """See whether all can be written, before anything is loaded, opened or written.

        Args:
            streams: their names.
            inputs: all that the run reads.

        Raises:
            SinkError: an output that cannot be, or that is an input or another output.
            InputError: a page that everyone could see.
            ModuleNotFoundError: a package is missing that the page needs.
        """
        from edgeseg.video.sinks.outputs import keep_outputs_apart

        if self.web is not None:
            from edgeseg.video.web.address import check_bind, open_socket, parse_address
            from edgeseg.video.web.sink import WebSink  # noqa: F401 - and all it needs

            host, port = parse_address(self.web)
            try:
                check_bind(host, self.web_token)
            except InputError as error:
                raise InputError(error.what, f"{error.remedy} (--web-token-file FILE, --web PORT)") from None
            open_socket(host, port).close()
        if self.show:
            self._check_display()
        with ExitStack() as opened:
            sinks: list[Sink] = []
            for sink in self._files(dict.fromkeys(streams)):
                opened.callback(sink.close)
                sinks.append(sink)
            keep_outputs_apart(sinks, (), inputs)

    def open(self, infos: dict[str, StreamInfo]) -> list[Sink]:
        """The sinks for the streams of these names; none is left open where one of them cannot be opened."""
        from edgeseg.video.sinks.base import NullSink

        with ExitStack() as opened:
            sinks: list[Sink] = []
            for sink in self._sinks(infos):
                opened.callback(sink.close)
                sinks.append(sink)
            opened.pop_all()
            return sinks or [NullSink()]

    @property
    def saves(self) -> bool:
        """Whether something is kept or shown elsewhere, so that nobody needs a window."""
        return any(output is not None for output in (self.save, self.save_masks, self.jsonl, self.web))

    def wants_pictures(self, sinks: Sequence[Sink]) -> bool:
        """Whether one of them shows the painted frame; the web page paints its own."""
        from edgeseg.video.sinks.base import Window

        return self.save is not None or any(isinstance(sink, Window) for sink in sinks)

    def _sinks(self, infos: dict[str, StreamInfo]) -> Iterator[Sink]:
        from edgeseg.video.sinks.window import WindowSink, display_works

        if self.show or (self.show is None and not self.saves and display_works()):
            yield WindowSink(paced=len(infos) == 1 and not any(info.live for info in infos.values()))
        yield from self._files(infos)
        if self.web is not None:
            yield self._page(self.web)

    def _files(self, infos: Mapping[str, StreamInfo | None]) -> Iterator[Sink]:
        """Those that write files; nothing is written before the first result."""
        from edgeseg.video.sinks.jsonl import JsonLinesSink
        from edgeseg.video.sinks.mask import MaskSink

        streams = list(infos)
        if self.save is not None:
            yield _each(streams, self.save, lambda path, stream: self._video(path, infos[stream]))
        if self.save_masks is not None:
            yield _each(streams, self.save_masks, lambda path, _: MaskSink(path))
        if self.jsonl is not None:
            yield JsonLinesSink(self.jsonl, masks=self.jsonl_masks)

    def _video(self, path: Path, info: StreamInfo | None) -> Sink:
        from edgeseg.video.sinks.mp4 import Mp4Sink
        from edgeseg.video.sinks.segmented import SegmentedMp4Sink

        fps = (info.fps if info is not None else None) or _STILLS_FPS
        if self.segment_secs is None:
            return Mp4Sink(path, fps)
        return SegmentedMp4Sink(
            path,
            self.segment_secs,
            fps,
            keep=self.segment_keep,
            keep_bytes=None if self.segment_keep_gb is None else round(self.segment_keep_gb * _GB),
            live=info is not None and info.live,
        )

    def _page(self, address: str) -> WebSink:
        from edgeseg.video.web.address import parse_address
        from edgeseg.video.web.picture import Encoding
        from edgeseg.video.web.sink import WebSink

        page = WebSink(*parse_address(address), token=self.web_token, encoding=Encoding(opacity=self.opacity))
        note(f"the page is at {page.url}")
        return page

    def _check_display(self) -> None:
        from edgeseg.video.sinks.window import display_works

        if not display_works():
            raise SinkError(
                "no window can be opened: there is no display here",
                "Leave out --show, and look at the result with --save out.mp4",
            )


def read_token(file: Path) -> str:
    """The token that a file holds: its first line, without the blanks around it.

    Raises:
        InputError: it cannot be read, or is no text.
    """
    try:
        with file.open("rb") as opened:
            return opened.read(4096).decode().partition("\n")[0].strip()
    except OSError as error:
        raise InputError(f"the token in {file} cannot be read ({error.strerror})", "Correct --web-token-file") from None
    except UnicodeDecodeError:
        raise InputError(f"{file} is no text", "Write the token into it as its only line") from None


def _each(streams: Sequence[str], path: Path, make: Callable[[Path, str], Sink]) -> Sink:
    """One output for the run, or one for each of its streams."""
    from edgeseg.video.sinks.per_stream import PerStream, paths_of

    if len(streams) == 1:
        return make(path, streams[0])
    paths = paths_of(path, streams)
    return PerStream(lambda stream: make(paths[stream], stream), streams)
