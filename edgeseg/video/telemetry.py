"""The clock on each hop: how long the frames took, in bounded memory, and what became of them."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import accumulate

import numpy as np

_FINEST_MS = 1e-3
_GROWTH = 1.02  # each bin is 2 % wider than the last, so a percentile is within 1 % of the true one
_BINS = math.ceil(math.log(1e9) / math.log(_GROWTH))  # up to 1000 s

BOUNDS_MS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0, 2500.0, 10_000.0)
"""Upper bounds of the buckets that monitors are told, in milliseconds; beyond the last there is one without a bound."""


@dataclass(frozen=True)
class Latency:
    """How long one hop took, since the start.

    Attributes:
        count: frames measured.
        p50_ms, p95_ms, p99_ms: milliseconds, within 1 %.
        sum_ms: milliseconds of all frames together.
        buckets: (upper bound in milliseconds, frames that took no longer), exact, for each of ``BOUNDS_MS`` and for
            infinity. Both only grow, so that a monitor can tell how it was in any stretch of time.
    """

    count: int
    p50_ms: float
    p95_ms: float
    p99_ms: float
    sum_ms: float = 0.0
    buckets: tuple[tuple[float, int], ...] = ()


class LatencyHistogram:
    """Counts on a logarithmic scale of fixed size: the memory of a minute's stream serves one of weeks."""

    def __init__(self) -> None:
        self._counts = np.zeros(_BINS, dtype=np.int64)
        self._in_buckets = [0] * (len(BOUNDS_MS) + 1)
        self._sum_ms = 0.0

    def add(self, ms: float) -> None:
        """Count one measurement in milliseconds."""
        bin_ = int(math.log(max(ms, _FINEST_MS) / _FINEST_MS) / math.log(_GROWTH))
        self._counts[min(bin_, _BINS - 1)] += 1
        self._in_buckets[bisect_left(BOUNDS_MS, ms)] += 1
        self._sum_ms += ms

    def merge(self, other: LatencyHistogram) -> None:
        """Add the measurements of another."""
        self._counts += other._counts
        self._in_buckets = [mine + theirs for mine, theirs in zip(self._in_buckets, other._in_buckets, strict=True)]
        self._sum_ms += other._sum_ms

    def percentile(self, percent: float) -> float:
        """The milliseconds that this percentage of the measurements does not exceed; NaN when there are none."""
        cumulative = np.cumsum(self._counts)
        if cumulative[-1] == 0:
            return math.nan
        bin_ = int(np.searchsorted(cumulative, max(1.0, percent / 100 * cumulative[-1])))
        return float(_FINEST_MS * _GROWTH ** (bin_ + 0.5))

    def summary(self) -> Latency:
        """The figures that are reported; safe while another thread adds."""
        buckets = tuple(zip((*BOUNDS_MS, math.inf), accumulate(tuple(self._in_buckets)), strict=True))
        p50_ms, p95_ms, p99_ms = (self.percentile(percent) for percent in (50, 95, 99))
        return Latency(buckets[-1][1], p50_ms, p95_ms, p99_ms, self._sum_ms, buckets)


class Histograms:
    """A histogram for each hop, in the order in which they first came."""

    def __init__(self) -> None:
        self._hops: dict[str, LatencyHistogram] = {}

    def add(self, latency_ms: Mapping[str, float]) -> None:
        """Count one frame's milliseconds by hop."""
        for hop, ms in latency_ms.items():
            self._hops.setdefault(hop, LatencyHistogram()).add(ms)

    def merge(self, other: Histograms) -> None:
        """Add the measurements of others, hop by hop."""
        for hop, histogram in other._hops.copy().items():
            self._hops.setdefault(hop, LatencyHistogram()).merge(histogram)

    def summary(self) -> dict[str, Latency]:
        """The percentiles by hop; safe while another thread adds."""
        return {name: histogram.summary() for name, histogram in self._hops.copy().items()}


@dataclass(frozen=True)
class SinkReport:
    """What became of the results that were offered to a sink.

    Attributes:
        name: of its class.
        written: results it took.
        dropped: those of live sources that a newer one replaced while it was busy, those that it left out, and all
            since it failed.
        write: how long it took for each.
        failed: why it was given up, in one line, while the rest of the run goes on; of a sink that has an output for
            each stream, why some of these were. Empty while all is well.
    """

    name: str
    written: int
    dropped: int
    write: Latency
    failed: str = ""


@dataclass(frozen=True)
class Report:
    """What became of a run, or of one of its streams.

    Attributes:
        uri: the source; of several, how many.
        frames_in: frames the source delivered; always ``processed + dropped`` once the run is over.
        processed: frames that passed all stages and were offered to every sink.
        dropped: frames of a live source that a newer one replaced, those too old when their turn came, those that a
            stage failed on, and those given up when a stream or a run fails.
        elapsed_s: seconds from the start of the run to the last frame processed.
        latency: by hop, in the order of the journey: ``capture`` (to decode a frame, or to wait for a camera's next),
            the stages, ``sink``, and ``end to end`` (from captured to written, waiting between the threads included).
        miou: mean intersection over union, 0..1, over the frames with ground truth; None where none had it.
        scored: how many frames had it.
        stream: its name where the run has several; else empty.
        streams: one for each stream where the run has several; else empty.
        sinks: one for each sink.
        failed: why a stream was given up, in one line; else empty.
        faults: why frames of live streams were lost in a stage, in one line each, and how many were.
        miou_note: what ``miou`` leaves out, in words: classes of which no pixel was seen; else empty.
    """

    uri: str
    frames_in: int
    processed: int
    dropped: int
    elapsed_s: float
    latency: Mapping[str, Latency] = field(default_factory=dict)
    miou: float | None = None
    scored: int = 0
    stream: str = ""
    streams: tuple[Report, ...] = ()
    sinks: tuple[SinkReport, ...] = ()
    failed: str = ""
    faults: Mapping[str, int] = field(default_factory=dict)
    miou_note: str = ""

    @property
    def fps(self) -> float:
        """Frames processed per second; 0 when there was none."""
        return self.processed / self.elapsed_s if self.elapsed_s > 0 else 0.0
