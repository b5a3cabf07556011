"""A live stream's packets, read on a thread of their own the moment they arrive."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import NamedTuple

import av
from av.video.stream import VideoStream

from edgeseg.video.queues import BoundedQueue
from edgeseg.video.sources.packets import Arrived

_BEHIND_S = 0.25
_MOST_PACKETS = 1000
_BAD_READS = 20


class _Numbered(NamedTuple):
    packet: av.Packet[VideoStream]
    arrived_s: float
    number: int


class PacketReader:
    """Keeps the sockets' buffers empty, however slow the decoder is, so that no frame grows old where nobody sees it.

    What waits to be decoded is given up once it is old and a key picture has come, from which decoding can begin: the
    latest wins here as well.

    Args:
        packets: gives them one after the other, called on the thread and called again after ``InvalidDataError``.
        close: called on the thread when it is over.
        timeout_s: seconds without data after which it counts as silent.
    """

    def __init__(
        self,
        packets: Callable[[], Iterator[av.Packet[VideoStream]]],
        close: Callable[[], None],
        timeout_s: float,
    ) -> None:
        self._packets = packets
        self._close = close
        self._timeout_s = timeout_s
        self._waiting: BoundedQueue[_Numbered] = BoundedQueue(
            _MOST_PACKETS, latest_wins=True, make_room=self._give_up_what_is_old
        )
        self._needs_key = False
        self._taken = 0
        self._stopped = False
        self._error: BaseException | None = None
        threading.Thread(target=self._run, name="edgeseg-packets", daemon=True).start()

    def take(self) -> Arrived | None:
        """The oldest packet that waits, or the next to come; None once the stream has ended or :meth:`stop` was called.

        Raises:
            Exception: it cannot be read any more; ``ExitError`` or ``TimeoutError`` where it has fallen silent.
        """
        taken = self._waiting.get()
        if taken is not None:
            follows = taken.number == self._taken + 1
            self._taken = taken.number
            return Arrived(taken.packet, taken.arrived_s, follows)
        if self._error is not None and not self._stopped:
            raise self._error
        return None

    def stop(self) -> None:
        """End it; the thread ends with the next packet, or when the timeout for reading is over."""
        self._stopped = True
        self._waiting.abandon()

    def _run(self) -> None:
        try:
            self._read()
        except BaseException as error:
            self._error = error
        self._waiting.end()
        self._close()  # last, as a server that is gone may be waited for

    def _read(self) -> None:
        bad_reads = number = 0
        before_s = time.monotonic()
        while True:
            try:
                for packet in self._packets():
                    arrived_s = time.monotonic()
                    if arrived_s - before_s >= self._timeout_s:
                        raise TimeoutError  # FFmpeg's parser had held this one back; nothing new has come
                    before_s = arrived_s
                    if packet.size:  # the last one, to flush decoders, is empty
                        bad_reads = 0
                        number += 1
                        if not self._waiting.put(_Numbered(packet, arrived_s, number)):
                            return
                return
            except av.InvalidDataError:
                bad_reads += 1
                if bad_reads == _BAD_READS:
                    raise

    def _give_up_what_is_old(self, waiting: deque[_Numbered], new: _Numbered) -> bool:
        """All that waits, where it is too much or a key picture finds it late; then none but a key picture waits."""
        is_late = bool(waiting) and new.arrived_s - waiting[0].arrived_s > _BEHIND_S
        if len(waiting) >= _MOST_PACKETS or (new.packet.is_keyframe and is_late):
            waiting.clear()
            self._needs_key = True
        self._needs_key &= not new.packet.is_keyframe
        return not self._needs_key
