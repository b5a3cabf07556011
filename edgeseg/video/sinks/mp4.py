"""H.264 in MP4 through PyAV: plays in a browser, and keeps the source's presentation times."""

from __future__ import annotations

import os
from contextlib import suppress
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.container import OutputContainer
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc, VideoReformatter
from av.video.stream import VideoStream

from edgeseg._native import available_cores
from edgeseg.errors import SinkError
from edgeseg.files.whole import REMEDIES, check_writable, written_whole
from edgeseg.types import ImageU8, Result
from edgeseg.video.sinks.mp4_boxes import cut_torn_fragment, ends_whole
from edgeseg.video.sinks.output_file import OutputFile

_TIME_BASE = Fraction(1, 90_000)
_FRAGMENT_US = 1_000_000
_BACK_S = 1.0  # times that go back further than this are those of a source that began again


class Mp4Sink:
    """A video of the overlay, or of the plain frames where no stage made one.

    The picture is H.264 4:2:0 in BT.709 colours; odd sizes are padded by one pixel, as 4:2:0 asks for. Pixels are as
    wide for their height as the first frame's. The first frame is at time 0 and the distances in time are the source's;
    where its times begin again, the video goes on. The file is begun with the first frame: a run without frames leaves
    none, and leaves an older one alone.

    While it grows the file is fragmented, so that a full disk or a power cut costs the last seconds alone. Close
    copies it into a plain MP4 with the index in front (faststart); where there is no room for that it stays fragmented,
    which players read as well.

    Args:
        path: ends in ``.mp4``; its folder exists.
        fps: the rate of frames that have no presentation time.
        note: a line for those who look into the file, or None.

    Attributes:
        outputs: the path.

    Raises:
        SinkError: another suffix, no such folder, or not writable.
    """

    shows_overlay = True

    def __init__(self, path: str | Path, fps: float = 10.0, *, note: str | None = None) -> None:
        self._path = Path(path)
        self._fps = fps
        self._note = note
        self.outputs = (self._path,)
        self._file: OutputFile | None = None
        self._container: OutputContainer | None = None
        self._stream: VideoStream | None = None
        self._reformatter = VideoReformatter()  # one for all: each prepares its tables anew
        self._size: tuple[int, int] | None = None
        self._count = 0
        self._start_s = self._last_s = self._step_s = 0.0
        self._last_pts = -1
        self._closed = False
        self._failed = False
        check_video_path(self._path)

    def write(self, result: Result) -> None:
        """Encode one picture.

        Raises:
            SinkError: another size than the first frame's, or the disk refused.
        """
        rgb_u8 = result.frame.rgb_u8 if result.overlay_rgb_u8 is None else result.overlay_rgb_u8
        size = rgb_u8.shape[0], rgb_u8.shape[1]
        if self._closed:
            raise SinkError(f"{self._path} is closed", "Write before close")
        if self._size is not None and size != self._size:
            raise SinkError(
                f"{self._path} began with {self._size[1]}x{self._size[0]} pictures, now comes {size[1]}x{size[0]}",
                "A video has one size: save segments or masks instead, or run each size alone",
            )
        try:
            if self._stream is None or self._container is None:
                self._container, self._stream = self._begin(size, result.frame.pixel_aspect)
            picture = self._reformatter.reformat(
                av.VideoFrame.from_ndarray(_even(rgb_u8), format="rgb24"),
                format="yuv420p",
                dst_colorspace=Colorspace.ITU709,
                dst_color_range=ColorRange.MPEG,
            )
            picture.pts = self._next_pts(result.frame.pts_s)
            picture.time_base = _TIME_BASE
            self._container.mux(self._stream.encode(picture))
            self._check()
        except (av.FFmpegError, OSError) as error:
            self._failed = True
            raise self._refused(error) from None
        self._count += 1

    def close(self) -> None:
        """Write what the encoder still holds and the index. Calling it twice is harmless.

        Raises:
            SinkError: the disk refused.
        """
        self._closed = True
        container, stream = self._container, self._stream
        self._container = self._stream = None
        try:
            if container is not None and stream is not None:
                self._finish(container, stream)
        finally:
            if self._file is not None:
                self._file.close()
            if self._failed:
                with suppress(OSError):
                    cut_torn_fragment(self._path)
        if container is not None and not self._failed:
            self._put_index_in_front()

    def _finish(self, container: OutputContainer, stream: VideoStream) -> None:
        try:
            try:
                if not self._failed:
                    container.mux(stream.encode(None))
            finally:
                container.close()
            assert self._file is not None
            self._file.close()
            if not self._failed:
                self._check()
        except (av.FFmpegError, OSError) as error:
            self._failed = True
            raise self._refused(error) from None

    def _check(self) -> None:
        if self._file is not None and self._file.error is not None:
            raise self._file.error

    def _put_index_in_front(self) -> None:
        if not self._path.is_file():
            return
        options = {"movflags": "+faststart"}
        # Where there is no room for a copy it stays as it is.
        with (
            suppress(av.FFmpegError, OSError, SinkError),
            written_whole(self._path) as part,
            av.open(_as_file(self._path)) as fragmented,
            av.open(_as_file(part), "w", format="mp4", options=options) as plain,
        ):
            plain.metadata.update(fragmented.metadata)
            stream = plain.add_stream_from_template(fragmented.streams.video[0])
            for packet in fragmented.demux(video=0):
                if packet.dts is not None:
                    packet.stream = stream
                    plain.mux(packet)
            plain.close()
            if not ends_whole(part):
                raise OSError("the disk is full")  # FFmpeg does not say so

    def _begin(self, size: tuple[int, int], pixel_aspect: Fraction) -> tuple[OutputContainer, VideoStream]:
        options = {
            "movflags": "+empty_moov+default_base_moof",
            "frag_duration": str(_FRAGMENT_US),
            "flush_packets": "1",
        }
        self._file = OutputFile(self._path)
        container = av.open(self._file, "w", format="mp4", options=options)
        if self._note is not None:
            container.metadata["comment"] = self._note
        stream = container.add_stream("libx264", rate=Fraction(self._fps).limit_denominator(1001))
        stream.height, stream.width = (length + length % 2 for length in size)
        stream.pix_fmt = "yuv420p"
        # Without B-frames pictures are stored in the order of their times, which uneven ones need to be kept exactly.
        stream.options = {"preset": "veryfast", "crf": "20", "bf": "0"}
        codec = stream.codec_context
        # Its own choice is one and a half times as many as there are cores, which takes them from the network.
        codec.thread_count = max(1, available_cores() // 2)
        codec.time_base = _TIME_BASE
        codec.sample_aspect_ratio = pixel_aspect
        # Untagged, players guess the colour matrix by the picture's height; tagged, they all show the same colours.
        codec.colorspace, codec.color_range = Colorspace.ITU709, ColorRange.MPEG
        codec.color_primaries, codec.color_trc = ColorPrimaries.BT709, ColorTrc.BT709
        self._size = size
        return container, stream

    def _next_pts(self, pts_s: float | None) -> int:
        """Ticks since the first frame; at least one more than the last, for sources that repeat a time."""
        time_s = self._count / self._fps if pts_s is None else pts_s
        if self._count == 0:
            self._start_s = time_s
        elif time_s < self._last_s - _BACK_S:
            self._start_s += time_s - self._last_s - (self._step_s or 1 / self._fps)
        else:
            self._step_s = time_s - self._last_s
        self._last_s = time_s
        self._last_pts = max(round((time_s - self._start_s) / _TIME_BASE), self._last_pts + 1)
        return self._last_pts

    def _refused(self, error: av.FFmpegError | OSError) -> SinkError:
        return SinkError(
            f"{self._path} could not be written after {self._count} frames ({error.strerror})",
            REMEDIES.get(error.errno or 0, "Choose another place"),
        )


def check_video_path(path: Path) -> None:
    """Raise SinkError unless a video can be written there; nothing is left."""
    if path.suffix.lower() != ".mp4":
        raise SinkError(f"{path} is not an .mp4", "Name it .mp4: video is saved as MP4 alone")
    check_writable(path)


def _as_file(path: Path) -> str:
    """For FFmpeg, which takes what stands before a colon for a protocol."""
    return f"file:{os.fspath(path)}"


def _even(rgb_u8: ImageU8) -> ImageU8:
    height, width = rgb_u8.shape[:2]
    if height % 2 == 0 and width % 2 == 0:
        return rgb_u8
    return np.pad(rgb_u8, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
