"""What a run writes to: from the flags of ``edgeseg run`` to its sinks."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgeseg.video.sink import Sink
    from edgeseg.video.source import StreamInfo

_STILLS_FPS = 10.0
"""The rate of a video made of still images."""


@dataclass(frozen=True)
class Outputs:
    """The flags that name outputs, as the user gave them."""

    show: bool | None
    save: Path | None
    save_masks: Path | None

    def open(self, infos: Sequence[StreamInfo]) -> list[Sink]:
        """The sinks for these sources; none is left open where one of them cannot be opened."""
        with ExitStack() as opened:
            sinks: list[Sink] = []
            for sink in (*self._windows(infos), *self._files(infos)):
                opened.callback(sink.close)
                sinks.append(sink)
            opened.pop_all()
            return sinks

    @property
    def saves(self) -> bool:
        """Whether something is kept or shown elsewhere, so that nobody needs a window."""
        return any(output is not None for output in (self.save, self.save_masks))

    def wants_pictures(self, sinks: Sequence[Sink]) -> bool:
        """Whether one of them shows the painted frame."""
        from edgeseg.video.window_sink import WindowSink

        return self.save is not None or any(isinstance(sink, WindowSink) for sink in sinks)

    def _windows(self, infos: Sequence[StreamInfo]) -> list[Sink]:
        from edgeseg.video.window_sink import WindowSink, display_works

        if self.show or (self.show is None and not self.saves and display_works()):
            return [WindowSink(paced=len(infos) == 1 and not infos[0].live)]
        return []

    def _files(self, infos: Sequence[StreamInfo]) -> list[Sink]:
        from edgeseg.video.mask_sink import MaskSink
        from edgeseg.video.mp4_sink import Mp4Sink
        from edgeseg.video.per_stream import PerStream, path_of

        fps = infos[0].fps or _STILLS_FPS
        save, save_masks = self.save, self.save_masks
        several = len(infos) > 1
        sinks: list[Sink] = []
        if save is not None:
            sinks.append(PerStream(lambda name: Mp4Sink(path_of(save, name), fps)) if several else Mp4Sink(save, fps))
        if save_masks is not None:
            sinks.append(
                PerStream(lambda name: MaskSink(path_of(save_masks, name))) if several else MaskSink(save_masks)
            )
        return sinks
