"""What a stream is doing right now, for those who look while it runs: the web page, a monitor, a line on stderr."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from edgeseg.video.telemetry import Latency, SinkReport

Condition = Literal["connecting", "running", "lost", "ended"]


@dataclass(frozen=True)
class SourceState:
    """How it stands with a source.

    Attributes:
        condition: ``connecting`` until the first frame; ``running``; ``lost`` while a live source is away and is being
            tried again; ``ended``.
        reason: why it is lost, in one line without credentials; else empty.
        since_s: ``time.monotonic()`` when it became so, in seconds.
        reconnects: how often it came back.
        left_out: frames of a live source that could not be used, and were left out: damaged, or too large.
        left_out_for: why the last of them was.
    """

    condition: Condition
    reason: str = ""
    since_s: float = field(default_factory=time.monotonic)
    reconnects: int = 0
    left_out: int = 0
    left_out_for: str = ""

    def now(self, condition: Condition, reason: str = "") -> SourceState:
        """The state from now on: what was counted goes on, also when it ends."""
        since_s = self.since_s if condition == self.condition else time.monotonic()
        return replace(self, condition=condition, reason=reason, since_s=since_s)


@dataclass(frozen=True)
class StreamStatus:
    """One stream of a running pipeline.

    Attributes:
        stream: its name.
        uri: its source, credentials removed.
        state: of the source.
        frames_in, processed, dropped: counts so far; frames under way are in none but the first.
        fps: frames processed per second, over the last few seconds.
        latency: by hop since the start, as in the report.
        recent_ms: milliseconds by hop of the last frame processed.
        failed: why the stream was given up, in one line, while the others go on; else empty.
        faults: why frames of a live stream were lost in a stage, in one line each, and how many were.
    """

    stream: str
    uri: str
    state: SourceState
    frames_in: int
    processed: int
    dropped: int
    fps: float
    latency: Mapping[str, Latency]
    recent_ms: Mapping[str, float]
    failed: str = ""
    faults: Mapping[str, int] = field(default_factory=dict)


Status = Callable[[], Sequence[StreamStatus]]
"""Says how the streams stand; asked from any thread."""

SinkReports = Callable[[], Sequence[SinkReport]]
"""Says how the sinks stand; asked from any thread."""
