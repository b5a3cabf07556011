"""The last minute of a stream, a mean per second: what the page's chart shows to those who come later."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping

SPAN_S = 60


class _Second:
    def __init__(self, second: int) -> None:
        self.second = second
        self._sum_ms: dict[str, float] = {}
        self._count: dict[str, int] = {}

    def add(self, latency_ms: Mapping[str, float]) -> None:
        for hop, ms in latency_ms.items():
            self._count[hop] = self._count.get(hop, 0) + 1  # first: who reads a sum finds its count
            self._sum_ms[hop] = self._sum_ms.get(hop, 0.0) + ms

    def means_ms(self) -> dict[str, float]:
        return {hop: total / self._count[hop] for hop, total in self._sum_ms.copy().items()}


class History:
    """Milliseconds by hop over the last minute, in bounded memory. One thread adds, any may ask."""

    def __init__(self) -> None:
        self._seconds: deque[_Second] = deque(maxlen=SPAN_S + 1)  # the one that runs included

    def add(self, latency_ms: Mapping[str, float], now_s: float) -> None:
        """Count one frame's milliseconds by hop; ``now_s`` is ``time.monotonic()``."""
        second = math.floor(now_s)
        if not self._seconds or self._seconds[-1].second != second:
            self._seconds.append(_Second(second))
        self._seconds[-1].add(latency_ms)

    def means_ms(self, now_s: float) -> dict[str, list[float | None]]:
        """By hop, the mean of each of the last 60 whole seconds, the oldest first; None where no frame came."""
        first = math.floor(now_s) - SPAN_S
        series: dict[str, list[float | None]] = {}
        for second in list(self._seconds):
            if first <= second.second < first + SPAN_S:
                for hop, mean_ms in second.means_ms().items():
                    series.setdefault(hop, [None] * SPAN_S)[second.second - first] = round(mean_ms, 3)
        return series
