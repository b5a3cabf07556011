"""Index masks: one grey PNG a frame whose pixel values are the class indices."""

from __future__ import annotations

from pathlib import Path

import cv2

from edgeseg.errors import InputError, SinkError
from edgeseg.types import Result


class MaskSink:
    """A folder of ``<stem>.png``, or ``000000.png``, ``000001.png``, … by frame index; 255 = no label.

    Args:
        folder: made where it is missing; its parent exists.

    Raises:
        SinkError: no such parent, a file of that name, or not writable.
    """

    def __init__(self, folder: str | Path) -> None:
        self._folder = Path(folder)
        self._stems: set[str] = set()
        self.outputs = (self._folder,)
        probe = self._folder / ".edgeseg-probe"
        try:
            self._folder.mkdir(exist_ok=True)
            probe.touch()
            probe.unlink()
        except FileNotFoundError:
            raise SinkError(
                f"there is no folder {self._folder.parent} for {self._folder.name}", "Make it first"
            ) from None
        except OSError as error:
            raise SinkError(
                f"masks cannot be written to {self._folder} ({error.strerror})", "Choose another place"
            ) from None

    def write(self, result: Result) -> None:
        """Save the labels of one frame.

        Raises:
            SinkError: two frames of one file stem, or the disk refused.
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
        file = self._folder / f"{frame.name or f'{frame.index:06d}'}.png"
        _, png = cv2.imencode(".png", segmentation.labels)
        try:
            file.write_bytes(png.tobytes())
        except OSError as error:
            file.unlink(missing_ok=True)  # half a PNG is worse than none
            raise SinkError(f"{file} could not be written ({error.strerror})", "Free some space") from None

    def close(self) -> None:
        """Do nothing: each mask is complete once written."""
