"""The Stage protocol and the stages a frame passes between source and sinks."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np

from edgeseg import _native
from edgeseg.errors import InputError
from edgeseg.evaluation.metrics import ConfusionMatrix, left_out
from edgeseg.refine.base import check_refinable
from edgeseg.refine.temporal import TemporalSmoother
from edgeseg.segmenter import Segmenter
from edgeseg.spec import ModelSpec
from edgeseg.spec.palette import lookup_table, painted
from edgeseg.types import Frame, Inference, Result, Segmentation
from edgeseg.video.draw.legend import draw_classes, draw_status
from edgeseg.video.sources.base import StreamInfo

_STILLS_HZ = 15.0
"""At which the images of a folder are taken to follow each other, where they are smoothed over time."""

_SMOOTHING = 0.9  # of the figures on the picture, which could not be read if they changed fully with each frame


class Stage(Protocol):
    """One step of a frame's journey; runs on the processing thread, in order."""

    def __call__(self, result: Result) -> Result:
        """Fill in this stage's part of the result, its milliseconds in ``latency_ms`` included."""
        ...


class Segment:
    """Labels each frame: fills in ``segmentation`` and the milliseconds of the segmenter's steps.

    The network is run in :meth:`begin`, for which the pipeline has a thread of its own, ahead of the stages; the rest
    is done as a stage. Frames that did not begin are run through the network here.

    Args:
        segmenter: the model.
        smoother: works on the logits of successive frames before labels are made of them; None for none.

    Raises:
        ModelError: there is a smoother, and the model returns labels.
    """

    def __init__(self, segmenter: Segmenter, smoother: TemporalSmoother | None = None) -> None:
        if smoother is not None:
            check_refinable(segmenter.spec)
        self._segmenter = segmenter
        self._smoother = smoother

    def begin(self, results: Sequence[Result]) -> None:
        """Run the network over the frames, together."""
        inferences = self._segmenter.infer([result.frame.rgb_u8 for result in results])
        for result, inference in zip(results, inferences, strict=True):
            result.inference = inference

    def __call__(self, result: Result) -> Result:
        """Make labels of what the network said."""
        if result.inference is None:
            self.begin([result])
        assert result.inference is not None
        inference = result.inference if self._smoother is None else self._smooth(result, result.inference)
        result.segmentation = self._segmenter.finish(inference)
        result.inference = None
        result.latency_ms.update(result.segmentation.latency_ms)
        return result

    def _smooth(self, result: Result, inference: Inference) -> Inference:
        assert self._smoother is not None
        start_s = time.perf_counter()
        frame = result.frame
        output = self._smoother(
            np.asarray(inference.output, np.float32),
            inference.input_u8,
            _time_s(frame),
            result.stream,
        )
        latency_ms = {**inference.latency_ms, "temporal": (time.perf_counter() - start_s) * 1000}
        return replace(inference, output=output, latency_ms=latency_ms)


def _time_s(frame: Frame) -> float:
    """When a frame was taken, on its stream's clock; stills, which do not tell, are taken to follow at a usual pace."""
    if frame.pts_s is not None:
        return frame.pts_s
    return frame.index / _STILLS_HZ if frame.name else frame.captured_s


def smoother_for(temporal: bool | None, infos: Sequence[StreamInfo], spec: ModelSpec) -> TemporalSmoother | None:
    """The smoother that a run wants: None leaves it to the sources, and is on where all are live and it can be."""
    wanted = all(info.live for info in infos) and spec.output == "logits" if temporal is None else temporal
    return TemporalSmoother() if wanted else None


class Overlay:
    """Paints the labels over the frame, with the classes in sight and the latency: fills in ``overlay_rgb_u8``.

    Args:
        opacity: of the class colours, 0..1.
        threads: CPU threads; None means all cores.
    """

    def __init__(self, opacity: float = 0.5, threads: int | None = None) -> None:
        if not 0 <= opacity <= 1:
            raise InputError(f"opacity is {opacity}", "Use 0 (frame alone) to 1 (colours alone)")
        self._opacity = opacity
        self._threads = threads or 0
        self._figures: dict[str, _Figures] = {}

    def __call__(self, result: Result) -> Result:
        """Paint."""
        start_s = time.perf_counter()
        segmentation = _segmentation_of(result)
        colors = segmentation.spec.colors
        labels = painted(segmentation.labels, colors)
        picture = _native.overlay(
            result.frame.rgb_u8, labels, lookup_table(colors), self._opacity, threads=self._threads
        )
        draw_classes(picture, segmentation)
        figures = self._figures.setdefault(result.stream, _Figures())
        draw_status(picture, figures.update(segmentation.latency_ms, start_s))
        result.overlay_rgb_u8 = picture
        result.latency_ms["overlay"] = (time.perf_counter() - start_s) * 1000
        return result


class _Figures:
    """Milliseconds and rate of one stream, as they are written on its pictures."""

    def __init__(self) -> None:
        self._latency_ms: dict[str, float] = {}
        self._period_s: float | None = None
        self._last_s: float | None = None

    def update(self, latency_ms: Mapping[str, float], now_s: float) -> str:
        """The line after one more frame."""
        now_ms = {"all": sum(latency_ms.values()), **latency_ms}
        self._latency_ms = {step: _smooth(self._latency_ms.get(step), ms) for step, ms in now_ms.items()}
        refine = f" (refine {self._latency_ms['refine']:.1f})" if "refine" in self._latency_ms else ""
        if self._last_s is not None:
            self._period_s = _smooth(self._period_s, now_s - self._last_s)
        self._last_s = now_s
        rate = f"   {1 / self._period_s:.1f} fps" if self._period_s else ""
        return f"{self._latency_ms['all']:.1f} ms{refine}{rate}"


class Score:
    """Compares the labels with the ground truth of the frames that have one; time in ``score``.

    Attributes:
        confusion: the counts so far.
        frames: how many frames had ground truth.
    """

    def __init__(self, num_classes: int) -> None:
        self.confusion = ConfusionMatrix(num_classes)
        self.frames = 0
        self._class_names: tuple[str, ...] = ()

    def left_out(self) -> str:
        """What the mean over the classes leaves out, in words; empty where nothing is."""
        return left_out(self.confusion.iou(), self._class_names) if self._class_names else ""

    def __call__(self, result: Result) -> Result:
        """Count the pixels of the frame."""
        labels_u8 = result.frame.labels_u8
        if labels_u8 is not None:
            start_s = time.perf_counter()
            segmentation = _segmentation_of(result)
            self.confusion.update(labels_u8, segmentation.labels)
            self.frames += 1
            self._class_names = segmentation.spec.class_names
            result.latency_ms["score"] = (time.perf_counter() - start_s) * 1000
        return result


def _segmentation_of(result: Result) -> Segmentation:
    if result.segmentation is None:
        raise InputError("the result has no segmentation yet", "Put Segment before this stage")
    return result.segmentation


def _smooth(mean: float | None, value: float) -> float:
    return value if mean is None else _SMOOTHING * mean + (1 - _SMOOTHING) * value
