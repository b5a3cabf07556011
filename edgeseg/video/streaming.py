"""``edgeseg.stream``: the results of a camera, a video or images in a for loop."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

from edgeseg.run_config import DropPolicy, OnLost, RunConfig
from edgeseg.segmenter import Segmenter
from edgeseg.spec.placement import PictureFit
from edgeseg.types import Result
from edgeseg.video.assembly import Assembly
from edgeseg.video.pipeline import Pipeline
from edgeseg.video.queues import BoundedQueue
from edgeseg.video.running import model_of
from edgeseg.video.sources.sources_file import named


def stream(
    source: str | Path | Sequence[str | Path],
    *,
    model: str | Path | Segmenter | None = None,
    backend: str = "auto",
    threads: int | None = None,
    refine: str = "none",
    trust_engine: bool = False,
    temporal: bool | None = None,
    overlay: float | None = None,
    drop_policy: DropPolicy | None = None,
    max_latency_ms: float | None = None,
    on_lost: OnLost | None = None,
    max_frames: int | None = None,
    allow_gst: bool = True,
    bit_depth: int | None = None,
    fit: PictureFit | None = None,
    tile_scale: float | None = None,
) -> Iterator[Result]:
    """Label a source, frame by frame, while the loop works on the result before.

    A live source gives its latest frame whenever the loop asks for one; files give every frame. Leaving the loop ends
    it all, as does the end of the source. A lost camera is waited for, and gives nothing meanwhile.

    Examples:
        >>> for result in edgeseg.stream("rtsp://camera/main", model="street.onnx"):
        ...     print(result.frame.index, result.segmentation.class_areas())

    Args:
        source: a URI or path that ``edgeseg run`` takes, or several, whose results carry ``stream``.
        model: a shipped model's name or a file, None for what suits the machine; or a segmenter, which then decides on
            all of these itself, and stays open.
        backend, threads, refine, trust_engine, fit, tile_scale: see :meth:`edgeseg.segmenter.Segmenter.open`.
        temporal: smooth labels over time, along the motion in the picture; None does so where every source is live.
        overlay: opacity, 0..1, to have ``overlay_rgb_u8`` painted; None for none.
        drop_policy: None for ``latest`` where a source is live and ``none`` where it is not.
        max_latency_ms: frames older than this when their turn comes are dropped.
        on_lost: ``exit`` raises where a live source is lost; ``wait`` waits for it also where it is not there yet;
            None waits too, but not for the first time.
        max_frames: take no more than these from each source.
        allow_gst, bit_depth: see :func:`edgeseg.video.sources.registry.open_source`.

    Yields:
        results with ``frame``, ``segmentation`` and ``latency_ms``.

    Raises:
        EdgesegError: what ``edgeseg run`` would tell, from the first step of the loop on.
    """
    uris = [os.fspath(uri) for uri in ([source] if isinstance(source, str | Path) else source)]
    config = RunConfig(
        sources=named(uris),  # by names: several images are several streams
        model=None if isinstance(model, Segmenter) else model,
        show=False,
        backend=backend,
        threads=threads,
        refine=refine,
        trust_engine=trust_engine,
        fit=fit,
        tile_scale=tile_scale,
        temporal=temporal,
        opacity=RunConfig.opacity if overlay is None else overlay,
        drop_policy=drop_policy,
        max_latency_ms=max_latency_ms,
        on_lost=on_lost,
        max_frames=max_frames,
        gst=allow_gst,
        bit_depth=bit_depth,
    )
    assembly = Assembly(config)
    with model_of(config, model if isinstance(model, Segmenter) else None) as segmenter:
        loop = _Loop(shows_overlay=overlay is not None)
        with assembly.open(segmenter, loop) as run:
            latest = all(info.live for info in run.infos) if drop_policy is None else drop_policy == "latest"
            loop.results = BoundedQueue(1, latest_wins=latest)
            yield from _results(run.pipeline(), loop.results)


class _Loop:
    """The sink whose reader is the for loop."""

    def __init__(self, shows_overlay: bool) -> None:
        self.shows_overlay = shows_overlay
        self.results: BoundedQueue[Result] = BoundedQueue(1)

    def write(self, result: Result) -> None:
        self.results.put(result)

    def close(self) -> None:
        self.results.end()


def _results(pipeline: Pipeline, results: BoundedQueue[Result]) -> Iterator[Result]:
    errors: list[BaseException] = []

    def run() -> None:
        try:
            pipeline.run()
        except BaseException as error:
            errors.append(error)
        finally:
            results.end()

    thread = threading.Thread(target=run, name="edgeseg-stream", daemon=True)
    thread.start()
    try:
        while (result := results.get()) is not None:
            yield result
    finally:
        pipeline.stop()
        results.abandon()
        thread.join()
    if errors:
        raise errors[0]
