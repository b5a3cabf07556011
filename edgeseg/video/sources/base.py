"""The Source protocol: frames in order, once; and what is known of a stream before its first frame."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from edgeseg.errors import SourceError
from edgeseg.types import Frame
from edgeseg.video.status import SourceState

OnChange = Callable[[SourceState], None]
"""Told when a source is lost and when it is back."""


class SourceLostError(SourceError):
    """A live source that is away, or not there yet: it may come back, so that waiting can mend it."""


@dataclass(frozen=True)
class StreamInfo:
    """What is known of a source before its first frame.

    Attributes:
        uri: as the user named it, credentials removed.
        live: True where frames that are not taken are lost (cameras, paced synthetic scenes); a live source's newest
            frame wins, every frame of one that is not is processed.
        width, height: pixels; None where they vary or are unknown.
        fps: nominal frames per second; None where there is none (folders of images).
        frame_count: frames to expect; None where unknown or endless.
        label_names: the classes that the labels of its frames index, where the source itself knows them.
    """

    uri: str
    live: bool
    width: int | None = None
    height: int | None = None
    fps: float | None = None
    frame_count: int | None = None
    label_names: tuple[str, ...] | None = None


class Source(Protocol):
    """Delivers frames in order, once. Iterating is done by one thread; close may come from another."""

    @property
    def info(self) -> StreamInfo:
        """What is known before the first frame."""
        ...

    @property
    def state(self) -> SourceState:
        """How it stands right now; asked from any thread."""
        ...

    def __iter__(self) -> Iterator[Frame]:
        """Yield frames until the end, or until closed; a source is read once, as an open file is.

        Raises:
            SourceError: a frame cannot be read, or the stream ended before the frames it announced.
            DatasetError: an image or label file cannot be read.
        """
        ...

    def close(self) -> None:
        """Release the device or file and end the iteration soon. Calling it twice is harmless."""
        ...
