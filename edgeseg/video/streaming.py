"""``edgeseg.stream``: the results of a camera, a video or images in a for loop."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

from edgeseg.segmenter import Segmenter
from edgeseg.spec.placement import PictureFit
from edgeseg.types import Result
from edgeseg.video.pipeline import DropPolicy, Pipeline
from edgeseg.video.queues import BoundedQueue
from edgeseg.video.sources.base import OnLost, Source
from edgeseg.video.sources.registry import open_source
from edgeseg.video.stage import Overlay, Segment, Stage, smoother_for


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
    uris = [source] if isinstance(source, str | Path) else list(source)
    with ExitStack() as opened:
        if isinstance(model, Segmenter):
            segmenter = model
        else:
            segmenter = Segmenter.open(
                model,
                backend=backend,
                threads=threads,
                refine=refine,
                trust_engine=trust_engine,
                fit=fit,
                tile_scale=tile_scale,
            )
            opened.callback(segmenter.close)
        sources: list[Source] = []
        for uri in uris:
            sources.append(open_source(uri, on_lost=on_lost, allow_gst=allow_gst, bit_depth=bit_depth))
            opened.callback(sources[-1].close)
        infos = [one.info for one in sources]
        stages: list[Stage] = [Segment(segmenter, smoother_for(temporal, infos, segmenter.spec))]
        if overlay is not None:
            stages.append(Overlay(overlay, threads))
        latest = all(info.live for info in infos) if drop_policy is None else drop_policy == "latest"
        results: BoundedQueue[Result] = BoundedQueue(1, latest_wins=latest)
        pipeline = Pipeline(
            sources,
            stages,
            [_Loop(results)],
            max_frames=max_frames,
            drop_policy=drop_policy,
            max_latency_ms=max_latency_ms,
        )
        yield from _results(pipeline, results)


class _Loop:
    """The sink whose reader is the for loop."""

    def __init__(self, results: BoundedQueue[Result]) -> None:
        self._results = results

    def write(self, result: Result) -> None:
        self._results.put(result)

    def close(self) -> None:
        self._results.end()


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
