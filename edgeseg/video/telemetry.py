"""The clock on each hop: how long the frames took, in bounded memory, and what became of them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

_FINEST_MS = 1e-3
_GROWTH = 1.02  # each bin is 2 % wider than the last, so a percentile is within 1 % of the true one
_BINS = math.ceil(math.log(1e9) / math.log(_GROWTH))  # up to 1000 s


@dataclass(frozen=True)
class Latency:
    """Percentiles of one hop.

    Attributes:
        count: frames measured.
        p50_ms, p95_ms, p99_ms: milliseconds, within 1 %.
    """

    count: int
    p50_ms: float
    p95_ms: float
    p99_ms: float


class LatencyHistogram:
    """Counts on a logarithmic scale of fixed size: the memory of a minute's stream serves one of weeks."""

    def __init__(self) -> None:
        self._counts = np.zeros(_BINS, dtype=np.int64)

    def add(self, ms: float) -> None:
        """Count one measurement in milliseconds."""
        bin_ = int(math.log(max(ms, _FINEST_MS) / _FINEST_MS) / math.log(_GROWTH))
        self._counts[min(bin_, _BINS - 1)] += 1

    def percentile(self, percent: float) -> float:
        """The milliseconds that this percentage of the measurements does not exceed; NaN when there are none."""
        cumulative = np.cumsum(self._counts)
        if cumulative[-1] == 0:
            return math.nan
        bin_ = int(np.searchsorted(cumulative, max(1.0, percent / 100 * cumulative[-1])))
        return float(_FINEST_MS * _GROWTH ** (bin_ + 0.5))

    def summary(self) -> Latency:
        """The percentiles that are reported."""
        return Latency(int(self._counts.sum()), *(self.percentile(percent) for percent in (50, 95, 99)))


@dataclass(frozen=True)
class Report:
    """What became of a run.

    Attributes:
        uri: the source.
        frames_in: frames the source delivered; always ``processed + dropped`` once the run is over.
        processed: frames that reached every sink.
        dropped: frames of a live source that a newer one replaced, and those given up when a run fails.
        elapsed_s: seconds from the start of the run to the last frame processed.
        latency: by hop, in the order of the journey: ``capture`` (to decode a frame, or to wait for a camera's next),
            the stages, ``sink``, and ``end to end`` (from captured to written, waiting between the threads included).
        miou: mean intersection over union, 0..1, over the frames with ground truth; None where none had it.
        scored: how many frames had it.
    """

    uri: str
    frames_in: int
    processed: int
    dropped: int
    elapsed_s: float
    latency: Mapping[str, Latency] = field(default_factory=dict)
    miou: float | None = None
    scored: int = 0

    @property
    def fps(self) -> float:
        """Frames processed per second; 0 when there was none."""
        return self.processed / self.elapsed_s if self.elapsed_s > 0 else 0.0
