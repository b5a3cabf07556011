"""Ctrl-C and SIGTERM: a run ends in good order."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_ENDING = (signal.SIGINT, signal.SIGTERM)

_TOGETHER_S = 0.5
"""Signals so close count as one: ``timeout`` and some shells signal a process, and then its group as well."""


@contextmanager
def ended_by_signals(stop: Callable[[], None]) -> Iterator[None]:
    """Ctrl-C or SIGTERM calls ``stop``, in a thread of its own; a later one ends the process at once.

    A thread listens, so that it is heard even while the main thread is inside a native call that does not return.
    """
    heard, wake = socket.socketpair()
    wake.setblocking(False)
    previous = {number: signal.signal(number, lambda *_: None) for number in _ENDING}
    previous_wake = signal.set_wakeup_fd(wake.fileno(), warn_on_full_buffer=False)
    listener = threading.Thread(target=_listen, args=(heard, stop), name="signals", daemon=True)
    listener.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(previous_wake)
        for number, handler in previous.items():
            signal.signal(number, handler)
        wake.close()
        listener.join()
        heard.close()


def _listen(heard: socket.socket, stop: Callable[[], None]) -> None:
    """Each signal arrives as a byte; the end of them as none."""
    first_s: float | None = None
    while number := heard.recv(1):
        now_s = time.monotonic()
        if number[0] not in _ENDING:
            continue
        if first_s is None:
            first_s = now_s
            threading.Thread(target=stop, name="stop", daemon=True).start()
        elif now_s - first_s > _TOGETHER_S:
            os._exit(128 + number[0])
