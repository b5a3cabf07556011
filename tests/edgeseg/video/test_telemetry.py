"""The histogram against exact percentiles, and the report as people read it."""

from __future__ import annotations

import io
import math
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from edgeseg.video.report import to_table, to_text
from edgeseg.video.telemetry import BOUNDS_MS, Latency, LatencyHistogram, Report, SinkReport

REPORT = Report(
    uri="street.mp4",
    frames_in=120,
    processed=100,
    dropped=20,
    elapsed_s=4.0,
    latency={"capture": Latency(100, 1.0, 2.0, 3.0), "end to end": Latency(100, 12.345, 20.0, 30.0)},
    miou=0.6543,
    scored=90,
)


@pytest.mark.parametrize("scale_ms", [0.01, 5.0, 60_000.0])
def test_percentiles_are_within_one_percent(scale_ms: float) -> None:
    samples_ms = np.random.default_rng(0).lognormal(0, 1, 20_000) * scale_ms
    histogram = LatencyHistogram()
    for sample_ms in samples_ms:
        histogram.add(sample_ms)
    summary = histogram.summary()
    exact = np.percentile(samples_ms, [50, 95, 99], method="inverted_cdf")
    assert summary.count == 20_000
    assert (summary.p50_ms, summary.p95_ms, summary.p99_ms) == pytest.approx(exact, rel=0.0101)


def test_one_sample_and_none() -> None:
    histogram = LatencyHistogram()
    assert math.isnan(histogram.summary().p50_ms)
    histogram.add(7.0)
    assert histogram.summary().p50_ms == histogram.summary().p99_ms == pytest.approx(7.0, rel=0.0101)


def test_what_is_off_the_scale_is_counted_at_its_end() -> None:
    histogram = LatencyHistogram()
    for ms in (0.0, 1e30):
        histogram.add(ms)
    assert histogram.summary().count == 2
    assert histogram.percentile(50) < 0.0011
    assert histogram.percentile(100) > 9e5


def test_buckets_are_exact_and_only_grow() -> None:
    samples_ms = np.random.default_rng(1).lognormal(2, 2, 5_000)
    histogram, other = LatencyHistogram(), LatencyHistogram()
    for sample_ms in samples_ms[:4_000]:
        histogram.add(sample_ms)
    before = histogram.summary().buckets
    for sample_ms in samples_ms[4_000:]:
        other.add(sample_ms)
    histogram.merge(other)
    summary = histogram.summary()
    assert summary.buckets == tuple((bound, int((samples_ms <= bound).sum())) for bound in (*BOUNDS_MS, math.inf))
    assert summary.buckets[-1] == (math.inf, summary.count)
    assert summary.sum_ms == pytest.approx(samples_ms.sum())
    assert all(later >= earlier for (_, later), (_, earlier) in zip(summary.buckets, before, strict=True))


def test_a_bound_belongs_to_its_bucket() -> None:
    histogram = LatencyHistogram()
    for bound in BOUNDS_MS:
        histogram.add(bound)
    assert [count for _, count in histogram.summary().buckets] == [*range(1, len(BOUNDS_MS) + 1), len(BOUNDS_MS)]


def test_fps() -> None:
    assert REPORT.fps == pytest.approx(25.0)
    assert Report("x", 0, 0, 0, 0.0).fps == 0


def test_text_and_table_tell_the_same() -> None:
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(to_table(REPORT))
    for shown in (to_text(REPORT), console.export_text()):
        for expected in (
            "street.mp4",
            "120 frames in = 100 processed + 20 dropped, 25.0 fps",
            "12.35",
            "capture",
            "mIoU 65.43 % over 90 labelled frames",
        ):
            assert expected in shown
        assert shown.rstrip().endswith("labelled frames")


def test_what_was_lost_is_told_with_its_reason() -> None:
    sinks = (
        SinkReport("Mp4Sink", 3, 117, Latency(3, 1.0, 2.0, 3.0), "out.mp4 could not be written"),
        SinkReport("MaskSink", 120, 0, Latency(120, 1.0, 2.0, 3.0)),
    )
    streams = (
        Report("a.mp4", 5, 5, 0, 1.0, stream="a", failed="a.mp4 is damaged"),
        Report("camera:0", 9, 7, 2, 1.0, stream="b", faults={"Segment failed (odd)": 2}),
    )
    text = to_text(replace(REPORT, streams=streams, sinks=sinks, miou_note="over 2 of 3 classes; no pixel of car"))
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(to_table(replace(REPORT, streams=streams, sinks=sinks)))
    for shown in (text, console.export_text()):
        assert "Mp4Sink took 3 and missed 117" in shown
        assert "Mp4Sink was given up: out.mp4 could not be written" in shown
        assert "MaskSink" not in shown
        assert "ended before its time: a.mp4 is damaged" in shown
        assert "2 lost: Segment failed (odd)" in shown
    assert text.endswith("labelled frames (over 2 of 3 classes; no pixel of car)")
    assert "1 lost: odd" in to_text(Report("x", 1, 0, 1, 1.0, faults={"odd": 1}))


def test_without_labels_there_is_no_miou() -> None:
    assert "mIoU" not in to_text(Report("x", 1, 1, 0, 1.0))
