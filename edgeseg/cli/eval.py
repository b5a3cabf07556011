"""``edgeseg eval``: the accuracy of a model on a dataset, or of a folder of predictions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgeseg.cli.open_model import (
    ChosenBackend,
    Fit,
    Flip,
    Refinement,
    Scales,
    Threads,
    TileScale,
    TrustEngine,
    factors,
    open_model,
)
from edgeseg.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import RenderableType

    from edgeseg.evaluation.edges import EdgeEvaluation
    from edgeseg.evaluation.evaluate import Evaluation

EXAMPLES = """
edgeseg eval fast_scnn-camvid --data camvid
edgeseg eval best.pt --data my_data/dataset.yaml --split test --json
edgeseg eval tuned.onnx --data my_data --refine crf
edgeseg eval best.pt --data my_data --scales 0.75,1,1.25 --flip
edgeseg eval hed.pt --data edges.yaml --task edges
edgeseg eval --predictions masks --labels my_data/val/labels
edgeseg eval --predictions some --labels my_data/val/labels --partial
"""


def eval(
    model: Annotated[str | None, typer.Argument(help="A shipped model's name, or a .onnx, .engine, .pt file.")] = None,
    data: Annotated[
        Path | None, typer.Option(help="A dataset.yaml, or the folder that holds one: classes, images, labels.")
    ] = None,
    split: Annotated[str, typer.Option(help="The split of --data to measure the model on.")] = "val",
    task: Annotated[
        str, typer.Option(metavar="classes|edges", help="Whether all pixels count, or thin edges with a tolerance.")
    ] = "classes",
    refine: Refinement = "none",
    scales: Scales = "1",
    flip: Flip = False,
    fit: Fit = None,
    tile_scale: TileScale = None,
    predictions: Annotated[
        Path | None, typer.Option(help="Instead of a model: a folder of predicted index images.")
    ] = None,
    labels: Annotated[Path | None, typer.Option(help="The labels for --predictions, paired by file stem.")] = None,
    num_classes: Annotated[
        int | None, typer.Option(min=1, max=255, help="With --predictions: the classes are 0 to N-1.")
    ] = None,
    ignore_index: Annotated[
        int | None, typer.Option(min=0, max=255, help="With --predictions: the value for 'no label', beside 255.")
    ] = None,
    partial: Annotated[
        bool, typer.Option("--partial", help="With --predictions: measure those labels that have a prediction.")
    ] = False,
    backend: ChosenBackend = "auto",
    trust_engine: TrustEngine = False,
    threads: Threads = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON; figures are fractions of 1.")] = False,
) -> None:
    """Measure per-class IoU, mIoU, pixel and class accuracy, and Dice.

    Either a model on a split of a dataset (MODEL and --data), or
    predictions against labels (--predictions and --labels). For the latter
    the classes come from --data; or from --num-classes and --ignore-index;
    or from the dataset.yaml that has --labels as one of its splits; or from
    the highest index found.

    With --task edges of a model of edges: ODS, OIS and average precision,
    as BSDS500 has them.
    """
    if model is not None:
        if predictions or labels or num_classes is not None or ignore_index is not None or partial:
            raise InputError(
                "a model is measured on a dataset; --predictions, --labels, --num-classes, --ignore-index and "
                "--partial are for images predicted elsewhere",
                "Pass MODEL and --data, or --predictions and --labels",
            )
        if data is None:
            raise InputError("there is no data to measure the model on", "Add --data with a dataset.yaml or its folder")
    elif predictions is None or labels is None:
        raise InputError("there is nothing to measure", "Pass MODEL and --data, or --predictions and --labels")
    else:
        given = {"--refine": refine != "none", "--fit": fit is not None, "--tile-scale": tile_scale is not None}
        given |= {"--scales": scales != "1", "--flip": flip, "--task": task != "classes"}
        for flag, is_given in given.items():
            if is_given:
                raise InputError(f"{flag} is for a model, not for images predicted elsewhere", "Leave it out")

    import functools

    from rich.console import Console
    from rich.progress import track

    from edgeseg.data.dataset import Dataset
    from edgeseg.evaluation.evaluate import DoubtfulIndexError, evaluate_predictions

    measure = _measure_of(task)
    notes = Console(stderr=True)
    bar = functools.partial(track, description="measuring", console=notes, transient=True)
    progress = bar if notes.is_terminal else iter
    dataset = Dataset.load(data) if data is not None else None
    if model is not None and dataset is not None:
        dataset.split(split)  # a wrong name is found before an engine is opened, or even built
        with open_model(
            model,
            backend,
            threads,
            refine,
            trust_engine,
            fit=fit,
            tile_scale=tile_scale,
            scales=factors(scales),
            flip=flip,
        ) as segmenter:
            evaluation = measure(segmenter, dataset, split, progress=progress)
    elif predictions is not None and labels is not None:
        try:
            evaluation = evaluate_predictions(
                predictions,
                labels,
                dataset=dataset,
                num_classes=num_classes,
                ignore_index=ignore_index,
                partial=partial,
                progress=progress,
            )
        except DoubtfulIndexError as doubt:
            index = doubt.index
            raise DoubtfulIndexError(index, f"Pass --ignore-index {index} or --num-classes {index + 1}") from None
    if json:
        Console().print_json(data=evaluation.to_dict())
    else:
        Console().print(render(evaluation))


def _measure_of(task: str) -> Callable[..., Any]:
    from edgeseg.evaluation.edges import evaluate_edges
    from edgeseg.evaluation.evaluate import evaluate

    measures: dict[str, Callable[..., Any]] = {"classes": evaluate, "edges": evaluate_edges}
    if task not in measures:
        raise InputError(f"--task is {task!r:.40}", f"Use {' or '.join(measures)}")
    return measures[task]


def render(evaluation: Evaluation | EdgeEvaluation) -> RenderableType:
    """What a measurement found, in per cent."""
    from edgeseg.evaluation.evaluate import Evaluation

    return _render_classes(evaluation) if isinstance(evaluation, Evaluation) else _render_edges(evaluation)


def _render_edges(evaluation: EdgeEvaluation) -> RenderableType:
    from rich.text import Text

    figures = evaluation.to_dict()
    return Text(
        f"ODS {_percent(figures['ods'])} % at the threshold {figures['threshold']:.2f}   "
        f"OIS {_percent(figures['ois'])} %   AP {_percent(figures['ap'])} %\n"
        f"{evaluation.images} images; tolerance {_percent(evaluation.tolerance)} % of the diagonal; "
        f"edges: {evaluation.origin}"
    )


def _render_classes(evaluation: Evaluation) -> RenderableType:
    """A table of the classes with their means below; "-" where a figure is undefined."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    figures = evaluation.to_dict()
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("class", overflow="fold")
    for heading in ("IoU %", "accuracy %", "Dice %", "pixels"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in figures["classes"]:
        cells = (_percent(row["iou"]), _percent(row["accuracy"]), _percent(row["dice"]), f"{row['pixels']:,}")
        table.add_row(Text(row["name"]), *cells)
    table.add_section()
    means = (_percent(figures["miou"]), _percent(figures["class_accuracy"]), _percent(figures["dice"]))
    table.add_row("mean", *means, f"{sum(row['pixels'] for row in figures['classes']):,}", style="bold")
    all_of_them = evaluation.images == evaluation.labels
    measured = f"{evaluation.images} images" if all_of_them else f"{evaluation.images} of {evaluation.labels} labels"
    note = f"   (means {missing})" if (missing := evaluation.left_out()) else ""
    return Group(
        table,
        Text(f"\nmIoU {_percent(figures['miou'])} %   pixel accuracy {_percent(figures['pixel_accuracy'])} %{note}"),
        Text(f"{measured}; classes: {evaluation.origin}"),
    )


def _percent(fraction: float | None) -> str:
    return "-" if fraction is None else f"{fraction * 100:.2f}"
