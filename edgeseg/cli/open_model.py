"""From what the user said of model and engine to a Segmenter, with a line on what was chosen and why."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from edgeseg.cli.options import words_of
from edgeseg.errors import InputError
from edgeseg.run_config import RunConfig
from edgeseg.runtime.registry import BACKENDS
from edgeseg.spec.placement import PictureFit

if TYPE_CHECKING:
    from edgeseg.segmenter import Segmenter

UNTUNED = "the CRF's parameters are not tuned for this model and may make it worse; run: edgeseg tune-crf"
"""What the verbs with ``--refine`` say of a model that this one has not seen."""

ChosenBackend = Annotated[str, typer.Option("--backend", help=words_of(RunConfig, "backend"))]

Refinement = Annotated[str, typer.Option("--refine", help=words_of(RunConfig, "refine"))]

FileBackend = Annotated[
    str | None, typer.Option(help=f"{', '.join(BACKENDS.own_names)}; the one for the file's suffix if left out.")
]

Fit = Annotated[str | None, typer.Option("--fit", help=words_of(RunConfig, "fit"))]

TileScale = Annotated[float | None, typer.Option("--tile-scale", help=words_of(RunConfig, "tile_scale"))]

Scales = Annotated[
    str, typer.Option(metavar="S,S,...", help="Take the mean over the picture at these sizes; for a .pt alone.")
]
"""As :func:`factors` reads it."""

Flip = Annotated[bool, typer.Option("--flip", help="Take the mean over the picture and its mirror image.")]

Threads = Annotated[int | None, typer.Option(min=1, help=words_of(RunConfig, "threads"))]

TrustEngine = Annotated[bool, typer.Option("--trust-engine", help=words_of(RunConfig, "trust_engine"))]


def open_model(
    model: str | Path | None,
    backend: str,
    threads: int | None,
    refine: str,
    trust_engine: bool = False,
    fit: str | None = None,
    tile_scale: float | None = None,
    scales: Sequence[float] = (1.0,),
    flip: bool = False,
) -> Segmenter:
    """As :meth:`edgeseg.segmenter.Segmenter.open`; says on stderr what ``auto`` has chosen."""
    from edgeseg.runtime.choose import choose
    from edgeseg.segmenter import Segmenter

    choice = choose(model, backend, threads)
    segmenter = Segmenter.open(
        choice,
        threads=threads,
        refine=refine,
        trust_engine=trust_engine,
        fit=cast("PictureFit | None", fit),
        tile_scale=tile_scale,
        scales=scales,
        flip=flip,
    )
    if backend == "auto":
        note(f"model {choice.path.stem}, backend {choice.backend}: {choice.reason}")
    if refine.startswith("crf") and segmenter.spec.crf is None:
        note(UNTUNED)
    return segmenter


def factors(scales: str) -> list[float]:
    """Of ``--scales``.

    Raises:
        InputError: no numbers with commas between them.
    """
    try:
        return [float(scale) for scale in scales.split(",")]
    except ValueError:
        raise InputError(f"--scales is {scales!r}", "Give numbers with commas between them, as 0.75,1,1.25") from None


def note(text: str) -> None:
    """A line for people, on stderr."""
    print(f"edgeseg: {text}", file=sys.stderr)
