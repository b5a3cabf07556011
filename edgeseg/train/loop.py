"""The training loop: an epoch is a pure function of the state before it, so a resumed run follows the same curve."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from edgeseg.data.dataset import Dataset
from edgeseg.errors import InputError, ModelError
from edgeseg.evaluation.metrics import ConfusionMatrix
from edgeseg.models.mean_field import MeanField
from edgeseg.models.network import Network, first_not_finite
from edgeseg.refine.crf import CrfRefiner
from edgeseg.spec import ModelSpec
from edgeseg.spec.crf_params import CrfParams
from edgeseg.train.budget import Budget
from edgeseg.train.checkpoint import load_state, save_state
from edgeseg.train.config import TrainConfig
from edgeseg.train.consistency import PseudoLabels
from edgeseg.train.duration import seconds_of
from edgeseg.train.failures import diverged, told
from edgeseg.train.folder import BEST_FILE, CONFIG_FILE, CONFUSION_FILE, MODEL_FILE, RESUME_FILE, check_folder, held
from edgeseg.train.health import DivergedError, EpochLosses, NotFiniteError
from edgeseg.train.history import History, Row, plot_confusion
from edgeseg.train.learner import Learner
from edgeseg.train.losses.cross_entropy import log_class_weights
from edgeseg.train.losses.registry import open_losses
from edgeseg.train.losses.union import UnionLoss
from edgeseg.train.machine import (
    capability_of,
    device_named,
    is_mixed,
    precision_for,
    settings_of_a_run,
    steps_between_looks,
)
from edgeseg.train.material import Material
from edgeseg.train.plan import Plan
from edgeseg.train.qat import FREEZE_RANGES, FREEZE_STATISTICS
from edgeseg.train.schedule import learning_rate_factor, ramp_up_factor
from edgeseg.train.student import Student
from edgeseg.train.supply import Part, Supply
from edgeseg.train.task import Batch, SegmentationTask
from edgeseg.train.teacher import check_targets
from edgeseg.train.transfer import Transfer
from edgeseg.train.validation import confusion_on
from edgeseg.train.world import world

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
            network as it rounds, with ``crf_rnn`` that of the labels that its CRF refines.
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
        student: the network that learns.
        material: what it learns from.
        learner: what its steps change.
        confusion: what the last evaluation counted; None before the first.
        transfer: what the network began with, once it has; None for random weights.
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
        self.dataset = Dataset.load(config.data, config.format or None)
        for split in (config.train_split, config.val_split):
            self.dataset.split(split)  # told before anything is built
        check_folder(config, self.dataset)
        self.epoch = 0
        self.best_miou = -1.0
        self.confusion: ConfusionMatrix | None = None
        self.transfer: Transfer | None = None
        with settings_of_a_run(config.threads, self.device):
            torch.manual_seed(config.seed)
            losses = open_losses(config.whole_loss, torch.ones(self.dataset.num_classes))
            check_targets(losses, taught=bool(config.teacher))  # told before an hour of reading
            self.student = Student(config, self.dataset, self.device)
            self.material = Material(config, self.dataset, self.spec)
            self.plan = self._plan_epochs()
            if config.qat:
                self.student.round(self.material.train_set)
            self._prepare_steps()

    def _plan_epochs(self) -> Plan:
        config, images, batch_size = self.config, self.material.images, self.material.batch_size
        if not (epoch_steps := images // batch_size // config.accumulate):
            what = f"{images} images are fewer than {config.accumulate} batches of {batch_size}"
            raise InputError(what, "Set a smaller accumulate")
        return Plan.of_epochs(config, epoch_steps)

    def _prepare_steps(self) -> None:
        config, num_classes, pixels = self.config, self.dataset.num_classes, self.material.pixels
        frequencies = torch.from_numpy(pixels / pixels.sum())
        weights = log_class_weights(frequencies) if config.class_weights == "log" else torch.ones(num_classes)
        half = precision_for(capability_of(self.device))
        self.mixed = is_mixed(config.amp, self.device, rounds=bool(config.qat))
        self.task = SegmentationTask(
            self.network,
            self.student.normalise,
            open_losses(config.whole_loss, weights),
            num_classes=num_classes,
            aux_weight=config.aux_weight,
            stride=config.loss_stride,
            amp_dtype=half if self.mixed else None,
            drop_features=self.material.unlabelled is not None,
            union=UnionLoss(num_classes, self.dataset.unions) if self.dataset.unions else None,
            mean_field=MeanField(num_classes, threads=config.threads) if config.crf_rnn else None,
        ).to(self.device)
        self.learner = Learner(self.task, config, self.device)
        self._pseudo_labels = PseudoLabels(
            lambda: self.averaged_network,
            self.student.inputs,
            confidence=config.confidence,
            tagged=bool(config.tagged_split),
        )

    @property
    def network(self) -> Network:
        """The network in training."""
        return self.student.network

    @property
    def averaged_network(self) -> Network:
        """The network with the moving average of the weights, which is what is kept."""
        return self.learner.averaged

    @property
    def crf(self) -> CrfParams | None:
        """The moving average of the CRF that is trained with the network; None where none is."""
        return self.learner.crf.averaged.to_params() if self.learner.crf is not None else None

    @property
    def spec(self) -> ModelSpec:
        """The ModelSpec of the network in training."""
        return self.student.spec

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
            if "normalisation" in state:
                (r, g, b), (r_std, g_std, b_std) = state["normalisation"]
                self.student.normalise_by((float(r), float(g), float(b)), (float(r_std), float(g_std), float(b_std)))
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

    def begin(self) -> Transfer | None:
        """Take the weights that ``config.init`` names, unless that has been done; :meth:`run` begins with it.

        Raises:
            ModelError: no such file, or weights of another network.
            MissingDependencyError: the package that has the weights is not installed.
        """
        if self.config.init and self.transfer is None:
            self.transfer = self.student.begin()
            self._start_crf(self.transfer.spec)
        return self.transfer

    def _start_crf(self, before: ModelSpec | None) -> None:
        """Begin from the CRF that was fitted to what the network begins with, if it is for such pixels and classes."""
        if self.learner.crf is None or before is None or before.crf is None:
            return
        if before.input_size == self.config.input_size and before.class_names == self.dataset.names:
            self.learner.crf.start(before.crf)

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
            parts.callback(self.material.close)
            if world().is_first:
                parts.enter_context(held(config.folder, resume=resume))
            world().wait()  # the first has the folder
            parts.enter_context(settings_of_a_run(config.threads, self.device))
            if not resume:
                self.begin()
            self.rows = self.resume() if resume else []
            history = parts.enter_context(closing(History(config.folder, self.rows))) if world().is_first else None
            if world().is_first:
                config.write(config.folder / CONFIG_FILE)
            self.learner.begin(self.plan.end)
            try:
                with closing(self.material.supply(self.device.type)) as supply:
                    if self.budget is not None:
                        self._plan_by_time(supply, self.budget)
                    while self.epoch < self.plan.epochs:
                        row = self._train_and_keep(supply, history, on_step)
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

    def _plan_by_time(self, supply: Supply, budget: Budget) -> None:
        """Take a few steps and measure a few pictures, undo it, and plan by what that took."""
        before = copy.deepcopy(self.learner.state())
        steps = (parts for seed in count() for parts in self._parts(supply, seed))
        self.learner.begin_epoch(self.plan.epochs)  # when all is trained
        budget.try_steps(lambda: self._step(next(steps), 1.0)[0])
        steps.close()
        budget.try_pictures(lambda pictures: self._measure(at_most=pictures), len(self.material.val_set))
        self.learner.restore(before)
        if not self.epoch:
            steps_left = world().from_first(lambda: budget.steps_left(self.plan.epoch_steps, self.config.eval_every))
            self.plan = Plan.of_steps(self.config, self.plan.epoch_steps, steps_left)

    def _train_and_keep(self, supply: Supply, history: History | None, on_step: OnStep | None) -> Row:
        """One epoch, and all that is written after it."""
        started = time.monotonic()
        try:
            losses, rate = self._train_epoch(supply, on_step)
        except NotFiniteError as error:
            raise self._diverged(f"the loss is {error.value} at step {error.step} of epoch {self.epoch + 1}") from None
        trained = time.monotonic()
        of_crf = [self.learner.crf.layer, self.learner.crf.averaged] if self.learner.crf is not None else []
        for network in (self.network, self.averaged_network, *of_crf):
            if (name := first_not_finite(network)) is not None:
                raise self._diverged(f"weights are no finite numbers after epoch {self.epoch + 1} ({name})")
        done = self.epoch + 1
        row: Row = {"epoch": done, "learning_rate": rate, "train_loss": losses.mean()}
        row.update({f"loss_{name}": value for name, value in losses.mean_terms().items()})
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
        return diverged(what, self.config, epochs=self.epoch, mixed=self.mixed)

    def _train_epoch(self, supply: Supply, on_step: OnStep | None) -> tuple[EpochLosses, float]:
        """The losses, all looked at, and the last learning rate of one epoch."""
        config, first = self.config, self.epoch * self.plan.epoch_steps
        if (rounding := self.student.rounding) is not None:
            done = self.plan.position(first) / self.plan.total
            rounding.freeze(statistics=done >= FREEZE_STATISTICS, ranges=done >= FREEZE_RANGES)
        self.learner.begin_epoch(self.epoch)
        # All randomness of an epoch follows from seed and epoch: a resumed run needs no generator's state.
        seed = config.seed * 1_000_003 + self.epoch
        torch.manual_seed(seed)
        losses = EpochLosses(steps_between_looks(self.device.type))
        rate = 0.0
        started = time.monotonic()
        for step, parts in enumerate(self._parts(supply, seed)):
            if self.budget is not None and self.budget.is_due(first + step, self.plan):
                self.budget.took(step_s=(time.monotonic() - started) / step if step else self.budget.pace.step_s)
                self.plan = self.budget.planned(self.plan, first + step, config.eval_every)
            if step == (steps := self.plan.steps_of(self.epoch)):
                break
            place = self.plan.position(first + step)
            factor = learning_rate_factor(config.schedule, place, self.plan.warmup, self.plan.total)
            rate = config.learning_rate * factor
            self.learner.set_rate(rate)
            ramp = ramp_up_factor(first + step, int(config.unlabelled_ramp * self.plan.epoch_steps))
            try:
                losses.add(*self._step(parts, ramp))
            except FloatingPointError:
                losses.look()
                raise NotFiniteError(step + 1, float("nan")) from None
            if on_step:
                on_step(self.epoch + 1, step + 1, steps, losses.latest)
        losses.look()
        return losses, rate

    def _parts(self, supply: Supply, seed: int) -> Iterator[Sequence[Part]]:
        """The batches of each step of an epoch."""
        parts: list[Part] = []
        for part in supply.epoch(seed):
            parts.append(part)
            if len(parts) == self.config.accumulate:
                yield parts
                parts = []

    def _step(self, parts: Sequence[Part], ramp: float) -> tuple[Tensor, dict[str, Tensor]]:
        """Its loss, and the terms of that; what is lost on pictures without labels has the share ``ramp``."""
        return self.learner.step([self._batch(part, ramp) for part in parts])

    def _batch(self, part: Part, ramp: float) -> Batch:
        """What is learned from on the device, with what others say of it."""
        samples, views = part
        images, labels, *taught = (x.to(self.device, non_blocking=True) for x in samples)
        teacher = self.material.teacher
        soft = teacher(images, *taught) if teacher is not None else None
        unlabelled = None
        if views is not None:
            unlabelled = self._pseudo_labels(views, self.device, ramp * self.config.unlabelled_weight)
        return Batch(images, labels, soft, unlabelled)

    def _measure(self, at_most: int | None = None) -> ConfusionMatrix:
        network, threads = self.averaged_network.eval(), self.config.threads
        refiner = CrfRefiner(self.crf, threads=threads) if self.crf is not None else None
        return confusion_on(
            self.material.val_set, network, self.student.inputs, threads, at_most=at_most, refiner=refiner
        )

    def _evaluate(self) -> Row:
        """Measure the averaged weights and keep them: model.pt always, best.pt when better than before."""
        network, confusion = self.averaged_network, self._measure()
        self.confusion = confusion
        miou = confusion.miou()
        classes = int(np.isfinite(confusion.iou()).sum())
        spec = self.student.measured(miou, classes, self.crf)
        if world().is_first:
            self.student.save(self.config.folder / MODEL_FILE, network, spec)
            plot_confusion(confusion.matrix, spec.class_names, self.config.folder / CONFUSION_FILE)
        if miou > self.best_miou:
            self.best_miou = miou
            if world().is_first:
                self.student.save(self.config.folder / BEST_FILE, network, spec)
        return {"val_miou": miou, "val_classes": float(classes), "val_pixel_accuracy": confusion.pixel_accuracy()}

    def _save(self, epoch: int) -> None:
        state = {**self.learner.state(), "best_miou": self.best_miou, "history": self.rows}
        state["normalisation"] = (self.spec.mean, self.spec.std)
        if self.budget is not None:
            state |= {"plan": self.plan.to_state(), "spent_s": self.budget.spent_s}
        save_state(self.config.folder, self.config, epoch, state)
