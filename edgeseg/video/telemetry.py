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

    def merge(self, other: LatencyHistogram) -> None:
        """Add the measurements of another."""
        self._counts += other._counts

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
        dropped: those of live sources that a newer one replaced while it was busy, and those lost when it failed.
        write: how long it took for each.
    """

    name: str
    written: int
    dropped: int
    write: Latency


@dataclass(frozen=True)
class Report:
    """What became of a run, or of one of its streams.

    Attributes:
        uri: the source; of several, how many.
        frames_in: frames the source delivered; always ``processed + dropped`` once the run is over.
        processed: frames that passed all stages and were offered to every sink.
        dropped: frames of a live source that a newer one replaced, those too old when their turn came, and those given
            up when a run fails.
        elapsed_s: seconds from the start of the run to the last frame processed.
        latency: by hop, in the order of the journey: ``capture`` (to decode a frame, or to wait for a camera's next),
            the stages, ``sink``, and ``end to end`` (from captured to written, waiting between the threads included).
        miou: mean intersection over union, 0..1, over the frames with ground truth; None where none had it.
        scored: how many frames had it.
        stream: its name where the run has several; else empty.
        streams: one for each stream where the run has several; else empty.
        sinks: one for each sink.
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

    @property
    def fps(self) -> float:
        """Frames processed per second; 0 when there was none."""
        return self.processed / self.elapsed_s if self.elapsed_s > 0 else 0.0
