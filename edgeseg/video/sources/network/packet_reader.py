"""A live stream's packets, read on a thread of their own the moment they arrive."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import NamedTuple

import av
from av.video.stream import VideoStream

_BEHIND_S = 0.25
_MOST_PACKETS = 1000
_BAD_READS = 20


class Arrived(NamedTuple):
    """A packet.

    Attributes:
        packet: as it came.
        arrived_s: ``time.monotonic()`` when FFmpeg gave it out. Of H.264 and HEVC it does so when the next one begins.
        follows: whether the packet before it was given out as well; else the decoder has to begin anew.
    """

    packet: av.Packet[VideoStream]
    arrived_s: float
    follows: bool


class PacketReader:
    """Keeps the sockets' buffers empty, however slow the decoder is, so that no frame grows old where nobody sees it.

    What waits to be decoded is given up once it is old and a key picture has come, from which decoding can begin: the
    latest wins here as well.

    Args:
        packets: gives them one after the other, called on the thread and called again after ``InvalidDataError``.
        close: called on the thread when it is over.
        timeout_s: seconds without data after which it counts as silent.

    Attributes:
        skipped: packets given up so far.
    """

    def __init__(
        self,
        packets: Callable[[], Iterator[av.Packet[VideoStream]]],
        close: Callable[[], None],
        timeout_s: float,
    ) -> None:
        self.skipped = 0
        self._packets = packets
        self._close = close
        self._timeout_s = timeout_s
        self._waiting: deque[Arrived] = deque()
        # A Condition's lock is reentrant, so a signal handler may call stop() on the very thread that holds it.
        self._changed = threading.Condition()
        self._stopped = False
        self._over = False
        self._needs_key = False
        self._error: BaseException | None = None
        threading.Thread(target=self._run, name="edgeseg-packets", daemon=True).start()

    def take(self) -> Arrived | None:
        """The oldest packet that waits, or the next to come; None once the stream has ended or :meth:`stop` was called.

        Raises:
            Exception: it cannot be read any more; ``ExitError`` or ``TimeoutError`` where it has fallen silent.
        """
        with self._changed:
            while not self._waiting and not self._over and not self._stopped:
                self._changed.wait()
            if self._stopped:
                return None
            if self._waiting:
                return self._waiting.popleft()
            if self._error is not None:
                raise self._error
            return None

    def stop(self) -> None:
        """End it; the thread ends with the next packet, or when the timeout for reading is over."""
        self._stopped = True
        with self._changed:
            self._changed.notify_all()

    def _run(self) -> None:
        try:
            self._read()
        except BaseException as error:
            self._error = error
        with self._changed:
            self._over = True
            self._changed.notify_all()
        self._close()  # last, as a server that is gone may be waited for

    def _read(self) -> None:
        bad_reads = 0
        before_s = time.monotonic()
        while True:
            try:
                for packet in self._packets():
                    arrived_s = time.monotonic()
                    if self._stopped:
                        return
                    if arrived_s - before_s >= self._timeout_s:
                        raise TimeoutError  # FFmpeg's parser had held this one back; nothing new has come
                    before_s = arrived_s
                    if packet.size:  # the last one, to flush decoders, is empty
                        bad_reads = 0
                        self._add(packet, arrived_s)
                return
            except av.InvalidDataError:
                bad_reads += 1
                if bad_reads == _BAD_READS:
                    raise

    def _add(self, packet: av.Packet[VideoStream], arrived_s: float) -> None:
        with self._changed:
            is_late = bool(self._waiting) and arrived_s - self._waiting[0].arrived_s > _BEHIND_S
            gives_up = len(self._waiting) >= _MOST_PACKETS or (packet.is_keyframe and is_late)
            if gives_up:
                self.skipped += len(self._waiting)
                self._waiting.clear()
                self._needs_key = True
            follows = not self._needs_key
            if self._needs_key and not packet.is_keyframe:
                self.skipped += 1
                return
            self._needs_key = False
            self._waiting.append(Arrived(packet, arrived_s, follows))
            self._changed.notify_all()
