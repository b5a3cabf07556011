"""The figures for Prometheus."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import get_args

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from edgeseg.video.status import Condition, StreamStatus
from edgeseg.video.web.monitor import Monitor


class Metrics(Collector):
    """Reads the monitor when asked; a registry of its own, so that two runs in one process do not clash."""

    def __init__(self, monitor: Monitor) -> None:
        self._monitor = monitor
        self._registry = CollectorRegistry()
        self._registry.register(self)
        ProcessCollector(registry=self._registry)  # memory, CPU time, open files: of Linux alone

    def text(self) -> bytes:
        """The page of figures, in Prometheus' text format."""
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        """One family after the other, as prometheus_client asks for them."""
        streams = self._monitor.status()
        yield _counter("edgeseg_frames_in", "Frames the source delivered", {s.stream: s.frames_in for s in streams})
        yield _counter("edgeseg_frames_processed", "Frames processed", {s.stream: s.processed for s in streams})
        yield _counter(
            "edgeseg_frames_dropped", "Frames dropped for newer ones", {s.stream: s.dropped for s in streams}
        )
        yield _counter(
            "edgeseg_source_reconnects", "Times the source came back", {s.stream: s.state.reconnects for s in streams}
        )
        fps = GaugeMetricFamily("edgeseg_fps", "Frames processed per second, lately", labels=["stream"])
        for stream in streams:
            fps.add_metric([stream.stream], stream.fps)
        yield fps
        yield _states(streams)
        yield _latencies(streams)
        hub = self._monitor.hub
        yield GaugeMetricFamily("edgeseg_web_viewers", "Viewers of the page and of the MJPEG stream", hub.viewers)
        yield CounterMetricFamily("edgeseg_web_viewers_dropped", "Viewers dropped: they took nothing", hub.dropped)
        yield CounterMetricFamily("edgeseg_web_pictures_encoded", "Pictures encoded for viewers", hub.encoded)


def _counter(name: str, what: str, values: dict[str, int]) -> Metric:
    family = CounterMetricFamily(name, what, labels=["stream"])
    for stream, value in values.items():
        family.add_metric([stream], value)
    return family


def _states(streams: Sequence[StreamStatus]) -> Metric:
    family = GaugeMetricFamily("edgeseg_source_state", "1 for the state that it is in", labels=["stream", "state"])
    for stream in streams:
        for condition in get_args(Condition):
            family.add_metric([stream.stream, condition], float(condition == stream.state.condition))
    return family


def _latencies(streams: Sequence[StreamStatus]) -> Metric:
    family = GaugeMetricFamily(
        "edgeseg_latency_seconds", "Of one frame by hop, since the start", labels=["stream", "hop", "quantile"]
    )
    for stream in streams:
        for hop, latency in stream.latency.items():
            for quantile, ms in (("0.5", latency.p50_ms), ("0.95", latency.p95_ms), ("0.99", latency.p99_ms)):
                if not math.isnan(ms):
                    family.add_metric([stream.stream, hop, quantile], ms / 1000)
    return family
