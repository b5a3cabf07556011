"""Video in segments: a new MP4 every so many seconds, so that what is finished is safe and the oldest can go."""

from __future__ import annotations

import os
import re
import threading
import time
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

from edgeseg.errors import EdgesegError, InputError, SinkError
from edgeseg.files.whole import cannot_write, remove_abandoned
from edgeseg.types import Result
from edgeseg.video.sinks.base import ResultSkipped
from edgeseg.video.sinks.mp4 import Mp4Sink, check_video_path
from edgeseg.video.sinks.mp4_boxes import end_of_header

_JITTER_S = 1e-3  # times are rounded on their way; a frame that comes so little early begins the segment
_BACK_S = 1.0  # times that go back further than this are those of a source that began again
_LIVE_LEAST_S = 1.0  # from one segment of a live source to the next
_NOTE = re.compile(rb"edgeseg segment (\d+) of (\S+), kept with (\d+)")


class SegmentedMp4Sink:
    """``clip-000.mp4``, ``clip-001.mp4``, …: each as :class:`edgeseg.video.sinks.mp4.Mp4Sink` writes it.

    Each segment begins with a keyframe, at time 0, and plays by itself. A new one is begun by the first frame that lies
    ``seconds`` or more after the segment's first, by a frame of another size, and where the source's times jump back.
    While it is written, the one before gets its index in front on a thread of its own. The one being written is
    readable up to its last second should the process be killed.

    Numbers go on after the highest that is there, and nothing is written over. Deleted is only what this class has
    written, which it knows by a note in the file: no other video, whatever its name, and no segment that was renamed.

    Args:
        pattern: file name with one place for the number, such as ``clip-%03d.mp4``; its folder exists.
        seconds: of presentation time in a segment.
        fps: the rate of frames that have no presentation time.
        keep: so many times ``seconds`` of the latest recordings are kept, those of earlier runs included; older ones
            are deleted. That is as many files, but where segments had to end early: parts of ``seconds`` count as one,
            and of a live source none goes that is younger, so that no change of size drives out what is older. None
            keeps all.
        keep_bytes: the oldest are deleted also where all take more than this; None for no limit.
        live: whether frames come from a camera, whose times and sizes may be anything: ``seconds`` are then those of
            our own clock, at most one segment is begun a second, and frames of another size are left out till then.

    Raises:
        SinkError: no place or several for the number, another suffix, no such folder, or not writable.
        InputError: seconds not above 0, or nothing kept.
    """

    shows_overlay = True

    def __init__(
        self,
        pattern: str | Path,
        seconds: float,
        fps: float = 10.0,
        *,
        keep: int | None = None,
        keep_bytes: int | None = None,
        live: bool = False,
    ) -> None:
        self._pattern = Path(pattern)
        self._seconds = seconds
        self._fps = fps
        self._keep = keep
        self._keep_bytes = keep_bytes
        self._live = live
        check_pattern(self._pattern)
        if not seconds > 0 or (keep is not None and keep < 1) or (keep_bytes is not None and keep_bytes < 1):
            raise InputError(
                f"segments of {seconds} s, {'all' if keep is None else keep} kept", "Use more than 0 s, and keep 1"
            )
        before, _, after = re.split(r"(%0?\d?d)", self._pattern.name)
        self._form = rf"{re.escape(before)}(\d+){re.escape(after)}"
        numbers = self._numbers()
        self._next_number = max(numbers, default=-1) + 1
        remove_abandoned(self._pattern.parent, self._form)  # of a run that was killed while it finished one
        deletes = keep is not None or keep_bytes is not None
        self._own = {number: self._kept_with(number) for number in numbers if deletes}
        self._own = {number: first for number, first in self._own.items() if first is not None}
        self._segment: Mp4Sink | None = None
        self._size: tuple[object, ...] = ()
        self._count = 0
        self._start_s = self._last_s = 0.0
        self._first = 0  # of the segments that are kept together
        self._kept_s = float("inf")  # since then
        self._finishing: threading.Thread | None = None
        self._error: EdgesegError | None = None
        self._closed = False

    @property
    def outputs(self) -> tuple[Path, ...]:
        """The next file, and those that may be deleted."""
        return tuple(self._path(number) for number in (*self._own, self._next_number))

    def write(self, result: Result) -> None:
        """Encode one picture, into the next segment if it is due.

        Raises:
            SinkError: the disk refused, also while the segment before was finished.
            ResultSkipped: a live source's picture has another size, and the segment has only just begun.
        """
        if self._closed:
            raise SinkError(f"{self._pattern} is closed", "Write before close")
        frame = result.frame
        picture = frame.rgb_u8 if result.overlay_rgb_u8 is None else result.overlay_rgb_u8
        size = (picture.shape[:2], frame.pixel_aspect)
        time_s = self._count / self._fps if frame.pts_s is None else frame.pts_s
        if self._live:
            time_s = frame.captured_s
        self._kept_s += max(time_s - self._last_s, 0.0)
        if self._segment is not None and (size != self._size or self._is_due(time_s)):
            if not self._live or time_s - self._start_s >= _LIVE_LEAST_S:
                self._finish_segment()
            elif size != self._size:
                raise ResultSkipped
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

    def _begin_segment(self, result: Result, size: tuple[object, ...], time_s: float) -> None:
        path = self._new_file()
        number = self._next_number
        if self._kept_s >= self._seconds - _JITTER_S:
            self._first, self._kept_s = number, 0.0
        segment = Mp4Sink(path, self._fps, note=self._note(number, self._first))
        try:
            segment.write(result)
        except Exception:
            with suppress(EdgesegError):
                segment.close()
            path.unlink(missing_ok=True)  # a file without a frame does not play
            raise
        self._segment, self._size, self._start_s = segment, size, time_s
        self._own[number] = self._first
        self._next_number += 1

    def _new_file(self) -> Path:
        """The file of the next number: made now, so that nobody else's is taken."""
        while True:
            path = self._path(self._next_number)
            try:
                os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
                return path
            except FileExistsError:
                self._next_number += 1
            except OSError as error:
                raise cannot_write(path, error) from None

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
        own = dict(sorted(self._own.copy().items()))
        kept_with = list(dict.fromkeys(own.values()))
        too_old = set() if self._keep is None else set(kept_with[: -self._keep])
        sizes = {number: self._bytes_of(number) for number in own} if self._keep_bytes is not None else {}
        for number in list(own)[:-1]:
            is_too_old = own[number] in too_old and not self._is_young(number)
            if is_too_old or (self._keep_bytes is not None and sum(sizes.values()) > self._keep_bytes):
                self._delete(number)
                sizes.pop(number, None)

    def _delete(self, number: int) -> None:
        path = self._path(number)
        self._own.pop(number, None)
        try:
            if self._kept_with(number) is not None:  # nobody has put another in its place
                path.unlink(missing_ok=True)
        except OSError as error:
            raise SinkError(
                f"{path} is the oldest segment and cannot be deleted ({error.strerror})", "Keep all, or allow it"
            ) from None

    def _is_young(self, number: int) -> bool:
        """Of a live source: whether it was written within the time that is kept, as before runs that were cut short."""
        if not self._live or self._keep is None:
            return False
        with suppress(OSError):
            age_s = time.time() - self._path(number).stat().st_mtime
            return 0 <= age_s < (self._keep - 1) * self._seconds - _JITTER_S
        return False

    def _note(self, number: int, first: int) -> str:
        return f"edgeseg segment {number} of {quote(os.fsencode(self._pattern.name))}, kept with {first}"

    def _kept_with(self, number: int) -> int | None:
        """What the note in the file of this number says; None where this class has not written it, or not as this."""
        try:
            note = _NOTE.search(end_of_header(self._path(number)))
        except OSError:
            return None
        if note is None or note[0].decode() != self._note(number, int(note[3])):
            return None
        return int(note[3])

    def _bytes_of(self, number: int) -> int:
        try:
            return self._path(number).stat().st_size
        except OSError:
            return 0

    def _numbers(self) -> list[int]:
        """Of the files of this pattern that are there."""
        found = [match for path in self._pattern.parent.iterdir() if (match := re.fullmatch(self._form, path.name))]
        return [int(match[1]) for match in found if self._path(int(match[1])).name == match[0]]

    def _path(self, number: int) -> Path:
        return self._pattern.with_name(self._pattern.name % number)


def check_pattern(pattern: Path) -> None:
    """Raise SinkError unless segments can be written under this name; nothing is left."""
    if not re.fullmatch(r"[^%]*%0?\d?d[^%]*", pattern.name):
        raise SinkError(f"{pattern.name} must say once where the number goes", "Name it like clip-%03d.mp4")
    check_video_path(pattern.with_name(pattern.name % 0))
