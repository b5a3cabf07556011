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
from edgeseg.video.sources.base import StreamInfo
from edgeseg.video.sources.labels import LabelFolder
from edgeseg.video.sources.media import CONVERT, open_file, pixel_aspect_of, reason, video_stream
from edgeseg.video.sources.one_pass import OnePassSource
from edgeseg.video.sources.picture import frame_s, orientation_of, to_rgb, upright_aspect
from edgeseg.video.sources.timeline import RecordedTimeline
from edgeseg.video.sources.uri import redacted

_CUT_AND_JOINED = {"mpegts", "mpeg"}

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
        self._shown = redacted(str(path))
        self._labels = labels
        self._sound_end_s = 0.0
        self._container = open_file(self._path)
        try:
            super().__init__(self._look())
            if labels is not None:
                labels.match_count(self.info.frame_count, self._shown)
        except BaseException:
            self._release()
            raise

    def _look(self) -> StreamInfo:
        """Decode the first picture: the upright size is known from it alone."""
        stream = video_stream(self._container)
        if stream is None:
            what = "no video stream" if not self._container.streams.video else "no video that can be decoded"
            raise SourceError(f"{self._shown} holds {what}", "Pass a video file")
        self._stream = stream
        stream.thread_type = "AUTO"
        pictures = self._decode()
        try:
            first = next(pictures, None)
        except SourceError:
            raise
        except Exception as error:
            raise SourceError(f"{self._shown} cannot be decoded ({reason(error)})", CONVERT) from None
        if first is None:
            raise SourceError(f"{self._shown} holds no picture", CONVERT)
        self._pictures = chain([first], pictures)
        self._pixel_aspect = pixel_aspect_of(stream)
        height, width = first.height, first.width
        if orientation_of(first).transposed:
            height, width = width, height
        return StreamInfo(
            uri=self._shown,
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
            except Exception:
                with suppress(Exception):
                    yield from self._stream.decode(None)
                raise
            yield from pictures

    def _frames(self) -> Iterator[Frame]:
        count = 0
        end_s = 0.0
        of_announced = f" of {self.info.frame_count}" if self.info.frame_count else ""
        timeline = RecordedTimeline(joins_leaps=self._container.format.name in _CUT_AND_JOINED)
        while True:
            try:
                picture = next(self._pictures, None)
                if picture is None:
                    break
                if picture.time is not None and picture.duration and picture.time_base is not None:
                    end_s = picture.time + float(picture.duration * picture.time_base)
                rgb_u8 = to_rgb(picture)
                pixel_aspect = upright_aspect(self._pixel_aspect, picture)
            except SourceError as error:
                raise SourceError(f"{self._shown}: {error.what}", error.remedy) from None
            except Exception as error:
                raise SourceError(
                    f"{self._shown} is damaged after {count}{of_announced} frames ({reason(error)})", CONVERT
                ) from None
            labels_u8 = self._labels.of_frame(count, rgb_u8.shape[:2], self._shown) if self._labels else None
            pts_s = timeline.place(picture.time, frame_s(picture, self.info.fps))
            yield Frame(rgb_u8, count, time.monotonic(), pts_s=pts_s, labels_u8=labels_u8, pixel_aspect=pixel_aspect)
            count += 1
        if count != self.info.frame_count and end_s < self._announced_end_s():
            raise SourceError(f"{self._shown} is cut short: it ends after {count}{of_announced} frames", CONVERT)
        if self._labels is not None:
            self._labels.match_count(count, self._shown)

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
        with suppress(Exception):  # nothing is written, so nothing is lost
            self._container.close()
