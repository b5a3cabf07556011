"""From what the user said of model and engine to a Segmenter, with a line on what was chosen and why."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, cast, get_args

import typer

from edgeseg.refine.registry import REFINERS
from edgeseg.runtime.registry import BACKENDS
from edgeseg.spec.placement import PictureFit

if TYPE_CHECKING:
    from edgeseg.segmenter import Segmenter

UNTUNED = "the CRF's parameters are not tuned for this model and may make it worse; run: edgeseg tune-crf"
"""What the verbs with ``--refine`` say of a model that this one has not seen."""

ChosenBackend = Annotated[
    str,
    typer.Option("--backend", help=f"{', '.join(BACKENDS.own_names)}; auto: what suits the file and the machine."),
]

Refinement = Annotated[
    str,
    typer.Option(
        "--refine",
        help=f"Refine labels along the picture's edges: {', '.join(REFINERS.own_names)} (fast); none.",
    ),
]

FileBackend = Annotated[str, typer.Option(help=f"{', '.join(BACKENDS.own_names)}; auto goes by the file's suffix.")]

Fit = Annotated[
    str | None,
    typer.Option(
        "--fit",
        help=f"How pictures of another shape come before the model: {', '.join(get_args(PictureFit))}; "
        "as in training if left out.",
    ),
]

TileScale = Annotated[
    float | None,
    typer.Option("--tile-scale", help="With tile: pixels that the model sees for one of the picture, up to 4."),
]

TrustEngine = Annotated[
    bool,
    typer.Option(
        "--trust-engine",
        help="Run a TensorRT engine that was not built by you on this machine: it is a program, and may do anything.",
    ),
]


def open_model(
    model: str | None,
    backend: str,
    threads: int | None,
    refine: str,
    trust_engine: bool = False,
    fit: str | None = None,
    tile_scale: float | None = None,
) -> Segmenter:
    """As :meth:`edgeseg.segmenter.Segmenter.open`; says on stderr what ``auto`` has chosen."""
    from edgeseg.runtime.choose import choose
    from edgeseg.segmenter import Segmenter

    choice = choose(model, backend)
    segmenter = Segmenter.open(
        choice.path,
        backend=choice.backend,
        threads=threads,
        refine=refine,
        trust_engine=trust_engine,
        fit=cast("PictureFit | None", fit),
        tile_scale=tile_scale,
    )
    if backend == "auto":
        note(f"model {choice.path.stem}, backend {choice.backend}: {choice.reason}")
    if refine.startswith("crf") and segmenter.spec.crf is None:
        note(UNTUNED)
    return segmenter


def note(text: str) -> None:
    """A line for people, on stderr."""
    print(f"edgeseg: {text}", file=sys.stderr)
