"""``edgeseg data check``: what is wrong with a data set, before an hour of training is lost."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgeseg.train.config import TrainConfig

if TYPE_CHECKING:
    from rich.console import RenderableType

    from edgeseg.data.check.headers import Size
    from edgeseg.data.check.report import CheckReport

EXAMPLES = """
edgeseg data check my_data
edgeseg data check my_data --sheet sheet.png
edgeseg data check export --format coco --json
"""

_SIZES = 3
"""So many sizes of pictures are listed."""


def check(
    data: Annotated[Path, typer.Argument(help="A dataset.yaml, or the folder of a data set.")],
    format: Annotated[
        str | None,
        typer.Option("--format", help="How it lies: voc, coco, yolo, … if its dataset.yaml does not say so."),
    ] = None,
    train_split: Annotated[str, typer.Option(help="The split that must show every class.")] = TrainConfig.train_split,
    height: Annotated[int, typer.Option(min=1, help="Pixels that training will resize to.")] = TrainConfig.height,
    width: Annotated[int, typer.Option(min=1, help="Pixels that training will resize to.")] = TrainConfig.width,
    sheet: Annotated[
        Path | None, typer.Option(help="A PNG to be written: pictures with their classes over them, and the legend.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON, which lists every file.")] = False,
) -> None:
    """Look through a data set: files, labels, classes, splits.

    Prints what each split holds, and what is wrong with it, with the remedy.
    Errors harm training, or make its figures false; warnings may be meant.
    Exits with 1 if there is an error.
    """
    from rich.console import Console
    from rich.text import Text

    from edgeseg.cli.progress import show_progress
    from edgeseg.data.check import run
    from edgeseg.data.check.sheet import check_place, write_sheet
    from edgeseg.data.dataset import Dataset
    from edgeseg.errors import counted, printable

    dataset = Dataset.load(data, format)
    if sheet is not None:
        check_place(sheet, dataset)
    report = run.check(
        dataset,
        train_split=train_split,
        input_size=(height, width),
        progress=lambda samples: show_progress(samples, "check"),
    )
    console = Console(highlight=False, markup=False, soft_wrap=True)
    if json:
        console.print_json(data=report.to_dict())
    else:
        console.print(render(report))
        for split, own in report.splits.items():
            console.print(Text(printable(f"{split}: {sizes_in_words(own.sizes)}")))
        for finding in report.findings:
            color = "red" if finding.severity == "error" else "yellow"
            console.print(Text.assemble((finding.severity, color), f" {finding.kind}: ", printable(str(finding))))
        errors = sum(finding.severity == "error" for finding in report.findings)
        console.print(
            f"{dataset.path}: {counted(errors, 'error')}, {counted(len(report.findings) - errors, 'warning')}"
        )
    if sheet is not None:
        write_sheet(sheet, dataset, report.samples)
    if report.harmful:
        raise typer.Exit(1)


def render(report: CheckReport) -> RenderableType:
    """A table of the classes: how much of the labelled pixels of each split they have, in per cent."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("class", overflow="fold")
    for split in report.splits:
        table.add_column(Text(f"{split} %"), justify="right", no_wrap=True)
    shares = [own.shares for own in report.splits.values()]
    for index, name in enumerate(report.dataset.names):
        table.add_row(Text(name), *(f"{100 * share[index]:.3f}" if share[index] else "-" for share in shares))
    table.add_section()
    table.add_row("pictures", *(f"{own.pictures:,}" for own in report.splits.values()), style="bold")
    without = (100 * own.unlabelled_pixels / max(1, own.all_pixels) for own in report.splits.values())
    table.add_row("no label %", *(f"{share:.3f}" for share in without))
    return table


def sizes_in_words(sizes: Mapping[Size, int]) -> str:
    """The most frequent sizes and how many pictures have them."""
    from edgeseg.data.check.headers import in_words

    if not sizes:
        return "no picture that can be read"
    listed = ", ".join(f"{in_words(size)} ({count})" for size, count in list(sizes.items())[:_SIZES])
    return listed if len(sizes) <= _SIZES else f"{listed} and {len(sizes) - _SIZES} other sizes"
