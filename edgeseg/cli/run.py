"""``edgeseg run``: a camera, video, images or the synthetic street become labelled video, masks and a report."""

from __future__ import annotations

import ctypes
import sys
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgeseg.cli import standard_streams
from edgeseg.cli.open_model import note, open_model
from edgeseg.cli.options import ConfigFile, completed, is_around, told_as_flags, with_settings
from edgeseg.cli.signals import ended_by_signals, interruptible, leave
from edgeseg.errors import EdgesegError, InputError
from edgeseg.files.whole import cannot_write
from edgeseg.run_config import RunConfig

if TYPE_CHECKING:
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

_M_ARENA_MAX = -8
_ARENAS = 2

_STDOUT = "-"


@with_settings(RunConfig)
def run(
    *,
    context: typer.Context,
    source_option: Annotated[str | None, typer.Option("--source", metavar="SOURCE", help="The same as SOURCE.")] = None,
    config: ConfigFile = None,
    **flags: Any,
) -> None:
    """Label a camera, video or images, and report the latency of every stage.

    Without a source it takes camera 0, or the synthetic street where there is none. Cameras drop frames that come too
    fast, files are processed frame by frame. Ctrl-C closes the outputs properly and prints the report.
    """
    if source_option is not None and "source" in flags:
        raise InputError("SOURCE and --source each name a source", "Give one of them, or several as SOURCE")
    names = {"source": "SOURCE" if source_option is None else "--source"}
    if source_option is not None:
        flags["source"] = [source_option]
    _share_arenas()
    if "web_token" in flags and not is_around(context, "web_token"):
        note("everyone on this machine can see --web-token in the list of processes: use --web-token-file")
    with told_as_flags(names):
        _run(RunConfig(**completed(RunConfig, config, flags, context)), [config] if config is not None else [])


def _run(config: RunConfig, reads: list[Path]) -> None:
    to_stdout = config.jsonl == _STDOUT
    if to_stdout and not standard_streams.was_open(1):
        raise InputError("--jsonl - writes to standard output, which is closed", "Name a file")

    from edgeseg.video.assembly import Assembly
    from edgeseg.video.progress import ProgressLine

    assembly = Assembly(config, note=note, reads=reads)
    with (
        interruptible(),
        open_model(
            config.model,
            config.backend,
            config.threads,
            config.refine,
            config.trust_engine,
            config.fit,
            config.tile_scale,
        ) as segmenter,
        assembly.open(segmenter) as opened,
        closing(ProgressLine(opened.infos, config.max_frames)) as progress,
    ):
        pipeline = opened.pipeline(watch=progress, tell=progress.tell)
        try:
            with ended_by_signals(pipeline.stop):
                pipeline.run()
        except EdgesegError as error:
            if pipeline.left_behind:
                progress.close()
                _print(pipeline.report(), stderr=to_stdout)
                leave(f"error: {error}", 2)
            raise
        finally:
            progress.close()
            _print(pipeline.report(), stderr=to_stdout)


def _share_arenas() -> None:
    """Let threads share their heaps, where the C library is glibc.

    It gives each of the first threads one of its own otherwise, eight for each core, and what is freed in one serves no
    other: frames that pass from thread to thread then hold a seventh more memory, and go on growing for longer.
    """
    with suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").mallopt(_M_ARENA_MAX, _ARENAS)


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
