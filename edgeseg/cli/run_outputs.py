"""What a run writes to: from the flags of ``edgeseg run`` to its sinks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgeseg.cli.open_model import note
from edgeseg.errors import InputError

if TYPE_CHECKING:
    from edgeseg.video.jsonl_sink import Masks
    from edgeseg.video.sink import Sink
    from edgeseg.video.source import StreamInfo
    from edgeseg.video.web.sink import WebSink

_STILLS_FPS = 10.0
"""The rate of a video made of still images."""

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
            ("--jsonl-masks", None if self.jsonl_masks == "none" else self.jsonl_masks, "--jsonl", self.jsonl),
        ):
            if value is not None and there is None:
                raise InputError(f"{flag} belongs to {wanted}", f"Add {wanted}, or leave {flag} out")
        if self.save is not None and self.segment_secs is None and "%" in self.save.name:
            raise InputError(f"{self.save.name} has a place for a number", "Add --segment-secs 60, say")
        if self.web is not None:
            from edgeseg.video.web.address import check_bind, parse_address

            check_bind(parse_address(self.web)[0], self.web_token)

    def open(self, infos: Sequence[StreamInfo]) -> list[Sink]:
        """The sinks for these sources; none is left open where one of them cannot be opened."""
        from edgeseg.video.sink import NullSink

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
        from edgeseg.video.sink import Window

        return self.save is not None or any(isinstance(sink, Window) for sink in sinks)

    def _sinks(self, infos: Sequence[StreamInfo]) -> Iterator[Sink]:
        from edgeseg.video.mask_sink import MaskSink
        from edgeseg.video.window_sink import WindowSink, display_works

        several = len(infos) > 1
        if self.show or (self.show is None and not self.saves and display_works()):
            yield WindowSink(paced=not several and not infos[0].live)
        if self.save is not None:
            yield _each(several, self.save, lambda path: self._video(path, infos[0].fps or _STILLS_FPS))
        if self.save_masks is not None:
            yield _each(several, self.save_masks, MaskSink)
        if self.jsonl is not None:
            from edgeseg.video.jsonl_sink import JsonLinesSink

            yield JsonLinesSink(self.jsonl, masks=self.jsonl_masks)
        if self.web is not None:
            yield self._page(self.web)

    def _video(self, path: Path, fps: float) -> Sink:
        from edgeseg.video.mp4_sink import Mp4Sink
        from edgeseg.video.segmented_sink import SegmentedMp4Sink

        if self.segment_secs is None:
            return Mp4Sink(path, fps)
        return SegmentedMp4Sink(path, self.segment_secs, fps, keep=self.segment_keep)

    def _page(self, address: str) -> WebSink:
        from edgeseg.video.web.address import parse_address
        from edgeseg.video.web.picture import Encoding
        from edgeseg.video.web.sink import WebSink

        page = WebSink(*parse_address(address), token=self.web_token, encoding=Encoding(opacity=self.opacity))
        note(f"the page is at {page.url}")
        return page


def _each(several: bool, path: Path, make: Callable[[Path], Sink]) -> Sink:
    """One output for the run, or one for each of its streams."""
    from edgeseg.video.per_stream import PerStream, path_of

    return PerStream(lambda stream: make(path_of(path, stream))) if several else make(path)
