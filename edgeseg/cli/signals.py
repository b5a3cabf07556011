"""Ctrl-C and SIGTERM: a run ends in good order."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import NoReturn

_ENDING = (signal.SIGINT, signal.SIGTERM)

_GRACE_S = 120.0
"""After the first signal, until the process ends whatever it is in: longer than a run takes to close its files."""

_TOGETHER_S = 0.5
"""Signals so close count as one: ``timeout`` and some shells signal a process, and then its group as well."""


@contextmanager
def ended_by_signals(stop: Callable[[], None]) -> Iterator[None]:
    """Ctrl-C or SIGTERM calls ``stop``, in a thread of its own; a later one ends the process at once.

    Where the block is not left within two minutes then, the process ends as well. A thread listens, so that it is heard
    even while the main thread is inside a native call that does not return.
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


@contextmanager
def interruptible() -> Iterator[None]:
    """Ctrl-C ends the process at once, as SIGTERM does, also where a native call, of loading a model, does not return.

    Python's own handler would only take note of it until then.
    """
    previous = signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)


def leave(words: str, code: int) -> NoReturn:
    """End the process without its clean-up, which a thread that does not return would hold up, and say why."""
    for stream, line in ((sys.stdout, ""), (sys.stderr, f"edgeseg: {words}\n")):
        with suppress(OSError, ValueError):
            stream.write(line)
            stream.flush()
    os._exit(code)


def _listen(heard: socket.socket, stop: Callable[[], None]) -> None:
    """Each signal arrives as a byte; the end of them as none."""
    first_s: float | None = None
    while True:
        left_s = None if first_s is None else max(first_s + _GRACE_S - time.monotonic(), 0.001)
        heard.settimeout(left_s)
        try:
            number = heard.recv(1)
        except TimeoutError:
            leave("it does not end, and was ended", 128 + signal.SIGTERM)
        if not number:
            return
        now_s = time.monotonic()
        if number[0] not in _ENDING:
            continue
        if first_s is None:
            first_s = now_s
            threading.Thread(target=stop, name="stop", daemon=True).start()
        elif now_s - first_s > _TOGETHER_S:
            os._exit(128 + number[0])
