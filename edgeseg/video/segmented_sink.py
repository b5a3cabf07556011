"""Video in segments: a new MP4 every so many seconds, so that what is finished is safe and the oldest can go."""

from __future__ import annotations

import re
import threading
from contextlib import suppress
from pathlib import Path

from edgeseg.errors import EdgesegError, InputError, SinkError
from edgeseg.types import Result
from edgeseg.video.mp4_sink import Mp4Sink, part_of

_JITTER_S = 1e-3  # times are rounded on their way; a frame that comes so little early begins the segment
_BACK_S = 1.0  # times that go back further than this are those of a source that began again


class SegmentedMp4Sink:
    """``clip-000.mp4``, ``clip-001.mp4``, …: each as :class:`edgeseg.video.mp4_sink.Mp4Sink` writes it.

    Each segment begins with a keyframe, at time 0, and plays by itself. A new one is begun by the first frame that lies
    ``seconds`` or more after the segment's first, by a frame of another size, and where the source's times jump back.
    While it is written, the one before gets its index in front on a thread of its own. The one being written is
    readable up to its last second should the process be killed.

    Numbers go on after the highest that is there, so that a run never writes over the one before.

    Args:
        pattern: file name with one place for the number, such as ``clip-%03d.mp4``; its folder exists.
        seconds: of presentation time in a segment.
        fps: the rate of frames that have no presentation time.
        keep: the most files of this pattern that may remain, older runs' included: the lowest numbers are deleted.
            None keeps all.

    Raises:
        SinkError: no place or several for the number, another suffix, no such folder, or not writable.
        InputError: seconds not above 0, or keep below 1.
    """

    def __init__(self, pattern: str | Path, seconds: float, fps: float = 10.0, *, keep: int | None = None) -> None:
        self._pattern = Path(pattern)
        self._seconds = seconds
        self._fps = fps
        self._keep = keep
        name = self._pattern.name
        if not re.fullmatch(r"[^%]*%0?\d?d[^%]*", name):
            raise SinkError(f"{name} must say once where the number goes", "Name it like clip-%03d.mp4")
        if not seconds > 0 or (keep is not None and keep < 1):
            raise InputError(
                f"segments of {seconds} s, {'all' if keep is None else keep} kept", "Use more than 0 s, and keep 1"
            )
        Mp4Sink(self._path(0), fps)  # refuses what cannot be written before the run
        numbers = self._numbers()
        self._next_number = max(numbers, default=-1) + 1
        for number in numbers:
            part_of(self._path(number)).unlink(missing_ok=True)  # of a run that was killed while it finished one
        self._segment: Mp4Sink | None = None
        self._size = (0, 0)
        self._count = 0
        self._start_s = self._last_s = 0.0
        self._finishing: threading.Thread | None = None
        self._error: EdgesegError | None = None
        self._closed = False

    def write(self, result: Result) -> None:
        """Encode one picture, into the next segment if it is due.

        Raises:
            SinkError: the disk refused, also while the segment before was finished.
        """
        if self._closed:
            raise SinkError(f"{self._pattern} is closed", "Write before close")
        frame = result.frame
        picture = frame.rgb_u8 if result.overlay_rgb_u8 is None else result.overlay_rgb_u8
        size = picture.shape[0], picture.shape[1]
        time_s = self._count / self._fps if frame.pts_s is None else frame.pts_s
        if self._segment is not None and (size != self._size or self._is_due(time_s)):
            self._finish_segment()
        if self._segment is None:
            self._begin_segment(result, size, time_s)
        else:
            self._segment.write(result)
        self._last_s = time_s
        self._count += 1

    def close(self) -> None:
        """Finish the last segment. Calling it twice is harmless.

        Raises:
            SinkError: the disk refused.
        """
        self._closed = True
        if self._segment is not None:
            self._finish_segment()
        self._wait_for_finishing()

    def _is_due(self, time_s: float) -> bool:
        return time_s - self._start_s >= self._seconds - _JITTER_S or time_s < self._last_s - _BACK_S

    def _begin_segment(self, result: Result, size: tuple[int, int], time_s: float) -> None:
        path = self._path(self._next_number)
        segment = Mp4Sink(path, self._fps)
        try:
            segment.write(result)
        except Exception:
            with suppress(EdgesegError):
                segment.close()
            path.unlink(missing_ok=True)  # a file without a frame does not play
            raise
        self._segment, self._size, self._start_s = segment, size, time_s
        self._next_number += 1

    def _finish_segment(self) -> None:
        """In the background; waits only where the segment before this one is not finished yet."""
        segment, self._segment = self._segment, None
        assert segment is not None
        self._wait_for_finishing(segment)
        self._finishing = threading.Thread(target=self._finish, args=(segment,), name="edgeseg-finish", daemon=True)
        self._finishing.start()

    def _finish(self, segment: Mp4Sink) -> None:
        try:
            segment.close()
            self._delete_oldest()
        except EdgesegError as error:
            self._error = error

    def _wait_for_finishing(self, segment: Mp4Sink | None = None) -> None:
        if self._finishing is not None:
            self._finishing.join()
            self._finishing = None
        error, self._error = self._error, None
        if error is not None:
            if segment is not None:
                with suppress(EdgesegError):  # there is an error to tell already
                    segment.close()
            raise error

    def _delete_oldest(self) -> None:
        if self._keep is None:
            return
        for number in sorted(self._numbers())[: -self._keep]:
            path = self._path(number)
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                raise SinkError(
                    f"{path} is the oldest segment and cannot be deleted ({error.strerror})", "Keep all, or allow it"
                ) from None

    def _numbers(self) -> list[int]:
        """Of the files of this pattern that are there."""
        before, _, after = re.split(r"(%0?\d?d)", self._pattern.name)
        name = re.compile(rf"{re.escape(before)}(\d+){re.escape(after)}")
        found = [match for path in self._pattern.parent.iterdir() if (match := name.fullmatch(path.name))]
        return [int(match[1]) for match in found if self._path(int(match[1])).name == match[0]]

    def _path(self, number: int) -> Path:
        return self._pattern.with_name(self._pattern.name % number)
