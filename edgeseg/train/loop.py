"""The training loop: an epoch is a pure function of the state before it, so a resumed run follows the same curve."""

from __future__ import annotations

import copy
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import ConcatDataset

from edgeseg.data.dataset import Dataset
from edgeseg.errors import DatasetError, InputError, ModelError
from edgeseg.evaluation.metrics import ConfusionMatrix
from edgeseg.models.checkpoint import save_network
from edgeseg.models.network import Network, count_macs, count_parameters, first_not_finite
from edgeseg.models.normalise import Normalise
from edgeseg.models.registry import build
from edgeseg.spec import ModelSpec
from edgeseg.train.augment import Augmented
from edgeseg.train.batches import Batches
from edgeseg.train.budget import Budget
from edgeseg.train.checkpoint import load_state, save_state, start_from
from edgeseg.train.config import TrainConfig
from edgeseg.train.data import SplitTensors, SyntheticTensors, check_classes
from edgeseg.train.duration import seconds_of
from edgeseg.train.failures import told
from edgeseg.train.folder import BEST_FILE, CONFIG_FILE, CONFUSION_FILE, MODEL_FILE, RESUME_FILE, check_folder, held
from edgeseg.train.health import DivergedError, EpochLosses, NotFiniteError
from edgeseg.train.history import History, Row, plot_confusion
from edgeseg.train.learner import Batch, Learner
from edgeseg.train.losses.cross_entropy import log_class_weights
from edgeseg.train.losses.registry import open_losses
from edgeseg.train.machine import (
    capability_of,
    device_named,
    own_cores,
    precision_for,
    settings_of_a_run,
    shared_memory_bytes,
    steps_between_looks,
    workers_for,
)
from edgeseg.train.picture_cache import Pair
from edgeseg.train.plan import Plan
from edgeseg.train.qat import (
    FREEZE_RANGES,
    FREEZE_STATISTICS,
    ROUNDED_MIOU,
    begin,
    check_same_classes,
    rounded,
    save_learned,
)
from edgeseg.train.schedule import learning_rate_factor
from edgeseg.train.task import SegmentationTask
from edgeseg.train.validation import confusion_on
from edgeseg.train.world import world

if TYPE_CHECKING:
    pass

OnStep = Callable[[int, int, int, float], None]
"""Called after each step with epoch, step of the epoch, steps per epoch and the latest loss that the host knows: on a
CPU that of the step, on a GPU that of one of the last twenty, NaN before the first."""

OnEpoch = Callable[[Row], None]
"""Called after each epoch with its row of the history."""


@dataclass(frozen=True)
class Trained:
    """What a finished run has made.

    Attributes:
        model: the averaged weights of the last epoch, with their spec.
        best: those of the evaluation with the highest validation mIoU; beware of choosing on what you report.
        miou: validation mIoU of ``model``, a fraction of 1, as ``edgeseg eval`` measures it; with ``qat`` that of the
            network as it rounds.
        best_miou: that of ``best``.
        classes: over how many classes ``miou`` is the mean: one that is neither in the labels nor predicted has none.
    """

    model: Path
    best: Path
    miou: float
    best_miou: float
    classes: int


