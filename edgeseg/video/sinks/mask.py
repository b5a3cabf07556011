"""Index masks: one grey PNG a frame whose pixel values are the class indices."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import cv2

from edgeseg.errors import InputError, SinkError
from edgeseg.files.whole import cannot_write, check_writable, remove_abandoned, written_whole
from edgeseg.run_config import RunConfig
from edgeseg.types import Result
from edgeseg.video.sinks.base import Sink
from edgeseg.video.sinks.per_stream import Streams

_IMAGE_HEADER_END = 33  # bytes: the signature, and the chunk IHDR
_OURS = b"tEXtSoftware\0edgeseg run"


class MaskSink:
    """A folder of ``<stem>.png``, or ``000000.png``, ``000001.png``, … by frame index; 255 = no label.

    Masks of an earlier run are replaced, each whole or not at all. Any other picture of the same name is left alone and
    ends the output: a mask says in its file that it is one of ours.

    Args:
        folder: made with the first mask where it is missing; its parent exists.

    Attributes:
        outputs: the folder.

    Raises:
        SinkError: no such parent, a file of that name, or not writable.
    """

    def __init__(self, folder: str | Path) -> None:
        self._folder = Path(folder)
        self.outputs = (self._folder,)
        self._stems: set[str] = set()
        check_writable(self._folder, folder=True)
        remove_abandoned(self._folder, r".*\.png")

    def write(self, result: Result) -> None:
        """Save the labels of one frame.

        Raises:
            SinkError: two frames of one file stem, a picture of that name that is no mask of ours, or the disk refused.
            InputError: the result has no segmentation.
        """
        frame, segmentation = result.frame, result.segmentation
        if segmentation is None:
            raise InputError("a result without segmentation has no mask", "Put Segment among the stages")
        if frame.name in self._stems:
            raise SinkError(
                f"two images are called {frame.name}, and {self._folder} has room for one mask of that name",
                "Run each folder alone",
            )
        if frame.name:
            self._stems.add(frame.name)
        try:
            self._folder.mkdir(exist_ok=True)
        except OSError as error:
            raise cannot_write(self._folder, error) from None
        file = self._folder / f"{frame.name or f'{frame.index:06d}'}.png"
        if not _may_be_replaced(file):
            raise SinkError(
                f"{file} is there already, and is no mask that edgeseg has written",
                "Save the masks to a folder of their own, or move it away",
            )
        _, png = cv2.imencode(".png", segmentation.labels)
        with written_whole(file, durable=False) as part:
            part.write_bytes(_marked(png.tobytes()))

    def close(self) -> None:
        """Do nothing: each mask is complete once written."""


def _marked(png: bytes) -> bytes:
    """The PNG with the chunk that says who wrote it (PNG, 3rd edition, 11.3.3.2)."""
    chunk = struct.pack(">I", len(_OURS) - 4) + _OURS + struct.pack(">I", zlib.crc32(_OURS))
    return png[:_IMAGE_HEADER_END] + chunk + png[_IMAGE_HEADER_END:]


def _may_be_replaced(file: Path) -> bool:
    try:
        with file.open("rb") as there:
            return there.read(_IMAGE_HEADER_END + 4 + len(_OURS)).endswith(_OURS)
    except FileNotFoundError:
        return True
    except OSError as error:
        raise cannot_write(file, error) from None


def of_run(config: RunConfig, streams: Streams) -> Sink:
    """What ``save_masks`` asks for."""
    assert config.save_masks is not None
    return streams.each(config.save_masks, lambda folder, _: MaskSink(folder))
