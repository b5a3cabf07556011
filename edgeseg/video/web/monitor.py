"""How the run stands, put together for those who look: the page, a health check, Prometheus."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from typing import Any

from edgeseg.spec import ModelSpec
from edgeseg.types import Result
from edgeseg.video.status import SinkReports, Status, StreamStatus
from edgeseg.video.telemetry import Latency
from edgeseg.video.web.history import SPAN_S, History
from edgeseg.video.web.hub import Hub


class Monitor:
    """Joins what the pipeline says of its streams with what came by here.

    Args:
        hub: counts the viewers.
        silent_s: a running stream without a frame for so many seconds is not well.

    Attributes:
        status: asked for the streams.
        sinks: asked for the sinks.
        refused: asked how many connections were turned away.
        hub: as given.
    """

    def __init__(self, hub: Hub, silent_s: float) -> None:
        self.hub = hub
        self.status: Status = tuple
        self.sinks: SinkReports = tuple
        self.refused: Callable[[], int] = int
        self._silent_s = silent_s
        self._start_s = time.monotonic()
        self._spec: ModelSpec | None = None
        self._histories: dict[str, History] = {}
        self._last_s: dict[str, float] = {}

    def add(self, result: Result) -> None:
        """One more result; called on the thread that writes."""
        now_s = time.monotonic()
        if result.segmentation is not None:
            self._spec = result.segmentation.spec
        self._last_s[result.stream] = now_s
        self._histories.setdefault(result.stream, History()).add(result.latency_ms, now_s)

    def ailments(self) -> list[str]:
        """Why the run is not well, a line for each reason; none while frames flow."""
        return self._ailments(self.status(), time.monotonic())

    def _ailments(self, streams: Sequence[StreamStatus], now_s: float) -> list[str]:
        if not streams:
            return ["no stream yet"]
        found = [(stream.stream, self._ailment(stream, now_s)) for stream in streams]
        lost = [sink.failed for sink in self.sinks() if sink.failed]
        return [*(f"{name}: {why}" if name else why for name, why in found if why), *lost]

    def _ailment(self, stream: StreamStatus, now_s: float) -> str:
        state = stream.state
        if stream.failed:
            return f"ended before its time: {stream.failed}"
        for_s = f"for {max(0.0, now_s - state.since_s):.0f} s"
        if state.condition == "lost":
            return f"source lost {for_s}" + (f": {state.reason}" if state.reason else "")
        if state.condition == "connecting":
            return f"connecting {for_s}"
        silent_s = now_s - self._last_s.get(stream.stream, self._start_s)
        if state.condition == "running" and silent_s > self._silent_s:
            return f"no frame for {silent_s:.0f} s"
        return ""

    def document(self) -> dict[str, Any]:
        """All of it as JSON values; docs/web.md has the keys."""
        now_s = time.monotonic()
        spec = self._spec
        colors = [] if spec is None else ["#{:02x}{:02x}{:02x}".format(*color) for color in spec.colors]
        streams = self.status()
        ailments = self._ailments(streams, now_s)
        return {
            "status": "unhealthy" if ailments else "ok",
            "reason": "; ".join(ailments),
            "uptime_s": round(now_s - self._start_s, 1),
            "viewers": self.hub.viewers,
            "viewers_dropped": self.hub.dropped,
            "classes": [
                {"name": name, "color": color}
                for name, color in zip(() if spec is None else spec.class_names, colors, strict=True)
            ],
            "opacity": self.hub.encoding.opacity,
            "history_s": SPAN_S,
            "streams": [self._stream(stream, now_s) for stream in streams],
            "sinks": [
                {"name": sink.name, "written": sink.written, "dropped": sink.dropped, "failed": sink.failed}
                for sink in self.sinks()
            ],
        }

    def _stream(self, stream: StreamStatus, now_s: float) -> dict[str, Any]:
        last_s = self._last_s.get(stream.stream)
        history = self._histories.get(stream.stream)
        return {
            "stream": stream.stream,
            "uri": stream.uri,
            "condition": stream.state.condition,
            "reason": stream.state.reason,
            "failed": stream.failed,
            "faults": dict(stream.faults),
            "for_s": round(max(0.0, now_s - stream.state.since_s), 1),
            "reconnects": stream.state.reconnects,
            "frames_in": stream.frames_in,
            "processed": stream.processed,
            "dropped": stream.dropped,
            "fps": round(stream.fps, 2),
            "frame_age_s": None if last_s is None else round(now_s - last_s, 1),
            "latency_ms": {hop: _percentiles(latency) for hop, latency in stream.latency.items()},
            "recent_ms": {hop: round(ms, 3) for hop, ms in stream.recent_ms.items()},
            "history_ms": {} if history is None else history.means_ms(now_s),
        }


def _percentiles(latency: Latency) -> dict[str, float | None]:
    values = {"p50": latency.p50_ms, "p95": latency.p95_ms, "p99": latency.p99_ms}
    return {name: None if math.isnan(ms) else round(ms, 3) for name, ms in values.items()}
