"""The figures for Prometheus: counters that never go back, and latencies as histograms."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import get_args

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from edgeseg.video.status import Condition, StreamStatus
from edgeseg.video.telemetry import SinkReport
from edgeseg.video.web.monitor import Monitor


class Metrics(Collector):
    """Reads the monitor when asked; a registry of its own, so that two runs in one process do not clash."""

    def __init__(self, monitor: Monitor) -> None:
        self._monitor = monitor
        self._highest: dict[tuple[str, str], float] = {}
        self._registry = CollectorRegistry()
        self._registry.register(self)
        ProcessCollector(registry=self._registry)  # memory, CPU time, open files: of Linux alone

    def text(self) -> bytes:
        """The page of figures, in Prometheus' text format."""
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        """One family after the other, as prometheus_client asks for them."""
        streams = self._monitor.status()
        for name, what, values in (
            ("edgeseg_frames_in", "Frames the source delivered", {s.stream: s.frames_in for s in streams}),
            ("edgeseg_frames_processed", "Frames processed", {s.stream: s.processed for s in streams}),
            ("edgeseg_frames_dropped", "Frames dropped for newer ones", {s.stream: s.dropped for s in streams}),
            ("edgeseg_frames_faulty", "Frames lost in a stage", {s.stream: sum(s.faults.values()) for s in streams}),
            (
                "edgeseg_source_reconnects",
                "Times the source came back",
                {s.stream: s.state.reconnects for s in streams},
            ),
        ):
            yield self._counter(name, what, "stream", values)
        yield _gauge("edgeseg_fps", "Frames processed per second, lately", "stream", {s.stream: s.fps for s in streams})
        yield _gauge(
            "edgeseg_stream_failed",
            "1 for a stream that was given up",
            "stream",
            {s.stream: s.failed != "" for s in streams},
        )
        yield _states(streams)
        yield _latencies(streams)
        sinks = _named(self._monitor.sinks())
        for name, what, values in (
            ("edgeseg_sink_results_written", "Results that the sink took", {n: s.written for n, s in sinks.items()}),
            ("edgeseg_sink_results_dropped", "Results that the sink missed", {n: s.dropped for n, s in sinks.items()}),
        ):
            yield self._counter(name, what, "sink", values)
        yield _gauge(
            "edgeseg_sink_failed",
            "1 for a sink that was given up",
            "sink",
            {n: s.failed != "" for n, s in sinks.items()},
        )
        hub = self._monitor.hub
        yield GaugeMetricFamily("edgeseg_web_viewers", "Viewers of the page and of the MJPEG stream", hub.viewers)
        yield CounterMetricFamily("edgeseg_web_viewers_dropped", "Viewers dropped: they took nothing", hub.dropped)
        yield CounterMetricFamily("edgeseg_web_pictures_encoded", "Pictures encoded for viewers", hub.encoded)
        yield CounterMetricFamily(
            "edgeseg_web_connections_refused", "Connections turned away: there were too many", self._monitor.refused()
        )

    def _counter(self, name: str, what: str, label: str, values: dict[str, int]) -> Metric:
        """A family that shows no less than it did: a rate would take that for a new start."""
        family = CounterMetricFamily(name, what, labels=[label])
        for one, value in values.items():
            self._highest[name, one] = max(value, self._highest.get((name, one), 0))
            family.add_metric([_text(one)], self._highest[name, one])
        return family


def _gauge(name: str, what: str, label: str, values: dict[str, float]) -> Metric:
    family = GaugeMetricFamily(name, what, labels=[label])
    for one, value in values.items():
        family.add_metric([_text(one)], float(value))
    return family


def _states(streams: Sequence[StreamStatus]) -> Metric:
    family = GaugeMetricFamily("edgeseg_source_state", "1 for the state that it is in", labels=["stream", "state"])
    for stream in streams:
        for condition in get_args(Condition):
            family.add_metric([_text(stream.stream), condition], float(condition == stream.state.condition))
    return family


def _latencies(streams: Sequence[StreamStatus]) -> Metric:
    family = HistogramMetricFamily("edgeseg_latency_seconds", "Of one frame by hop", labels=["stream", "hop"])
    for stream in streams:
        for hop, latency in stream.latency.items():
            if latency.count:
                buckets = [("+Inf" if math.isinf(ms) else repr(ms / 1000), float(n)) for ms, n in latency.buckets]
                family.add_metric([_text(stream.stream), _text(hop)], buckets, latency.sum_ms / 1000)
    return family


def _named(sinks: Sequence[SinkReport]) -> dict[str, SinkReport]:
    """By the name of the class, with a number from the second of its kind on."""
    seen: Counter[str] = Counter()
    named = {}
    for sink in sinks:
        seen[sink.name] += 1
        named[sink.name if seen[sink.name] == 1 else f"{sink.name} {seen[sink.name]}"] = sink
    return named


def _text(label: str) -> str:
    """As UTF-8 can say it: a stream may have the name of a file, which is any bytes."""
    return label.encode(errors="replace").decode()