class Trainer:
    """All state of a run. :meth:`run` trains to the end; killed, it can be resumed from the last whole epoch.

    Where several processes train together (:func:`edgeseg.train.distributed.joined`) each has one of these; the first
    alone writes. PyTorch's threads and random numbers are as before once a method has returned.

    Args:
        config: the recipe.

    Attributes:
        missing: names of the classes that no pixel of the validation split has.
        confusion: what the last evaluation counted; None before the first.
        plan: how many steps there are; with a time budget it is made in :meth:`run`.

    Raises:
        InputError: the network cannot take the size, the device is not there, or a checkpoint does not fit.
        DatasetError: the data set or a file of it cannot be used, or it does not show a class that it names.
        ModelError: no such network or checkpoint.
        SinkError: the output is or holds the data.
    """

    def __init__(self, config: TrainConfig) -> None:
        self.config = config
        self.budget = Budget(seconds_of(config.time_budget)) if config.time_budget else None
        self.device = world().device if world().is_shared else device_named(config.device)
        self.dataset = Dataset.load(config.data)
        self.train_set = SplitTensors(self.dataset, config.train_split, config.input_size)
        beside = self.train_set.kept_bytes
        self.val_set = SplitTensors(self.dataset, config.val_split, config.input_size, beside=beside)
        check_folder(config, self.dataset)
        self.epoch = 0
        self.best_miou = -1.0
        self.confusion: ConfusionMatrix | None = None
        with settings_of_a_run(config.threads, self.device):
            torch.manual_seed(config.seed)
            open_losses(config.loss, torch.ones(self.dataset.num_classes))  # told before an hour of reading
            self._float_spec: ModelSpec | None = None
            self.network = self._build()
            self._figures = {
                "parameters": count_parameters(self.network),
                "macs": count_macs(self.network, config.input_size),
            }
            self.normalise = Normalise(self.spec).to(self.device)
            self._read_data()
            self.rounding = rounded(self.network, config, self.train_set, self._inputs) if config.qat else None
            if self.rounding is not None:
                self.network = self.rounding
            self._prepare_steps()

    def _build(self) -> Network:
        config = self.config
        if config.qat:
            network, self._float_spec = begin(config)
            check_same_classes(config, self._float_spec, self.dataset)
        else:
            network = build(config.network, self.dataset.num_classes, config.network_args)
        network.to(self.device)
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs forget it
        network.check_size(config.input_size)
        network.check_size(config.crop_size)
        return network

    def _read_data(self) -> None:
        """Find what cannot be used now, not epochs later; pictures that do not fit in memory are left for the steps."""
        config = self.config
        self._scenes = SyntheticTensors(self.dataset, config.synthetic_scenes, config.input_size, config.seed)
        images = len(self.train_set) + len(self._scenes)
        self._batch_size = self._shared_evenly(min(config.batch_size, images))
        if self._batch_size < 2:
            raise DatasetError(
                f"batches of one image cannot train batch normalisation ({images} images)",
                "Set batch_size to at least 2, and give two images or more",
            )
        if not (epoch_steps := images // self._batch_size // config.accumulate):
            what = f"{images} images are fewer than {config.accumulate} batches of {self._batch_size}"
            raise InputError(what, "Set a smaller accumulate")
        self.plan = Plan.of_epochs(config, epoch_steps)
        self._pixels = world().from_first(self.train_set.class_pixels)
        check_classes(self.train_set, self._pixels, self._scenes)
        in_val = world().from_first(self.val_set.class_pixels)
        self.missing = tuple(name for name, count in zip(self.dataset.names, in_val, strict=True) if not count)
        for split in (self.train_set, self.val_set):
            if split.cached or split is self.val_set:
                split.read_all()

    def _shared_evenly(self, batch_size: int) -> int:
        """The size of a batch, which each process has an equal share of."""
        size = world().size
        if self.config.batch_size % size:
            what = f"batches of {self.config.batch_size} images cannot be shared evenly by {size} processes"
            raise InputError(what, f"Set batch_size to a multiple of {size}")
        if world().is_shared and self.config.qat:
            raise InputError("qat trains in one process", "Start it without torchrun")
        return batch_size // size * size

    def _prepare_steps(self) -> None:
        config, num_classes = self.config, self.dataset.num_classes
        frequencies = torch.from_numpy(self._pixels / self._pixels.sum())
        weights = log_class_weights(frequencies) if config.class_weights == "log" else torch.ones(num_classes)
        half = precision_for(capability_of(self.device))
        self.mixed = config.amp == "on" or (config.amp == "auto" and self.device.type != "cpu" and not config.qat)
        self.task = SegmentationTask(
            self.network,
            self.normalise,
            open_losses(config.loss, weights),
            num_classes=num_classes,
            aux_weight=config.aux_weight,
            stride=config.loss_stride,
            amp_dtype=half if self.mixed else None,
        ).to(self.device)
        self.learner = Learner(self.task, config, self.device)

    def _batches(self) -> Batches:
        config = self.config
        samples: ConcatDataset[Pair] = ConcatDataset([self.train_set, *([self._scenes] if len(self._scenes) else [])])
        height, width = config.crop_size
        workers = workers_for(
            self.device.type,
            config.threads or own_cores(),
            in_memory=self.train_set.cached,
            batch_bytes=4 * height * width * self._batch_size // world().size,
            shared_bytes=shared_memory_bytes() // world().local_size,
        )
        if workers:
            self._scenes.render_all()  # once, not in each process
        augmented = Augmented(samples, len(samples), config)
        return Batches(augmented, self._batch_size, workers=workers, pinned=self.device.type == "cuda")

    @property
    def spec(self) -> ModelSpec:
        """The ModelSpec of the network in training."""
        spec = ModelSpec(
            network=self.config.network,
            network_args=self.config.network_args,
            class_names=self.dataset.names,
            colors=self.dataset.colors,
            input_size=self.config.input_size,
            stride=self.network.stride,
            label_ignore_index=self.dataset.coding.ignore_index,
            data=f"{_printable(self.dataset.path.resolve().parent.name)}, split {self.config.train_split}",
            metrics=self._figures,
        )
        before = self._float_spec
        return spec if before is None else replace(spec, mean=before.mean, std=before.std, license=before.license)

    def resume(self) -> list[Row]:
        """Load the state of ``config.output`` and return the rows of its history.

        Raises:
            ModelError: it is not there, damaged, or of another recipe or data.
        """
        path = self.config.folder / RESUME_FILE
        state = world().from_first(lambda: load_state(self.config.folder, self.config))
        try:
            self.learner.restore(state)
            self.epoch = int(state["epoch"])
            self.best_miou = float(state["best_miou"])
            if self.budget is not None:
                self.plan = Plan.from_state(state["plan"])
                self.budget = Budget(seconds_of(self.config.time_budget), spent_s=float(state["spent_s"]))
            rows: list[Row] = [{str(k): float(v) for k, v in row.items()} for row in state["history"]]
        except Exception:  # of what a file holds instead
            raise ModelError(
                f"{path} has not the state of this network with the {self.dataset.num_classes} classes of "
                f"{self.dataset.path}",
                "Resume with the dataset of the run, or start anew in another output",
            ) from None
        if (name := first_not_finite(self.averaged_network)) is not None or not rows:
            what = f"{path} holds weights that are no finite numbers ({name})" if rows else f"{path} holds no epoch"
            raise ModelError(what, "Start anew in another output, with a lower learning_rate")
        return rows

    def run(self, *, resume: bool = False, on_step: OnStep | None = None, on_epoch: OnEpoch | None = None) -> Trained:
        """Train until ``config.epochs`` are done, or until ``config.time_budget`` is over.

        The losses are looked at before anything of an epoch is kept, and so are the weights: what is in the folder is
        always of finite numbers.

        Raises:
            DivergedError: a loss or weight is no finite number; the folder holds the last epoch before.
            DatasetError: a file of the dataset cannot be used.
            ModelError: nothing to resume, or of another recipe.
            InputError: the output folder holds another run.
            SinkError: a file of the output cannot be written, or another process trains into it.
            DeviceError: out of memory, or a process that prepares pictures was ended.
        """
        config = self.config
        with ExitStack() as parts:
            if world().is_first:
                parts.enter_context(held(config.folder, resume=resume))
            world().wait()  # the first has the folder
            parts.enter_context(settings_of_a_run(config.threads, self.device))
            if config.weights and not resume:
                start_from(self.network, Path(config.weights))
            self.rows = self.resume() if resume else []
            history = parts.enter_context(closing(History(config.folder, self.rows))) if world().is_first else None
            if world().is_first:
                config.save(config.folder / CONFIG_FILE)
            self.learner.begin(self.plan.end)
            try:
                with closing(self._batches()) as batches:
                    if self.budget is not None:
                        self._plan_by_time(batches, self.budget)
                    while self.epoch < self.plan.epochs:
                        row = self._train_and_keep(batches, history, on_step)
                        if on_epoch:
                            on_epoch(row)
            except (MemoryError, RuntimeError) as error:
                if (in_words := told(error, config, self.device)) is None:
                    raise
                raise in_words from None
        last = self.rows[-1]
        classes = int(last.get("val_classes", self.dataset.num_classes))  # older runs have not counted them
        miou = last.get("val_miou", float("nan"))
        return Trained(config.folder / MODEL_FILE, config.folder / BEST_FILE, miou, self.best_miou, classes)

    def _plan_by_time(self, batches: Batches, budget: Budget) -> None:
        """Take a few steps and measure a few pictures, undo it, and plan by what that took."""
        before = copy.deepcopy(self.learner.state())
        steps = (parts for seed in count() for parts in self._parts(batches, seed))
        self.network.train()
        budget.try_steps(lambda: self.learner.step(next(steps)))
        steps.close()
        budget.try_pictures(lambda pictures: self._measure(at_most=pictures), len(self.val_set))
        self.learner.restore(before)
        if not self.epoch:
            steps_left = world().from_first(lambda: budget.steps_left(self.plan.epoch_steps, self.config.eval_every))
            self.plan = Plan.of_steps(self.config, self.plan.epoch_steps, steps_left)

    def _train_and_keep(self, batches: Batches, history: History | None, on_step: OnStep | None) -> Row:
        """One epoch, and all that is written after it."""
        started = time.monotonic()
        try:
            loss, rate = self._train_epoch(batches, on_step)
        except NotFiniteError as error:
            raise self._diverged(f"the loss is {error.value} at step {error.step} of epoch {self.epoch + 1}") from None
        trained = time.monotonic()
        for network in (self.network, self.averaged_network):
            if (name := first_not_finite(network)) is not None:
                raise self._diverged(f"weights are no finite numbers after epoch {self.epoch + 1} ({name})")
        done = self.epoch + 1
        row: Row = {"epoch": done, "learning_rate": rate, "train_loss": loss}
        if done == self.plan.epochs or done % self.config.eval_every == 0:
            row.update(self._evaluate())
        row["seconds"] = time.monotonic() - started
        self.rows.append(row)
        if history is not None:
            history.add(row)
            self._save(done)
            if "val_miou" in row:
                history.plot()
        self.epoch = done
        if self.budget is not None:
            kind = "evaluation_s" if "val_miou" in row else "epoch_s"
            self.budget.took(**{kind: time.monotonic() - trained})
        return row

    def _diverged(self, what: str) -> DivergedError:
        config, folder = self.config, self.config.folder
        kept = f"; {folder / RESUME_FILE} is the state after epoch {self.epoch}" if self.epoch else ""
        remedies = [f"a learning_rate below {config.learning_rate:g}"]
        if self.mixed:
            remedies.append("amp off")
        start = f"weights {folder / MODEL_FILE}" if (folder / MODEL_FILE).exists() and not config.qat else ""
        return DivergedError(
            f"{what}, so that nothing more can be learned{kept}",
            f"Train into another output with {' or '.join(remedies)}" + (f", starting from {start}" if start else ""),
        )

    def _train_epoch(self, batches: Batches, on_step: OnStep | None) -> tuple[float, float]:
        """Mean loss and last learning rate of one epoch."""
        config, first = self.config, self.epoch * self.plan.epoch_steps
        if self.rounding is not None:
            done = self.plan.position(first) / self.plan.total
            self.rounding.freeze(statistics=done >= FREEZE_STATISTICS, ranges=done >= FREEZE_RANGES)
        self.network.train()
        # All randomness of an epoch follows from seed and epoch: a resumed run needs no generator's state.
        seed = config.seed * 1_000_003 + self.epoch
        torch.manual_seed(seed)
        losses = EpochLosses(steps_between_looks(self.device.type))
        rate = 0.0
        started = time.monotonic()
        for step, parts in enumerate(self._parts(batches, seed)):
            if self.budget is not None and self.budget.is_due(first + step, self.plan):
                self.budget.took(step_s=(time.monotonic() - started) / step if step else self.budget.pace.step_s)
                self.plan = self.budget.planned(self.plan, first + step, config.eval_every)
            if step == (steps := self.plan.steps_of(self.epoch)):
                break
            place = self.plan.position(first + step)
            rate = config.learning_rate * learning_rate_factor(
                config.schedule, place, self.plan.warmup, self.plan.total
            )
            for group in self.learner.optimizer.param_groups:
                group["lr"] = rate
            try:
                losses.add(self.learner.step(parts))
            except FloatingPointError:
                losses.look()
                raise NotFiniteError(step + 1, float("nan")) from None
            if on_step:
                on_step(self.epoch + 1, step + 1, steps, losses.latest)
        return losses.mean(), rate

    def _parts(self, batches: Batches, seed: int) -> Iterator[Sequence[Batch]]:
        """The batches of each step of an epoch."""
        parts: list[Batch] = []
        for batch in batches.epoch(seed):
            parts.append(batch)
            if len(parts) == self.config.accumulate:
                yield parts
                parts = []

    def _measure(self, at_most: int | None = None) -> ConfusionMatrix:
        network = self.averaged_network.eval()
        return confusion_on(self.val_set, network, self._inputs, self.config.threads, at_most=at_most)

    def _evaluate(self) -> Row:
        """Measure the averaged weights and keep them: model.pt always, best.pt when better than before."""
        network, confusion = self.averaged_network, self._measure()
        self.confusion = confusion
        miou = confusion.miou()
        classes = int(np.isfinite(confusion.iou()).sum())
        # What a network says with the rounding of INT8 is no figure of the float weights in its checkpoint.
        spec = self.spec.with_metrics(**{"val_miou" if self.rounding is None else ROUNDED_MIOU: miou})
        if classes < self.dataset.num_classes:
            spec = spec.with_metrics(val_classes=classes)
        if world().is_first:
            self._keep(MODEL_FILE, network, spec)
            plot_confusion(confusion.matrix, spec.class_names, self.config.folder / CONFUSION_FILE)
        if miou > self.best_miou:
            self.best_miou = miou
            if world().is_first:
                self._keep(BEST_FILE, network, spec)
        return {"val_miou": miou, "val_classes": float(classes), "val_pixel_accuracy": confusion.pixel_accuracy()}

    def _keep(self, name: str, network: Network, spec: ModelSpec) -> None:
        if self.rounding is None:
            save_network(self.config.folder / name, network, spec)
        else:
            assert isinstance(network, type(self.rounding))
            save_learned(self.config.folder / name, network, spec, self.config.qat_target)

    @property
    def averaged_network(self) -> Network:
        """The network with the moving average of the weights."""
        return self.learner.averaged

    def _inputs(self, images: Tensor) -> Tensor:
        """(N, 3, H, W) uint8 RGB to what the network takes, on its device."""
        pixels = self.normalise(images.to(self.device, non_blocking=True))
        return pixels.contiguous(memory_format=torch.channels_last)  # type: ignore[no-any-return]

    def _save(self, epoch: int) -> None:
        state = {**self.learner.state(), "best_miou": self.best_miou, "history": self.rows}
        if self.budget is not None:
            state |= {"plan": self.plan.to_state(), "spent_s": self.budget.spent_s}
        save_state(self.config.folder, self.config, epoch, state)


def _printable(name: str) -> str:
    """A folder's name where it is no Unicode or holds what would reach the terminal: with a mark in that place."""
    text = os.fsencode(name).decode("utf-8", "replace")
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in text)
