"""``edgeseg run``: a camera, video, images or the synthetic street become labelled video, masks and a report."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgeseg.cli.tune_crf import UNTUNED
from edgeseg.errors import InputError, SinkError

if TYPE_CHECKING:
    from edgeseg.spec import ModelSpec
    from edgeseg.video.sink import Sink
    from edgeseg.video.source import StreamInfo
    from edgeseg.video.stage import Stage
    from edgeseg.video.telemetry import Report

_STILLS_FPS = 10.0
"""The rate of a video made of still images."""

EXAMPLES = """
edgeseg run --camera 0                                    a window with what the camera sees
edgeseg run street.mp4 --save labelled.mp4                label a video
edgeseg run 'photos/*.jpg' --save-masks masks             an index PNG for each image
edgeseg run street.mp4 --labels street/labels --no-show   compare with ground truth: mIoU
edgeseg run street.mp4 --refine crf --save refined.mp4    edges where the picture has them
edgeseg run 'synthetic:?live=1' --model best.onnx --show  a rendered street, paced like a camera
"""


def run(
    source: Annotated[
        str | None,
        typer.Argument(
            help="A video file, an image, a folder or a quoted glob of images, camera:N, or synthetic: (a rendered "
            "street; synthetic:?size=480x360&fps=30&seed=0&frames=300, live=1 paces it like a camera)."
        ),
    ] = None,
    source_option: Annotated[str | None, typer.Option("--source", metavar="SOURCE", help="The same as SOURCE.")] = None,
    camera: Annotated[int | None, typer.Option(min=0, help="The camera /dev/videoN.")] = None,
    model: Annotated[
        str | None, typer.Option(help="A shipped model's name, or a .onnx or .pt file; the default one if left out.")
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option(help="Ground truth: a folder of label files, by stem for images, in order of name for a video."),
    ] = None,
    save: Annotated[Path | None, typer.Option(help="Save the labelled video as this .mp4.")] = None,
    save_masks: Annotated[
        Path | None, typer.Option(help="Save an index PNG per frame in this folder; 255 is 'no label'.")
    ] = None,
    show: Annotated[
        bool | None, typer.Option(help="Open a window, q or Esc ends; the default on a desktop if nothing is saved.")
    ] = None,
    refine: Annotated[
        str, typer.Option(help="Refine the labels along the picture's edges: none, crf or guided (a faster filter).")
    ] = "none",
    opacity: Annotated[float, typer.Option(min=0, max=1, help="Of the class colours over the picture.")] = 0.5,
    backend: Annotated[
        str, typer.Option(help="ort, ort-cuda, ort-tensorrt or pytorch; auto goes by the file's suffix.")
    ] = "auto",
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads; all cores if left out.")] = None,
    max_frames: Annotated[int | None, typer.Option(min=1, help="Stop after this many frames of the source.")] = None,
) -> None:
    """Label a camera, video or images, and report the latency of every stage.

    Without a source it takes camera 0, or the synthetic street where there is none. Cameras drop frames that come too
    fast, files are processed frame by frame. Ctrl-C closes the outputs properly and prints the report.
    """
    uri = _choose(source, source_option, camera)
    if save is not None and os.path.exists(uri) and save.exists() and save.samefile(uri):
        raise SinkError(f"{save} is the source itself", "Save under another name")

    from edgeseg.segmenter import Segmenter
    from edgeseg.video.labels import LabelFolder
    from edgeseg.video.pipeline import Pipeline
    from edgeseg.video.progress_sink import ProgressSink
    from edgeseg.video.sink import NullSink
    from edgeseg.video.source import open_source
    from edgeseg.video.stage import Overlay, Score, Segment

    with Segmenter.open(model, backend=backend, threads=threads, refine=refine) as segmenter:
        if refine == "crf" and segmenter.spec.crf is None:
            _note(UNTUNED)
        truth = None if labels is None else LabelFolder.for_model(labels, segmenter.spec)
        frames = open_source(uri, labels=truth)
        try:
            window = _open_window(frames.info, show, saves=save is not None or save_masks is not None)
            files = _open_files(frames.info, save, save_masks)
        except BaseException:
            frames.close()
            raise
        stages: list[Stage] = [Segment(segmenter)]
        if save is not None or window:
            stages.append(Overlay(opacity, threads))
        if truth is not None or _is_labelled_for(segmenter.spec, frames.info):
            stages.append(Score(segmenter.spec.num_classes))
        outputs = window + files or [NullSink()]
        pipeline = Pipeline(frames, stages, [*outputs, ProgressSink(frames.info, max_frames)], max_frames=max_frames)
        try:
            with _ended_by_signals(pipeline.stop):
                pipeline.run()
        finally:
            _print(pipeline.report())


def _choose(source: str | None, source_option: str | None, camera: int | None) -> str:
    """The one source that was named, or the default."""
    given = {
        "SOURCE": source,
        "--source": source_option,
        "--camera": None if camera is None else f"camera:{camera}",
    }
    named = {flag: uri for flag, uri in given.items() if uri is not None}
    if len(named) > 1:
        raise InputError(f"{' and '.join(named)} each name a source ({', '.join(named.values())})", "Give one of them")
    if named:
        return next(iter(named.values()))

    from edgeseg.video.camera_source import camera_devices

    devices = camera_devices()
    uri = f"camera:{devices[0].removeprefix('/dev/video')}" if devices else "synthetic:"
    _note(f"no source given: taking {devices[0] if devices else 'the synthetic street, as there is no camera'}")
    return uri


def _open_window(info: StreamInfo, show: bool | None, saves: bool) -> list[Sink]:
    from edgeseg.video.window_sink import WindowSink, display_works

    if show or (show is None and not saves and display_works()):
        return [WindowSink(paced=not info.live)]
    return []


def _open_files(info: StreamInfo, save: Path | None, save_masks: Path | None) -> list[Sink]:
    from edgeseg.video.mask_sink import MaskSink
    from edgeseg.video.mp4_sink import Mp4Sink

    sinks: list[Sink] = []
    if save is not None:
        sinks.append(Mp4Sink(save, fps=info.fps or _STILLS_FPS))
    if save_masks is not None:
        sinks.append(MaskSink(save_masks))
    return sinks


def _is_labelled_for(spec: ModelSpec, info: StreamInfo) -> bool:
    """Whether the source brings labels of the model's classes."""
    if info.label_names is not None and info.label_names != spec.class_names:
        _note(f"no mIoU: the labels of {info.uri} are of other classes than the model's")
    return info.label_names == spec.class_names


@contextmanager
def _ended_by_signals(stop: Callable[[], None]) -> Iterator[None]:
    """Ctrl-C or SIGTERM ends the run in good order; a second one ends it at once."""
    previous: dict[signal.Signals, Any] = {}

    def restore() -> None:
        for number, handler in previous.items():
            signal.signal(number, handler)

    def handle(_number: int, _frame: FrameType | None) -> None:
        restore()
        stop()

    for number in (signal.SIGINT, signal.SIGTERM):
        previous[number] = signal.signal(number, handle)
    try:
        yield
    finally:
        restore()


def _print(report: Report) -> None:
    from rich.console import Console

    from edgeseg.video.report import to_table, to_text

    console = Console()
    if console.is_terminal:
        console.print(to_table(report))
    else:
        print(to_text(report))


def _note(text: str) -> None:
    print(f"edgeseg: {text}", file=sys.stderr)
