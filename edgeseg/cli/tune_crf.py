"""``edgeseg tune-crf``: fit the dense CRF's parameters to a model and note them in its artifact."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgeseg.cli.open_model import FileBackend, Threads

if TYPE_CHECKING:
    from rich.console import RenderableType

    from edgeseg.evaluation.tune_crf import Tuning

EXAMPLES = """
edgeseg tune-crf model.onnx --data my_data --output tuned.onnx
edgeseg eval tuned.onnx --data my_data --split val --refine crf
edgeseg run street.mp4 --model tuned.onnx --refine crf
"""


def tune_crf(
    model: Annotated[str, typer.Argument(help="A shipped model's name, or a .onnx or .pt file.")],
    data: Annotated[Path, typer.Option(help="A dataset.yaml, or the folder that holds one: classes, images, labels.")],
    output: Annotated[
        Path, typer.Option(help="File to write: the model with the parameters in it. It may be MODEL itself.")
    ],
    split: Annotated[str, typer.Option(help="The split of --data to fit to.")] = "train",
    trials: Annotated[int, typer.Option(min=1, help="Settings of the CRF to try, the defaults among them.")] = 40,
    seed: Annotated[int, typer.Option(min=0, help="Of the choice of images and of the search.")] = 0,
    max_images: Annotated[int, typer.Option(min=1, help="The most to use, spread evenly over the split.")] = 60,
    backend: FileBackend = None,
    threads: Threads = None,
    force: Annotated[bool, typer.Option("--force", help="Write the best setting even if it does not help.")] = False,
) -> None:
    """Fit the dense CRF to a model: the sigmas, weights and iterations of the best mIoU.

    The result is a copy of the model that --refine crf then uses with these
    parameters. Figures on the images it was fitted to flatter: measure it on
    another split, with edgeseg eval --refine crf. Nothing is written if the
    network alone is better.
    """
    from rich.console import Console

    from edgeseg.data.dataset import Dataset
    from edgeseg.evaluation.tune_crf import tune_model

    console = Console(highlight=False, markup=False, soft_wrap=True)

    dataset = Dataset.load(data)
    with _Progress(trials) as progress:

        def show(tuning: Tuning) -> None:
            progress.stop()
            console.print(render(tuning))
            if tuning.left_out:
                console.print(f"\nThe mean is {tuning.left_out}.")
            if not tuning.helps:
                console.print(f"\nNo setting beats the network alone: run {model} without --refine crf.")

        tuning = tune_model(
            model,
            dataset,
            output,
            split,
            trials=trials,
            seed=seed,
            max_images=max_images,
            backend=backend,
            threads=threads,
            force=force,
            on_trial=progress.trial,
            on_tuned=show,
        )
    if not (tuning.helps or force):
        console.print("Nothing is written; --force writes the best setting.")
        return
    other = next((name for name in dataset.splits if name != split), "OTHER")
    console.print(
        f"\n{output}\n"
        f"These figures flatter: they are of the {tuning.images} images it was fitted to. Measure on another split.\n"
        f"next: edgeseg eval {output} --data {data} --split {other} --refine crf"
    )


def render(tuning: Tuning) -> RenderableType:
    """The mIoU without, with the defaults and with the best parameters, and both sets of parameters."""
    from rich.table import Table

    from edgeseg.evaluation.tune_crf import RANGES

    default, best = tuning.trials[0], tuning.best
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("")
    for heading in ("no CRF", "default", "tuned"):
        table.add_column(heading, justify="right", no_wrap=True)
    mious = (tuning.alone_miou, default.miou, best.miou)
    table.add_row("mIoU %", *(f"{100 * miou:.2f}" for miou in mious), style="bold")
    for name in RANGES:
        table.add_row(name, "", *(f"{getattr(trial.params, name):g}" for trial in (default, best)))
    return table


class _Progress:
    """A bar on a terminal, lines elsewhere; both on stderr."""

    def __init__(self, trials: int) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn

        from edgeseg.cli.progress import Bar

        self._trials = trials
        self._best = float("-inf")
        self._console = Console(stderr=True, highlight=False)
        self._bar = Bar(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
        )
        self._task = self._bar.add_task("running the network", total=trials)

    def __enter__(self) -> _Progress:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Take the bar away; twice is harmless."""
        self._bar.stop()

    def trial(self, number: int, miou: float) -> None:
        """Tell one trial's score."""
        self._best = max(self._best, miou)
        self._bar.update(self._task, completed=number, description=f"best mIoU {100 * self._best:.2f} %")
        if not self._console.is_terminal:
            what = "no CRF" if number == 0 else "defaults" if number == 1 else ""
            self._console.print(f"trial {number}/{self._trials}  mIoU {100 * miou:.2f} %  {what}".rstrip())
