"""The account of a run: what became of its frames, put together from its streams and sinks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from edgeseg.video.capture import Capture
from edgeseg.video.outlet import Outlet
from edgeseg.video.stage import Score, Stage
from edgeseg.video.telemetry import Histograms, LatencyHistogram, Report


def account(
    captures: Sequence[Capture], outlets: Sequence[Outlet], stages: Sequence[Stage], elapsed_s: float
) -> Report:
    """The figures so far.

    Args:
        captures: the streams; one or more.
        outlets: the sinks.
        stages: among which may be one that compares with ground truth.
        elapsed_s: since the start of the run.
    """
    streams = tuple(replace(capture.report(), elapsed_s=elapsed_s) for capture in captures)
    hops, sink_ms, age_ms = Histograms(), LatencyHistogram(), LatencyHistogram()
    for capture in captures:
        hops.merge(capture.hops)
    for outlet in outlets:
        sink_ms.merge(outlet.write_ms)
        age_ms.merge(outlet.age_ms)
    latency = hops.summary()
    if outlets:
        latency |= {"sink": sink_ms.summary(), "end to end": age_ms.summary()}
    score = next((stage for stage in stages if isinstance(stage, Score) and stage.frames), None)
    one = len(streams) == 1
    return Report(
        uri=streams[0].uri if one else f"{len(streams)} streams",
        frames_in=sum(stream.frames_in for stream in streams),
        processed=sum(stream.processed for stream in streams),
        dropped=sum(stream.dropped for stream in streams),
        elapsed_s=elapsed_s,
        latency={hop: summary for hop, summary in latency.items() if summary.count},
        miou=score.confusion.miou() if score else None,
        miou_note=score.left_out() if score else "",
        scored=score.frames if score else 0,
        streams=() if one else streams,
        sinks=tuple(outlet.report() for outlet in outlets),
        failed=streams[0].failed if one else "",
        faults=streams[0].faults if one else {},
    )
