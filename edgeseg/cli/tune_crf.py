"""``edgeseg tune-crf``: fit the dense CRF's parameters to a model and note them in its artifact."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgeseg.cli.open_model import FileBackend
from edgeseg.errors import InputError, SinkError

if TYPE_CHECKING:
    from rich.console import RenderableType

    from edgeseg.evaluation.tune_crf import Tuning
    from edgeseg.spec import ModelSpec

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
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads; all cores if left out.")] = None,
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
    from edgeseg.evaluation.tune_crf import tune_crf as tune
    from edgeseg.files.whole import keep_apart
    from edgeseg.runtime.registry import open_backend
    from edgeseg.weights import find

    artifact = find(model)
    write = _writer(artifact, output)
    dataset = Dataset.load(data)
    samples = dataset.split(split).samples()
    keep_apart([output], [dataset.path, *(file for sample in samples for file in (sample.image, sample.label))])
    engine = open_backend(artifact, backend=backend, threads=threads)
    with closing(engine), _Progress(trials) as progress:
        tuning = tune(
            engine,
            dataset,
            split,
            trials=trials,
            seed=seed,
            max_images=max_images,
            threads=threads,
            on_trial=progress.trial,
        )
    console = Console(highlight=False, markup=False, soft_wrap=True)
    console.print(render(tuning))
    if tuning.left_out:
        console.print(f"\nThe mean is {tuning.left_out}.")
    if not tuning.helps:
        console.print(f"\nNo setting beats the network alone: run {model} without --refine crf.")
        if not force:
            console.print("Nothing is written; --force writes the best setting.")
            return
    write(replace(engine.spec, crf=tuning.best.params))
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


def _writer(artifact: Path, output: Path) -> Callable[[ModelSpec], None]:
    """What will write the artifact with another spec; all that could hinder it is told now, before the search."""
    if output.suffix.lower() != artifact.suffix.lower():
        raise InputError(f"{output} does not end in {artifact.suffix}, as {artifact} does", "Correct --output")
    if not output.parent.is_dir():
        raise SinkError(f"there is no folder {output.parent}", "Make it, or correct --output")

    if artifact.suffix.lower() == ".pt":
        from edgeseg.models.checkpoint import load_network, save_network

        return lambda spec: save_network(output, load_network(artifact)[0], spec)

    from edgeseg_export.artifact import rewrite_spec

    return lambda spec: rewrite_spec(artifact, spec, output)


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
        self._bar.stop()

    def trial(self, number: int, miou: float) -> None:
        """Tell one trial's score."""
        self._best = max(self._best, miou)
        self._bar.update(self._task, completed=number, description=f"best mIoU {100 * self._best:.2f} %")
        if not self._console.is_terminal:
            what = "no CRF" if number == 0 else "defaults" if number == 1 else ""
            self._console.print(f"trial {number}/{self._trials}  mIoU {100 * miou:.2f} %  {what}".rstrip())
