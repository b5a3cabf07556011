"""What the page's server writes to the log: a line of each kind in ten seconds, whatever is thrown at it.

Peers decide how often something happens here; if each time were a line, they could fill the disk.
"""

from __future__ import annotations

import asyncio
import logging
import time

LOG = logging.getLogger("edgeseg.web")
"""The log of the page, and of the server beneath it."""

_PERIOD_S = 10.0


class Notices:
    """Lines for the log, each kind at most once in a while, with a count of those left out. Used on the event loop."""

    def __init__(self, period_s: float = _PERIOD_S) -> None:
        self._period_s = period_s
        self._told_s: dict[str, float] = {}
        self._left_out: dict[str, int] = {}

    def tell(self, what: str, *values: object) -> None:
        """Write this line, unless one of its kind, the text without the values, was written lately."""
        now_s = time.monotonic()
        if now_s - self._told_s.get(what, -self._period_s) < self._period_s:
            self._left_out[what] = self._left_out.get(what, 0) + 1
            return
        self._told_s[what] = now_s
        LOG.warning(f"edgeseg: {what}", *values)

    def sum_up(self) -> None:
        """Write how many lines were left out, of the kinds whose time is over; called now and then."""
        now_s = time.monotonic()
        for what, count in list(self._left_out.items()):
            if now_s - self._told_s[what] >= self._period_s:
                del self._left_out[what]
                self._told_s[what] = now_s
                LOG.warning("edgeseg: %s (%d times more)", what.partition(":")[0], count)


class BugsAlone(logging.Filter):
    """Lets tracebacks of bugs through, each kind once in a while; that viewers go, or talk nonsense, is none."""

    def __init__(self) -> None:
        super().__init__()
        self._told_s: dict[tuple[str, object], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is written."""
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, (OSError, asyncio.CancelledError, UnicodeDecodeError)):
            return False
        kind = (str(record.msg), type(error))
        now_s = time.monotonic()
        if now_s - self._told_s.get(kind, -_PERIOD_S) < _PERIOD_S:
            return False
        self._told_s[kind] = now_s
        return True


BENEATH = logging.getLogger("edgeseg.web.server")
"""The log of what lies beneath: uvicorn, websockets, the event loop. Errors alone: other lines may hold the token."""

BENEATH.setLevel(logging.ERROR)
BENEATH.addFilter(BugsAlone())
