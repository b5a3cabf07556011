"""``edgeseg run``: a camera, video, images or the synthetic street become labelled video, masks and a report."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgeseg.cli.open_model import ChosenBackend, Fit, Refinement, TileScale, TrustEngine, note, open_model
from edgeseg.cli.run_outputs import STDOUT, Outputs, read_token
from edgeseg.cli.signals import ended_by_signals, interruptible, leave
from edgeseg.errors import EdgesegError, InputError
from edgeseg.files.whole import cannot_write

if TYPE_CHECKING:
    from edgeseg.spec import ModelSpec
    from edgeseg.video.sources.base import OnLost as OnLostName
    from edgeseg.video.sources.base import Source, StreamInfo
    from edgeseg.video.sources.labels import LabelFolder
    from edgeseg.video.stage import Stage
    from edgeseg.video.telemetry import Report

EXAMPLES = """
edgeseg run --camera 0                                    a window with what the camera sees
edgeseg run street.mp4 --save labelled.mp4                label a video
edgeseg run 'photos/*.jpg' --save-masks masks             an index PNG for each image
edgeseg run street.mp4 --labels street/labels --no-show   compare with ground truth: mIoU
edgeseg run street.mp4 --refine crf --save refined.mp4    edges where the picture has them
edgeseg run 'synthetic:?live=1' --model best.onnx --show  a rendered street, paced like a camera
edgeseg run rtsp://10.0.0.7/main --web 8080               a page with the live stream
edgeseg run --camera 0 --web 0.0.0.0:8080 --web-token-file token   for those who know the token
edgeseg run camera:0 camera:1 --jsonl frames.jsonl        two cameras, a line of JSON per frame
edgeseg run --camera 0 --save clip-%03d.mp4 --segment-secs 60 --segment-keep 120
"""

_OUTPUTS = "Outputs"

_M_ARENA_MAX = -8
_ARENAS = 2


class Masks(str, Enum):
    """How the lines of --jsonl hold masks."""

    none = "none"
    rle = "rle"
    polygons = "polygons"


class OnLost(str, Enum):
    """What happens when a camera is lost."""

    wait = "wait"
    exit = "exit"


class DropPolicy(str, Enum):
    """What happens to frames that come faster than they are processed."""

    latest = "latest"
    none = "none"


def run(
    context: typer.Context,
    source: Annotated[
        list[str] | None,
        typer.Argument(
            help="One or several: a video file, images (files, a folder or a quoted glob), camera:N, "
            "v4l2:///dev/video0, rtsp://..., http://..., csi://0, gst:PIPELINE, - (standard input), or synthetic: "
            "(a rendered street; live=1 paces it like a camera). docs/sources.md has their options."
        ),
    ] = None,
    source_option: Annotated[str | None, typer.Option("--source", metavar="SOURCE", help="The same as SOURCE.")] = None,
    sources: Annotated[
        Path | None, typer.Option(help="A YAML file of several, 'name: SOURCE' a line; one model serves them all.")
    ] = None,
    camera: Annotated[int | None, typer.Option(min=0, help="The camera /dev/videoN.")] = None,
    model: Annotated[
        str | None,
        typer.Option(help="A shipped model's name, or a .onnx, .engine, .pt file; what suits the machine if left out."),
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option(help="Ground truth: a folder of label files, by stem for images, in order of name for a video."),
    ] = None,
    show: Annotated[
        bool | None,
        typer.Option(
            help="Open a window, q or Esc ends; the default on a desktop if nothing is saved.", rich_help_panel=_OUTPUTS
        ),
    ] = None,
    save: Annotated[
        Path | None, typer.Option(help="Save the labelled video as this .mp4.", rich_help_panel=_OUTPUTS)
    ] = None,
    segment_secs: Annotated[
        float | None,
        typer.Option(help="Save files of so many seconds: --save clip-%03d.mp4.", rich_help_panel=_OUTPUTS),
    ] = None,
    segment_keep: Annotated[
        int | None,
        typer.Option(help="Keep the last so many of the files that edgeseg wrote.", rich_help_panel=_OUTPUTS),
    ] = None,
    segment_keep_gb: Annotated[
        float | None, typer.Option(help="Keep no more of them than this takes.", rich_help_panel=_OUTPUTS)
    ] = None,
    save_masks: Annotated[
        Path | None,
        typer.Option(help="Save an index PNG per frame in this folder; 255 is 'no label'.", rich_help_panel=_OUTPUTS),
    ] = None,
    jsonl: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Write a line of JSON per frame into this file; - for stdout.",
            rich_help_panel=_OUTPUTS,
        ),
    ] = None,
    jsonl_masks: Annotated[
        Masks, typer.Option(help="Put the mask of each class into the lines, as in COCO.", rich_help_panel=_OUTPUTS)
    ] = Masks.none,
    web: Annotated[
        str | None,
        typer.Option(metavar="[HOST:]PORT", help="Serve a page with the live stream.", rich_help_panel=_OUTPUTS),
    ] = None,
    web_token: Annotated[
        str | None,
        typer.Option(
            envvar="EDGESEG_WEB_TOKEN",
            help="What viewers must know; needed where other machines can reach the page. Everyone on this machine can "
            "see it in the list of processes: better give it by the variable or a file.",
            rich_help_panel=_OUTPUTS,
        ),
    ] = None,
    web_token_file: Annotated[
        Path | None, typer.Option(help="A file that holds the token as its first line.", rich_help_panel=_OUTPUTS)
    ] = None,
    refine: Refinement = "none",
    fit: Fit = None,
    tile_scale: TileScale = None,
    temporal: Annotated[
        bool | None,
        typer.Option(help="Smooth labels over time, along the motion; the default where every source is live."),
    ] = None,
    opacity: Annotated[float, typer.Option(min=0, max=1, help="Of the class colours over the picture.")] = 0.5,
    backend: ChosenBackend = "auto",
    trust_engine: TrustEngine = False,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads; all cores if left out.")] = None,
    max_frames: Annotated[int | None, typer.Option(min=1, help="Stop after this many frames of each source.")] = None,
    on_lost: Annotated[
        OnLost | None,
        typer.Option(
            help="wait: for a camera that is lost, or not there yet; exit: end. A camera that is lost after it was "
            "there is waited for if this is left out."
        ),
    ] = None,
    drop_policy: Annotated[
        DropPolicy | None,
        typer.Option(
            help="latest: a new frame takes the place of one that waits, as with cameras; "
            "none: every frame is processed, as with files."
        ),
    ] = None,
    max_latency_ms: Annotated[
        float | None, typer.Option(min=0, help="Drop frames that are older than this when their turn comes.")
    ] = None,
    bit_depth: Annotated[
        int | None,
        typer.Option(help="Of images with more than 8 bits: 8, 10, 12, 14 or 16; found in the images if left out."),
    ] = None,
    gst: Annotated[
        bool,
        typer.Option("--gst/--no-gst", help="Whether gst: sources are taken, which may do anything on this machine."),
    ] = True,
) -> None:
    """Label a camera, video or images, and report the latency of every stage.

    Without a source it takes camera 0, or the synthetic street where there is none. Cameras drop frames that come too
    fast, files are processed frame by frame. Ctrl-C closes the outputs properly and prints the report.
    """
    uris = _choose(source, source_option, sources, camera)
    if labels is not None and len(uris) > 1:
        raise InputError("--labels belong to one source", "Run each source with its own")
    _share_arenas()
    token = _token(context, web_token, web_token_file)
    segments = (segment_secs, segment_keep, segment_keep_gb)
    outputs = Outputs(show, save, *segments, save_masks, jsonl, jsonl_masks.value, web, token, opacity)
    inputs = [*_inputs(model, labels), *(file for file in (sources, web_token_file) if file is not None)]
    outputs.check(list(uris), [*inputs, *(file for uri in uris.values() for file in _files_of(uri))])

    from edgeseg.video.pipeline import Pipeline
    from edgeseg.video.progress import ProgressLine
    from edgeseg.video.sources.labels import LabelFolder
    from edgeseg.video.stage import Overlay, Score, Segment, smoother_for

    with (
        interruptible(),
        open_model(model, backend, threads, refine, trust_engine, fit, tile_scale) as segmenter,
        ExitStack() as opened,
    ):
        truth = None if labels is None else LabelFolder.for_model(labels, segmenter.spec)
        streams: list[Source] = []
        for uri in uris.values():
            streams.append(_open(uri, truth, on_lost.value if on_lost else None, gst, bit_depth))
            opened.callback(streams[-1].close)
        infos = [stream.info for stream in streams]
        sinks = outputs.open(dict(zip(uris, infos, strict=True)))
        stages: list[Stage] = [Segment(segmenter, smoother_for(temporal, infos, segmenter.spec))]
        if outputs.wants_pictures(sinks):
            stages.append(Overlay(opacity, threads))
        if truth is not None or any(_is_labelled_for(segmenter.spec, info) for info in infos):
            stages.append(Score(segmenter.spec.num_classes))
        progress = ProgressLine(infos, max_frames)
        opened.callback(progress.close)
        pipeline = Pipeline(
            streams,
            stages,
            sinks,
            names=list(uris) if len(uris) > 1 else None,
            max_frames=max_frames,
            drop_policy=drop_policy.value if drop_policy else None,
            max_latency_ms=max_latency_ms,
            watch=progress,
            tell=progress.tell,
            inputs=inputs,
        )
        try:
            with ended_by_signals(pipeline.stop):
                pipeline.run()
        except EdgesegError as error:
            if pipeline.left_behind:
                progress.close()
                _print(pipeline.report(), stderr=jsonl == STDOUT)
                leave(f"error: {error}", 2)
            raise
        finally:
            progress.close()
            _print(pipeline.report(), stderr=jsonl == STDOUT)


def _share_arenas() -> None:
    """Let threads share their heaps, where the C library is glibc.

    It gives each of the first threads one of its own otherwise, eight for each core, and what is freed in one serves no
    other: frames that pass from thread to thread then hold a seventh more memory, and go on growing for longer.
    """
    with suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").mallopt(_M_ARENA_MAX, _ARENAS)


def _token(context: typer.Context, token: str | None, file: Path | None) -> str | None:
    """The page's token, from wherever it was given."""
    was_typed = getattr(context.get_parameter_source("web_token"), "name", "") == "COMMANDLINE"
    if file is None:
        if was_typed:
            note("everyone on this machine can see --web-token in the list of processes: use --web-token-file")
        return token
    if was_typed:
        raise InputError("--web-token and --web-token-file each give a token", "Leave one out")
    return read_token(file)


