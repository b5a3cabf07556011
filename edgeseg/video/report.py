"""The report for people: a table on a terminal, aligned plain text elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgeseg.video.telemetry import Report

if TYPE_CHECKING:
    from rich.console import RenderableType

_PERCENTILES = ("p50 ms", "p95 ms", "p99 ms")


def to_text(report: Report) -> str:
    """Plain text, some ten lines."""
    width = max([len("end to end"), *map(len, report.latency)])
    lines = [report.uri, _counts(report), *_faults(report), *_streams(report), *_sinks(report)]
    if report.latency:
        lines.append(f"{'':{width}}" + "".join(f"{heading:>10}" for heading in _PERCENTILES))
    lines += [
        f"{name:{width}}{hop.p50_ms:10.2f}{hop.p95_ms:10.2f}{hop.p99_ms:10.2f}" for name, hop in report.latency.items()
    ]
    return "\n".join([*lines, *_score(report)])


def to_table(report: Report) -> RenderableType:
    """The same for a terminal, with rich."""
    from rich import box
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, header_style="bold")
    table.add_column("")
    for percentile in _PERCENTILES:
        table.add_column(percentile, justify="right")
    for name, hop in report.latency.items():
        style = "bold" if name == "end to end" else None
        table.add_row(name, f"{hop.p50_ms:.2f}", f"{hop.p95_ms:.2f}", f"{hop.p99_ms:.2f}", style=style)
    heading = Text.assemble((report.uri, "bold"), "\n", _counts(report))
    details = (Text(line) for line in (*_faults(report), *_streams(report), *_sinks(report)))
    return Group(heading, *details, table, *(Text(line, style="bold green") for line in _score(report)))


def _counts(report: Report) -> str:
    account = f"{report.frames_in} frames in = {report.processed} processed + {report.dropped} dropped"
    return f"{account}, {report.fps:.1f} fps"


def _streams(report: Report) -> list[str]:
    lines = []
    for stream in report.streams:
        lines += [f"  {stream.stream}: {_counts(stream)}", *(f"  {line}" for line in _faults(stream))]
        if stream.failed:
            lines.append(f"    ended before its time: {stream.failed}")
    return lines


def _faults(report: Report) -> list[str]:
    """Why frames were lost in the stages."""
    return [f"  {count} lost: {reason}" for reason, count in report.faults.items()]


def _sinks(report: Report) -> list[str]:
    """Those that have missed something: a live run does not wait for a sink, and one that fails gets no more."""
    lines = []
    for sink in report.sinks:
        if sink.dropped:
            timing = f": {sink.write.p50_ms:.1f} ms for each" if sink.write.count else ""
            lines.append(f"  {sink.name} took {sink.written} and missed {sink.dropped}{timing}")
        if sink.failed:
            lines.append(f"  {sink.name} was given up: {sink.failed}")
    return lines


def _score(report: Report) -> list[str]:
    if report.miou is None:
        return []
    note = f" ({report.miou_note})" if report.miou_note else ""
    return [f"mIoU {report.miou * 100:.2f} % over {report.scored} labelled frames{note}"]
