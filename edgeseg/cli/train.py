"""``edgeseg train``: a network from a dataset folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgeseg.errors import InputError

if TYPE_CHECKING:
    from rich.console import Console

EXAMPLES = """
edgeseg train --data my_data --output runs/my_data
edgeseg train --data my_data --output runs/my_data --resume
edgeseg train --config runs/my_data/config.yaml --output runs/again --seed 1
edgeseg train --qat runs/my_data/model.pt --data my_data --output runs/my_data-int8
"""

# Defaults that are words have their bracket escaped in the help: rich would take them for markup and drop them.
_RECIPE = "Recipe"
_RUN = "Run"
_QAT = "Quantization-aware training"


def train(
    data: Annotated[Path | None, typer.Option(help="A dataset.yaml, or the folder that holds one.")] = None,
    config: Annotated[
        Path | None, typer.Option(help="A YAML file with any of these settings; flags win over it.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="Folder for checkpoints, metrics and curves \\[default: runs/train].")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue the run in --output after a kill.")] = False,
    network: Annotated[str | None, typer.Option(help="fast_scnn or enet \\[fast_scnn].")] = None,
    weights: Annotated[str | None, typer.Option(help="A checkpoint to start from, of any classes.")] = None,
    qat: Annotated[str | None, typer.Option(help="A checkpoint to train on for INT8.", rich_help_panel=_QAT)] = None,
    qat_target: Annotated[
        str | None, typer.Option(help="cpu or tensorrt: what it is quantized for \\[cpu].", rich_help_panel=_QAT)
    ] = None,
    train_split: Annotated[str | None, typer.Option(help="Split to train on \\[train].")] = None,
    val_split: Annotated[str | None, typer.Option(help="Split to evaluate on \\[val].")] = None,
    height: Annotated[int | None, typer.Option(help="Pixels the images are resized to [360].")] = None,
    width: Annotated[int | None, typer.Option(help="Pixels the images are resized to [480].")] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the split [200].")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Images a step [8].")] = None,
    crop_height: Annotated[
        int | None, typer.Option(help="Pixels of training crops; 0: all [0].", rich_help_panel=_RECIPE)
    ] = None,
    crop_width: Annotated[
        int | None, typer.Option(help="Pixels of training crops; 0: all [0].", rich_help_panel=_RECIPE)
    ] = None,
    learning_rate: Annotated[
        float | None, typer.Option(help="Peak rate of AdamW [0.001].", rich_help_panel=_RECIPE)
    ] = None,
    weight_decay: Annotated[float | None, typer.Option(help="Of AdamW [0.01].", rich_help_panel=_RECIPE)] = None,
    schedule: Annotated[str | None, typer.Option(help="poly or one-cycle \\[poly].", rich_help_panel=_RECIPE)] = None,
    warmup_epochs: Annotated[
        float | None, typer.Option(help="Epochs of linear warm-up [3].", rich_help_panel=_RECIPE)
    ] = None,
    scale_min: Annotated[
        float | None, typer.Option(help="Smallest random zoom [0.5].", rich_help_panel=_RECIPE)
    ] = None,
    scale_max: Annotated[float | None, typer.Option(help="Largest random zoom [2.0].", rich_help_panel=_RECIPE)] = None,
    aspect: Annotated[
        float | None, typer.Option(help="Largest random stretch of width to height [1.2].", rich_help_panel=_RECIPE)
    ] = None,
    color_jitter: Annotated[
        float | None, typer.Option(help="Largest random change of colours; 0: none [0.2].", rich_help_panel=_RECIPE)
    ] = None,
    class_weights: Annotated[
        str | None, typer.Option(help="log or none: weigh rare classes more \\[log].", rich_help_panel=_RECIPE)
    ] = None,
    ohem_threshold: Annotated[
        float | None,
        typer.Option(help="Train on pixels less certain than this; 1: on all [1.0].", rich_help_panel=_RECIPE),
    ] = None,
    dice_weight: Annotated[
        float | None, typer.Option(help="Weight of the Dice loss; 0: none [1.0].", rich_help_panel=_RECIPE)
    ] = None,
    aux_weight: Annotated[
        float | None, typer.Option(help="Weight of auxiliary losses; 0: none [0.4].", rich_help_panel=_RECIPE)
    ] = None,
    loss_stride: Annotated[
        int | None, typer.Option(help="Take the loss at every so many-th pixel [2].", rich_help_panel=_RECIPE)
    ] = None,
    ema_decay: Annotated[
        float | None, typer.Option(help="Of the moving average of weights [0.998].", rich_help_panel=_RECIPE)
    ] = None,
    synthetic_scenes: Annotated[
        int | None,
        typer.Option(help="Rendered streets added to the split, CamVid's classes only [0].", rich_help_panel=_RECIPE),
    ] = None,
    eval_every: Annotated[
        int | None, typer.Option(help="Epochs between evaluations [5].", rich_help_panel=_RUN)
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="Of weights, order and augmentation [0].", rich_help_panel=_RUN)
    ] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda, … \\[auto].", rich_help_panel=_RUN)] = None,
    amp: Annotated[
        str | None, typer.Option(help="Mixed precision: auto (on a GPU), on, off \\[auto].", rich_help_panel=_RUN)
    ] = None,
    threads: Annotated[
        int | None, typer.Option(help="CPU threads; 0: torch's choice [0].", rich_help_panel=_RUN)
    ] = None,
) -> None:
    """Train a network on your own classes.

    The dataset is a folder with images, label files of the same stem and a
    dataset.yaml (see the README). The output holds model.pt (averaged weights
    of the last epoch), best.pt, metrics.csv, TensorBoard events, curves.png,
    confusion.png, and last.pt to --resume from.

    With --qat a trained network goes on for a few epochs with the rounding of
    INT8, and edgeseg export then writes the INT8 artifact. Network and size
    are its own; --epochs is 5, --learning-rate 0.00002, --warmup-epochs 0.5
    and --aux-weight 0 if you do not say otherwise.
    """
    flags = {k: v for k, v in locals().items() if k not in ("config", "resume") and v is not None}

    from edgeseg.train.config import TrainConfig, read_config

    settings: dict[str, Any] = {**(read_config(config) if config else {}), **flags}
    if settings.get("qat"):
        from edgeseg.train.qat import complete

        settings = complete(settings)
    if "data" not in settings:
        raise InputError("there is no data to train on", "Add --data with a dataset.yaml or its folder")
    recipe = TrainConfig(**settings)

    from rich.console import Console

    from edgeseg.train.loop import Trainer

    console = Console()
    trainer = Trainer(recipe)
    console.print(
        f"{recipe.network}: {trainer.spec.metrics['parameters']:,} parameters, {len(trainer.train_set)} training and "
        f"{len(trainer.val_set)} validation images, {recipe.synthetic_scenes} rendered, on {trainer.device}",
        highlight=False,
    )
    with _Progress(console, recipe.epochs) as progress:
        trained = trainer.run(resume=resume, on_step=progress.step, on_epoch=progress.epoch)
    console.print(f"{trained.model}  val mIoU {100 * trained.miou:.2f} %", markup=False, soft_wrap=True)
    console.print(f"next: edgeseg export {trained.model}", markup=False, soft_wrap=True, highlight=False)


class _Progress:
    """A bar for the epoch on a terminal, and one plain line per epoch everywhere."""

    def __init__(self, console: Console, epochs: int) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self._console = console
        self._epochs = epochs
        self._bar = Progress(
            TextColumn("epoch {task.fields[epoch]}/{task.fields[epochs]}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("loss {task.fields[loss]:.3f}"),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("train", epoch=0, epochs=epochs, loss=float("nan"))

    def __enter__(self) -> _Progress:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def step(self, epoch: int, step: int, steps: int, loss: float) -> None:
        """Move the bar."""
        self._bar.update(self._task, completed=step, total=steps, epoch=epoch, loss=loss)

    def epoch(self, row: dict[str, float]) -> None:
        """Print the epoch's line."""
        line = f"epoch {row['epoch']:.0f}/{self._epochs}  loss {row['train_loss']:.4f}  {row['seconds']:.1f} s"
        if "val_miou" in row:
            line += f"  val mIoU {100 * row['val_miou']:.2f} %"
        self._console.print(line, highlight=False)
