"""``edgeseg train``: a network from a dataset folder."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgeseg.cli.options import ConfigFile, completed, with_settings
from edgeseg.errors import EdgesegError, InputError
from edgeseg.train.config import TrainConfig

if TYPE_CHECKING:
    from rich.console import Console

    from edgeseg.train.distributed import Group
    from edgeseg.train.loop import Trainer

EXAMPLES = """
edgeseg train --data my_data --output runs/my_data
edgeseg train --data my_data --output runs/my_data --resume
edgeseg train --data my_data --recipe few --output runs/few
edgeseg train --config runs/my_data/config.yaml --output runs/again --seed 1
edgeseg train --qat runs/my_data/model.pt --data my_data --output runs/my_data-int8
"""

_TOGETHER_S = 0.5
"""Signals so close count as one: ``timeout`` and some shells signal a process, and then its group as well."""


@with_settings(TrainConfig)
def train(
    *,
    config: ConfigFile = None,
    recipe: Annotated[
        str | None,
        typer.Option(help="street, industrial or few: settings that go together; config and flags win."),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue the run in --output after a kill.")] = False,
    **flags: Any,
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
    with _Ending() as ending, _together(ending) as group:
        from edgeseg.files.whole import keep_apart
        from edgeseg.train.folder import CONFIG_FILE
        from edgeseg.train.recipes import read_recipe

        settings = completed(TrainConfig, config, flags)
        if recipe:
            settings = TrainConfig.merged(read_recipe(recipe), settings)
        if settings.get("qat"):
            from edgeseg.train.qat import complete

            settings = complete(settings)
        if "data" not in settings:
            raise InputError("there is no data to train on", "Add --data with a dataset.yaml or its folder")
        chosen = TrainConfig(**settings)
        if config and not resume:
            keep_apart([chosen.folder / CONFIG_FILE], [config])

        if group is not None:
            group.connect(chosen.device)
        from rich.console import Console

        from edgeseg.train.loop import Trainer

        # Paths are shown as they are, in one piece.
        console = Console(highlight=False, markup=False, soft_wrap=True, quiet=group is not None and group.rank > 0)
        trainer = Trainer(chosen)
        material = trainer.material
        console.print(
            f"{chosen.network}: {trainer.spec.metrics['parameters']:,} parameters, {len(material.train_set)} training "
            f"and {len(material.val_set)} validation images, {chosen.synthetic_scenes} rendered, on {trainer.device}"
            + (f" and {group.size - 1} more" if group is not None else "")
        )
        if material.missing:
            console.print(f"split {chosen.val_split} has no pixel of {', '.join(material.missing)}")
        if not resume and (transfer := trainer.begin()) is not None:
            console.print(str(transfer))
        with ending.in_good_order(trainer), _Progress(console, trainer) as progress:

            def on_step(epoch: int, step: int, steps: int, loss: float) -> None:
                ending.check()
                progress.step(epoch, step, steps, loss)

            trained = trainer.run(resume=resume, on_step=on_step, on_epoch=progress.epoch)
            console.print(f"{trained.model}  {_miou(trained.miou, trained.classes, trainer)}")
            console.print(f"next: edgeseg export {trained.model}")


@contextmanager
def _together(ending: _Ending) -> Iterator[Group | None]:
    """What torchrun has started, if it has; why it ends is told by one process, and the others end without a word."""
    if os.environ.get("WORLD_SIZE", "1") == "1":
        yield None
        return
    from edgeseg.train.distributed import joined

    try:
        with joined(_end_at_once) as group:
            ending.tells = group.tells
            try:
                yield group
            except EdgesegError:
                ending.told = group.tells()  # before it leaves, which the others hear of
                raise
    except EdgesegError:
        if not (ending.told or ending.tells()):
            raise typer.Exit(2) from None
        raise


def _end_at_once(words: str) -> None:
    from edgeseg.cli.signals import leave

    if words:
        leave(f"error: {words}", 2)
    os._exit(2)


class _Ending:
    """Ctrl-C and SIGTERM.

    While modules are imported and data is read there is nothing to lose, and the process ends at once: an exception is
    lost in some imports, and what they leave half done fails later. In training it is a KeyboardInterrupt, upon which
    files are whole and nothing else is left; whatever else comes of it ends the process in the same way. Another
    signal ends it at once.
    """

    def __init__(self) -> None:
        self._process = os.getpid()
        self._heard = 0
        self._heard_s = 0.0
        self._trainer: Trainer | None = None
        self._previous: Mapping[int, Any] = {}
        self.told = False
        self.tells: Callable[[], bool] = lambda: True

    def __enter__(self) -> _Ending:
        if threading.current_thread() is threading.main_thread():
            self._previous = {n: signal.signal(n, self._hear) for n in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    @contextmanager
    def in_good_order(self, trainer: Trainer) -> Iterator[None]:
        """A block in which files are written."""
        self._trainer = trainer
        try:
            yield
            self.check()
        except BaseException:
            if not self._heard:
                raise
            self._say()
            raise typer.Exit(128 + self._heard) from None

    def check(self) -> None:
        """Raise KeyboardInterrupt where one was lost: some code that is called back has nowhere to raise it to."""
        if self._heard:
            raise KeyboardInterrupt

    def _hear(self, number: int, _: FrameType | None) -> None:
        if os.getpid() != self._process:  # one that has just been started, and will be ended
            return
        if self._heard and time.monotonic() - self._heard_s < _TOGETHER_S:
            return
        again, self._heard, self._heard_s = self._heard, number, time.monotonic()
        if again or self._trainer is None:
            self._say()
            os._exit(128 + number)
        raise KeyboardInterrupt

    def _say(self) -> None:
        if not self.tells():
            return
        line = "edgeseg: interrupted"
        if self._trainer is not None and self._trainer.epoch:
            line += f" after epoch {self._trainer.epoch} of {self._trainer.plan.epochs}; go on with --resume"
        with suppress(OSError):
            os.write(2, f"{line}\n".encode())


def _miou(miou: float, classes: float, trainer: Trainer) -> str:
    from edgeseg.evaluation.metrics import left_out

    names, confusion = trainer.dataset.names, trainer.confusion
    words = "" if classes == len(names) else f"over {classes:.0f} of {len(names)} classes"
    if confusion is not None:
        words = left_out(confusion.iou(), names)
    return f"val mIoU {100 * miou:.2f} % {words}".rstrip()


class _Progress:
    """A bar for the epoch on a terminal, and one plain line per epoch everywhere."""

    def __init__(self, console: Console, trainer: Trainer) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn

        from edgeseg.cli.progress import Bar

        self._console = console
        self._trainer = trainer
        self._bar = Bar(
            TextColumn("epoch {task.fields[epoch]}/{task.fields[epochs]}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("loss {task.fields[loss]:.3f}"),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("train", epoch=0, epochs=trainer.plan.epochs, loss=float("nan"))

    def __enter__(self) -> _Progress:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def step(self, epoch: int, step: int, steps: int, loss: float) -> None:
        """Move the bar."""
        epochs = self._trainer.plan.epochs
        self._bar.update(self._task, completed=step, total=steps, epoch=epoch, epochs=epochs, loss=loss)

    def epoch(self, row: dict[str, float]) -> None:
        """Print the epoch's line."""
        epochs = self._trainer.plan.epochs
        line = f"epoch {row['epoch']:.0f}/{epochs}  loss {row['train_loss']:.4f}  {row['seconds']:.1f} s"
        if "val_miou" in row:
            line += f"  {_miou(row['val_miou'], row['val_classes'], self._trainer)}"
        self._console.print(line)
