"""RunConfig: every choice of a run in one flat value; flags, YAML keys and attributes share their names."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from edgeseg.errors import InputError
from edgeseg.refine.registry import REFINERS
from edgeseg.runtime.registry import BACKENDS
from edgeseg.settings import SettingError, Settings, setting
from edgeseg.spec.model_spec import MOST_TILE_SCALE
from edgeseg.spec.placement import PictureFit

OnLost = Literal["wait", "exit"]
"""What happens when a live source is lost."""

DropPolicy = Literal["latest", "none"]
"""What happens to frames that come faster than they are processed: the latest wins, or the source waits."""

Masks = Literal["none", "rle", "polygons"]
"""How lines of JSON hold masks."""

_OUTPUTS = "Outputs"


def _uris(value: Any, name: str) -> tuple[str, ...]:
    """One URI or path, or several.

    Raises:
        InputError: neither, or a name that no file can have.
    """
    given = [value] if isinstance(value, str | os.PathLike) else value
    if not isinstance(given, list | tuple) or not all(map(is_uri, given)):
        raise InputError(f"{name} is no source", "Give a SOURCE, or a list of some")
    return tuple(map(uri_of, given))


def _named_uris(value: Any, name: str) -> dict[str, str] | Path:
    """Sources by the names of their streams, or the file that lists them.

    Raises:
        InputError: neither. Which names a stream can have is looked at where the sources are opened.
    """
    if isinstance(value, str | os.PathLike) and "\0" not in str(value):
        return Path(value)
    uris = dict(value) if isinstance(value, Mapping) else {}
    if not uris or not all(map(is_uri, uris.values())):
        raise InputError(f"{name} lists no sources", "Write one 'name: SOURCE' a line, or give the file that does")
    return {key: uri_of(uri) for key, uri in uris.items()}


def is_uri(value: Any) -> bool:
    """Whether what Python or YAML gives is one; YAML takes ``- synthetic:`` for a mapping of synthetic to nothing."""
    return isinstance(value, str | os.PathLike) or (isinstance(value, dict) and [*value.values()] == [None])


def uri_of(value: Any) -> str:
    """The text of what :func:`is_uri` has found to be one."""
    return f"{next(iter(value))}:" if isinstance(value, dict) else os.fspath(value)


def _address(value: Any, name: str) -> str:
    """``[HOST:]PORT``; YAML has a port alone for a number."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise InputError(f"{name} is no address", "Give [HOST:]PORT")
    return str(value)