def _inputs(model: str | None, labels: Path | None) -> Iterator[Path]:
    """The files that a run reads beside its sources; a model's name stands for the file that ships."""
    from edgeseg import weights

    yield from (shipped.path for shipped in weights.shipped())
    if model is not None:
        path = weights.find(model)
        yield from (path, path.with_name(f"{path.name}.json"), path.with_name(f"{path.name}.data"))
    if labels is not None:
        yield labels
        described = (folder / "dataset.yaml" for folder in labels.absolute().parents)
        yield from (path for path in described if path.is_file())


def _files_of(uri: str | list[Path]) -> list[Path]:
    from edgeseg.video.sinks.outputs import files_of

    return uri if isinstance(uri, list) else files_of(uri)


def _open(
    uri: str | list[Path], truth: LabelFolder | None, on_lost: OnLostName | None, gst: bool, bit_depth: int | None
) -> Source:
    from edgeseg.video.sources.image import ImageSource
    from edgeseg.video.sources.registry import open_source

    if isinstance(uri, list):
        return ImageSource(uri, truth, bit_depth=bit_depth)
    return open_source(uri, labels=truth, on_lost=on_lost, allow_gst=gst, bit_depth=bit_depth)


def _choose(
    source: list[str] | None, source_option: str | None, sources: Path | None, camera: int | None
) -> dict[str, str | list[Path]]:
    """The sources that were named, or the default, by the names of their streams; of image files a list."""
    from edgeseg.video.sources.sources_file import named, read_sources

    given: dict[str, dict[str, str] | None] = {
        "SOURCE": named(source) if source else None,
        "--source": named([source_option]) if source_option is not None else None,
        "--sources": read_sources(sources) if sources is not None else None,
        "--camera": named([f"camera:{camera}"]) if camera is not None else None,
    }
    chosen = {flag: uris for flag, uris in given.items() if uris is not None}
    if len(chosen) > 1:
        raise InputError(f"{' and '.join(chosen)} each name a source", "Give one of them, or several as SOURCE")
    if source and len(source) > 1 and all(map(_is_image, source)):
        return {"images": _in_order(source)}
    if chosen:
        return dict(next(iter(chosen.values())))

    from edgeseg.video.sources.camera import camera_devices

    devices = camera_devices()
    uri = f"camera:{devices[0].removeprefix('/dev/video')}" if devices else "synthetic:"
    note(f"no source given: taking {devices[0] if devices else 'the synthetic street, as there is no camera'}")
    return {uri: uri}


def _is_image(name: str) -> bool:
    from edgeseg.data.image_files import IMAGE_SUFFIXES

    return os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES and os.path.isfile(name)


def _in_order(names: Sequence[str]) -> list[Path]:
    """As given; but where that is the shell's order, as of an unquoted pattern, ``frame_2`` before ``frame_10``."""
    from edgeseg.data.image_files import natural_order

    paths = [Path(name) for name in names]
    is_sorted = list(names) in (sorted(names), sorted(names, key=str.casefold))
    return natural_order(paths) if is_sorted else paths


def _is_labelled_for(spec: ModelSpec, info: StreamInfo) -> bool:
    """Whether the source brings labels of the model's classes."""
    if info.label_names is not None and info.label_names != spec.class_names:
        note(f"no mIoU: the labels of {info.uri} are of other classes than the model's")
    return info.label_names == spec.class_names


def _print(report: Report, stderr: bool) -> None:
    from rich.console import Console

    from edgeseg.video.report import to_table, to_text

    console = Console(stderr=stderr)
    try:
        if console.is_terminal:
            console.print(to_table(report))
        else:
            print(to_text(report), file=sys.stderr if stderr else sys.stdout)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise cannot_write("standard output", error) from None
