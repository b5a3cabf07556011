"""Video files through PyAV: every frame, with its true presentation time."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from itertools import chain
from pathlib import Path

import av

from edgeseg.errors import SourceError
from edgeseg.types import Frame
from edgeseg.video.labels import LabelFolder
from edgeseg.video.one_pass import OnePassSource
from edgeseg.video.picture import to_rgb
from edgeseg.video.source import StreamInfo

_REPLACE = "Copy or download the file again, or convert it with ffmpeg"

_SLACK_S = 0.5  # by which formats without an exact index may end before the time they announce


class FileSource(OnePassSource):
    """The first video stream of a file, turned upright where the camera was held sideways.

    Args:
        path: the file.
        labels: ground truth; the n-th file by name belongs to the n-th frame.

    Raises:
        SourceError: missing, unreadable, or not a video.
        DatasetError: another number of label files than of frames.
    """

    def __init__(self, path: str | Path, labels: LabelFolder | None = None) -> None:
        self._path = Path(path)
        self._labels = labels
        self._sound_end_s = 0.0
        try:
            self._container = av.open(str(self._path))
        except (FileNotFoundError, PermissionError, IsADirectoryError) as error:
            raise SourceError(f"{self._path} cannot be opened ({error.strerror})", "Correct the path") from None
        except (av.FFmpegError, OSError) as error:
            raise SourceError(f"{self._path} is not a video, or is damaged ({error.strerror})", _REPLACE) from None
        try:
            super().__init__(self._look())
            if labels is not None:
                labels.match_count(self.info.frame_count, str(path))
        except BaseException:
            self._container.close()
            raise

    def _look(self) -> StreamInfo:
        """Decode the first picture: the upright size is known from it alone."""
        if not self._container.streams.video:
            raise SourceError(f"{self._path} holds no video stream", "Pass a video file")
        stream = self._stream = self._container.streams.video[0]
        stream.thread_type = "AUTO"
        pictures = self._decode()
        try:
            first = next(pictures, None)
        except (av.FFmpegError, OSError) as error:
            raise SourceError(f"{self._path} cannot be decoded ({error.strerror})", _REPLACE) from None
        if first is None:
            raise SourceError(f"{self._path} holds no picture", _REPLACE)
        self._pictures = chain([first], pictures)
        height, width = (first.height, first.width) if first.rotation % 180 == 0 else (first.width, first.height)
        return StreamInfo(
            uri=str(self._path),
            live=False,
            width=width,
            height=height,
            fps=float(stream.average_rate) if stream.average_rate else None,
            # AVI counts ticks, of which some repeat a picture; Matroska does not count.
            frame_count=(stream.frames or None) if self._is_mp4 else None,
        )

    @property
    def _is_mp4(self) -> bool:
        return "mp4" in self._container.format.name

    def _decode(self) -> Iterator[av.VideoFrame]:
        """Decode, and when a packet is damaged give the good pictures that the decoder still holds before raising."""
        for packet in self._container.demux():
            if packet.stream is not self._stream:
                if packet.pts is not None and packet.time_base is not None:
                    self._sound_end_s = max(self._sound_end_s, float(packet.pts * packet.time_base))
                continue
            try:
                pictures = self._stream.decode(packet)
            except av.FFmpegError:
                with suppress(av.FFmpegError):
                    yield from self._stream.decode(None)
                raise
            yield from pictures

    def _frames(self) -> Iterator[Frame]:
        count = 0
        end_s = 0.0
        where = str(self._path)
        of_announced = f" of {self.info.frame_count}" if self.info.frame_count else ""
        try:
            for picture in self._pictures:
                if picture.time is not None and picture.time_base is not None:
                    end_s = picture.time + float(picture.duration * picture.time_base)
                rgb_u8 = to_rgb(picture)
                labels_u8 = self._labels.of_frame(count, rgb_u8.shape[:2], where) if self._labels else None
                yield Frame(rgb_u8, count, time.monotonic(), pts_s=picture.time, labels_u8=labels_u8)
                count += 1
        except (av.FFmpegError, OSError) as error:
            raise SourceError(
                f"{where} is damaged after {count}{of_announced} frames ({error.strerror})", _REPLACE
            ) from None
        if count != self.info.frame_count and end_s < self._announced_end_s():
            raise SourceError(f"{where} is cut short: it ends after {count}{of_announced} frames", _REPLACE)
        if self._labels is not None:
            self._labels.match_count(count, where)

    def _announced_end_s(self) -> float:
        """The time that the last frame must reach if the file is whole; 0 where the format does not tell.

        Times, not numbers of frames, because an MP4's edit list may hide some and an AVI may repeat some.
        """
        stream, container = self._stream, self._container
        if self._is_mp4 and stream.duration and stream.time_base is not None:
            half_frame_s = 0.5 / (self.info.fps or 25.0)
            return float((stream.duration + (stream.start_time or 0)) * stream.time_base) - half_frame_s
        announced_s = 0.0
        if container.format.name == "avi" and stream.time_base is not None:
            announced_s = float(stream.frames * stream.time_base)
        elif "matroska" in container.format.name and container.duration:
            announced_s = container.duration / av.time_base  # of the longest stream: the sound may go on
            if self._sound_end_s >= announced_s - _SLACK_S:
                return 0.0
        return announced_s - _SLACK_S

    def _release(self) -> None:
        self._container.close()
