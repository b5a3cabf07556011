"""The account of a run: what became of its frames, put together from its streams and sinks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from edgeseg.video.capture import Capture
from edgeseg.video.sink_worker import SinkWorker
from edgeseg.video.stage import Score, Stage
from edgeseg.video.telemetry import Histograms, LatencyHistogram, Report


def account(
    captures: Sequence[Capture], workers: Sequence[SinkWorker], stages: Sequence[Stage], elapsed_s: float
) -> Report:
    """The figures so far.

    Args:
        captures: the streams; one or more.
        workers: the sinks.
        stages: among which may be one that compares with ground truth.
        elapsed_s: since the start of the run.
    """
    streams = tuple(replace(capture.report(), elapsed_s=elapsed_s) for capture in captures)
    hops, sink_ms, age_ms = Histograms(), LatencyHistogram(), LatencyHistogram()
    for capture in captures:
        hops.merge(capture.hops)
    for worker in workers:
        sink_ms.merge(worker.write_ms)
        age_ms.merge(worker.age_ms)
    latency = hops.summary()
    if workers:
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
        sinks=tuple(worker.report() for worker in workers),
        failed=streams[0].failed if one else "",
        faults=streams[0].faults if one else {},
        left_out=sum(stream.left_out for stream in streams),
        left_out_for=next((stream.left_out_for for stream in reversed(streams) if stream.left_out), ""),
    )
