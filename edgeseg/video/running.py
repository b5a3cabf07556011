"""``edgeseg.run``: what ``edgeseg run`` does, from Python."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from edgeseg.run_config import RunConfig
from edgeseg.segmenter import Segmenter
from edgeseg.video.assembly import Assembly
from edgeseg.video.telemetry import Report


def run(config: RunConfig, *, segmenter: Segmenter | None = None) -> Report:
    """Run what a configuration says, until its sources end; what is lost meanwhile goes to the log ``edgeseg``.

    >>> report = edgeseg.run(edgeseg.RunConfig(source="street.mp4", save="labelled.mp4"))
    >>> report.processed, report.latency["end to end"].p95_ms

    Args:
        config: sources, model and outputs, as the flags of ``edgeseg run``.
        segmenter: a model that is open already, and stays so; it decides on refinement and engine itself.

    Returns:
        the report that ``edgeseg run`` prints.

    Raises:
        EdgesegError: what ``edgeseg run`` would tell.
    """
    assembly = Assembly(config)
    with model_of(config, segmenter) as model, assembly.open(model) as opened:
        return opened.pipeline().run()


@contextmanager
def model_of(config: RunConfig, segmenter: Segmenter | None = None) -> Iterator[Segmenter]:
    """The model of a configuration, open within the block; one that is open already stays so."""
    if segmenter is not None:
        yield segmenter
        return
    with Segmenter.open(
        config.model,
        backend=config.backend,
        threads=config.threads,
        refine=config.refine,
        trust_engine=config.trust_engine,
        fit=config.fit,
        tile_scale=config.tile_scale,
    ) as opened:
        yield opened