@dataclass(frozen=True)
class RunConfig(Settings):
    """A run: what ``edgeseg run`` is told by flags or a file, and :func:`edgeseg.run` from Python.

    Attributes:
        source: a URI or path, or several, as :func:`edgeseg.open_source` takes them; kept as a tuple. Several images
            are one stream.
        sources: URIs by the names of their streams, or a YAML file that holds such.
        camera: N, for ``/dev/videoN``. Without any of the three: the first camera, or the synthetic street.
        model, backend, threads, refine, trust_engine, fit, tile_scale: see :meth:`edgeseg.Segmenter.open`.
        labels: ground truth of the one source: a folder of label files.
        show: a window; None where there is a display and nothing is saved.
        save: an .mp4 of the painted frames. Of several streams each has its own, ``out-NAME.mp4``.
        segment_secs, segment_keep, segment_keep_gb: see :class:`edgeseg.video.sinks.segmented.SegmentedMp4Sink`;
            gigabytes are of 10^9 bytes.
        save_masks: a folder for index PNGs.
        jsonl: a file for lines of JSON, ``-`` for standard output.
        jsonl_masks: how the lines hold masks.
        web: ``[HOST:]PORT`` of the page; kept as text.
        web_token, web_token_file: what viewers must know, or the file whose first line that is. A token is neither
            shown nor saved.
        sink: outputs that other packages bring, each as ``NAME:WHAT``.
        temporal: smooth labels over time; None where every source is live.
        opacity: of the class colours over the picture, 0..1.
        max_frames: of each source.
        on_lost: see :func:`edgeseg.open_source`.
        drop_policy: None for ``latest`` where a source is live and ``none`` where it is not.
        max_latency_ms: frames older than this when their turn comes are dropped.
        bit_depth: of images with more than 8 bits; None to find it.
        gst: whether ``gst:`` sources are taken.

    Raises:
        InputError: a value of another kind or out of range, or one that another makes meaningless.
    """

    ALTERNATIVES: ClassVar[Mapping[tuple[str, ...], tuple[str, str]]] = {
        ("source", "sources", "camera"): ("name a source", "Give one of them"),
        ("web_token", "web_token_file"): ("give a token", "Leave one out"),
    }

    source: str | Path | Sequence[str | Path] = setting(
        (),
        "One or several: a video file, images (files, a folder or a quoted glob), camera:N, v4l2:///dev/video0, "
        "rtsp://..., http://..., csi://0, gst:PIPELINE, - (standard input), or synthetic: (a rendered street; live=1 "
        "paces it like a camera). docs/sources.md has their options",
        argument=True,
        flag=list[str],
        parse=_uris,
        secret=True,
    )
    sources: Mapping[str, str | Path] | str | Path | None = setting(
        None,
        "A YAML file of several, 'name: SOURCE' a line; one model serves them all",
        flag=Path,
        parse=_named_uris,
        secret=True,
    )
    camera: int | None = setting(None, "The camera /dev/videoN", metavar="N", least=0)
    model: str | Path | None = setting(
        None, "A shipped model's name or task, or a .onnx, .engine, .pt file; what suits the machine if left out"
    )
    labels: Path | None = setting(
        None, "Ground truth: a folder of label files, by stem for images, in order of name for a video"
    )
    show: bool | None = setting(
        None, "Open a window, q or Esc ends; the default on a desktop if nothing is saved", panel=_OUTPUTS
    )
    save: Path | None = setting(None, "Save the labelled video as this .mp4", panel=_OUTPUTS)
    segment_secs: float | None = setting(None, "Save files of so many seconds: --save clip-%03d.mp4", panel=_OUTPUTS)
    segment_keep: int | None = setting(None, "Keep the last so many of the files that edgeseg wrote", panel=_OUTPUTS)
    segment_keep_gb: float | None = setting(None, "Keep no more of them than this takes", panel=_OUTPUTS)
    save_masks: Path | None = setting(
        None, "Save an index PNG per frame in this folder; 255 is 'no label'", panel=_OUTPUTS
    )
    jsonl: str | Path | None = setting(
        None, "Write a line of JSON per frame into this file; - for stdout", panel=_OUTPUTS, metavar="FILE"
    )
    jsonl_masks: Masks = setting("none", "Put the mask of each class into the lines, as in COCO", panel=_OUTPUTS)
    web: str | int | None = setting(
        None, "Serve a page with the live stream", panel=_OUTPUTS, metavar="[HOST:]PORT", flag=str, parse=_address
    )
    web_token: str | None = setting(
        None,
        "What viewers must know; needed where other machines can reach the page. Everyone on this machine can see it "
        "in the list of processes: better give it by the variable or a file",
        panel=_OUTPUTS,
        envvar="EDGESEG_WEB_TOKEN",
        secret=True,
        saved=False,
    )
    web_token_file: Path | None = setting(None, "A file that holds the token as its first line", panel=_OUTPUTS)
    sink: tuple[str, ...] = setting(
        (),
        "Give results to what another package brings; several by several --sink",
        panel=_OUTPUTS,
        metavar="NAME:WHAT",
    )
    refine: str = setting(
        "none", f"Refine labels along the picture's edges: {', '.join(REFINERS.own_names)} (fast); none"
    )
    fit: PictureFit | None = setting(
        None, "How pictures of another shape come before the model; as in training if left out"
    )
    tile_scale: float | None = setting(
        None, "With tile: pixels that the model sees for one of the picture", above=0, most=MOST_TILE_SCALE
    )
    temporal: bool | None = setting(
        None, "Smooth labels over time, along the motion; the default where every source is live"
    )
    opacity: float = setting(0.5, "Of the class colours over the picture", least=0, most=1)
    backend: str = setting("auto", f"{', '.join(BACKENDS.own_names)}; auto: what suits the file and the machine")
    trust_engine: bool = setting(
        False,
        "Run a TensorRT engine that was not built by you on this machine: it is a program, and may do anything",
    )
    threads: int | None = setting(None, "CPU threads; all cores if left out", least=1)
    max_frames: int | None = setting(None, "Stop after this many frames of each source", least=1)
    on_lost: OnLost | None = setting(
        None,
        "wait: for a camera that is lost, or not there yet; exit: end. A camera that is lost after it was there is "
        "waited for if this is left out",
    )
    drop_policy: DropPolicy | None = setting(
        None,
        "latest: a new frame takes the place of one that waits, as with cameras; none: every frame is processed, as "
        "with files",
    )
    max_latency_ms: float | None = setting(None, "Drop frames that are older than this when their turn comes", least=0)
    bit_depth: int | None = setting(
        None, "Of images with more than 8 bits: 8, 10, 12, 14 or 16; found in the images if left out"
    )
    gst: bool = setting(True, "Whether gst: sources are taken, which may do anything on this machine")

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, value, wanted, there in (
            ("segment_secs", self.segment_secs, "save", self.save),
            ("segment_keep", self.segment_keep, "segment_secs", self.segment_secs),
            ("segment_keep_gb", self.segment_keep_gb, "segment_secs", self.segment_secs),
            ("jsonl_masks", None if self.jsonl_masks == "none" else self.jsonl_masks, "jsonl", self.jsonl),
        ):
            if value is not None and there is None:
                raise SettingError(f"{{{name}}} belongs to {{{wanted}}}", f"Add {{{wanted}}}, or leave {{{name}}} out")
        if self.save is not None and self.segment_secs is None and "%" in self.save.name:
            raise SettingError(f"{self.save.name} has a place for a number", "Add {segment_secs} 60, say")
