"""The training loop: an epoch is a pure function of the state before it, so a resumed run follows the same curve."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from edgeseg.data.check.before_training import refuse_unusable
from edgeseg.data.dataset import Dataset
from edgeseg.errors import DatasetError, DeviceError, InputError, ModelError
from edgeseg.evaluation.metrics import ConfusionMatrix
from edgeseg.models.checkpoint import save_network
from edgeseg.models.network import Network, count_macs, count_parameters, first_not_finite
from edgeseg.models.normalise import Normalise
from edgeseg.models.registry import build
from edgeseg.runtime.postprocess import placed_labels
from edgeseg.runtime.tiles import infer_tiles
from edgeseg.spec import ModelSpec
from edgeseg.spec.placement import tiles_of
from edgeseg.train.batches import ended_process
from edgeseg.train.checkpoint import load_state, save_state
from edgeseg.train.config import TrainConfig
from edgeseg.train.consistency import PseudoLabels
from edgeseg.train.data import SplitTensors, SyntheticTensors, check_classes
from edgeseg.train.ema import warm_ema
from edgeseg.train.folder import BEST_FILE, CONFIG_FILE, CONFUSION_FILE, MODEL_FILE, RESUME_FILE, check_folder, held
from edgeseg.train.health import DivergedError, EpochLosses, NotFiniteError
from edgeseg.train.history import History, Row, plot_confusion
from edgeseg.train.losses.cross_entropy import log_class_weights
from edgeseg.train.losses.registry import open_losses
from edgeseg.train.losses.union import UnionLoss
from edgeseg.train.machine import (
    capability_of,
    device_named,
    precision_for,
    settings_of_a_run,
    steps_between_looks,
)
from edgeseg.train.pretrained import Rgb
from edgeseg.train.qat import CALIBRATION_IMAGES, FREEZE_RANGES, FREEZE_STATISTICS, ROUNDED_MIOU, begin, save_learned
from edgeseg.train.schedule import learning_rate_factor, ramp_up_factor
from edgeseg.train.supply import Supply, open_supply
from edgeseg.train.task import SegmentationTask
from edgeseg.train.teacher import Teacher, check_targets, open_teacher
from edgeseg.train.transfer import Transfer, start_from
from edgeseg.train.unlabelled import Views, open_unlabelled
from edgeseg.types import ImageU8, LabelsU8

if TYPE_CHECKING:
    from edgeseg.train.fake_quantize import FakeQuantized

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

    PyTorch's threads and random numbers are as before once a method has returned.

    Args:
        config: the recipe.

    Attributes:
        missing: names of the classes that no pixel of the validation split has.
        confusion: what the last evaluation counted; None before the first.
        transfer: what the network began with, once it has; None for random weights.

    Raises:
        InputError: the network cannot take the size, the device is not there, or a checkpoint does not fit.
        DatasetError: the data set or a file of it cannot be used, or it does not show a class that it names.
        ModelError: no such network or checkpoint.
        SinkError: the output is or holds the data.
    """

    def __init__(self, config: TrainConfig) -> None:
        self.config = config
        self.device = device_named(config.device)
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
            self._before: ModelSpec | None = None
            self.network = self._build()
            self._figures = {
                "parameters": count_parameters(self.network),
                "macs": count_macs(self.network, config.input_size),
            }
            self.normalise = Normalise(self.spec).to(self.device)
            self._read_data()
            self.rounding = self._round() if config.qat else None
            if self.rounding is not None:
                self.network = self.rounding
            self._prepare_steps()

    def _build(self) -> Network:
        config = self.config
        if config.qat:
            network, self._before = begin(config)
            self._check_classes(self._before)
        else:
            network = build(config.network, self.dataset.num_classes, config.network_args)
        network.to(self.device)
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs forget it
        network.check_size(config.input_size)
        network.check_size(config.crop_size)
        return network

    def _read_data(self) -> None:
        """Find what cannot be used now, not epochs later; pictures that do not fit in memory are left for the steps."""
        config, spec = self.config, self.spec
        self.train_set = SplitTensors(self.dataset, config.train_split, config.input_size, spec)
        self.val_set = SplitTensors(self.dataset, config.val_split, config.input_size, spec)
        self._scenes = SyntheticTensors(self.dataset, config.synthetic_scenes, config.input_size, config.seed)
        images = len(self.train_set) + len(self._scenes)
        self._batch_size = min(config.batch_size, images)
        if self._batch_size < 2:
            raise DatasetError(
                f"batches of one image cannot train batch normalisation ({images} images)",
                "Set batch_size to at least 2, and give two images or more",
            )
        refuse_unusable(self.dataset, (config.train_split, config.val_split))
        self._pixels = self.train_set.class_pixels()
        check_classes(self.train_set, self._pixels, self._scenes)
        in_val = self.val_set.class_pixels()
        self.missing = tuple(name for name, count in zip(self.dataset.names, in_val, strict=True) if not count)
        images_of = [sample.image for sample in self.train_set.samples]
        self.teacher: Teacher | None = None
        if config.teacher:
            threads = config.threads or None
            self.teacher = open_teacher(str(config.teacher), self.dataset.names, images_of, threads=threads)
            if self.teacher.soft is not None and config.fit != "stretch":
                what = f"{config.teacher} is of pictures that are stretched, and fit is {config.fit}"
                raise InputError(what, "Set fit to stretch, or name the teacher's own file")
        self._unlabelled = open_unlabelled(config, self.dataset)
        for split in (self.train_set, self.val_set):
            if split.cached or split is self.val_set:
                split.read_all()

    def _prepare_steps(self) -> None:
        config, num_classes = self.config, self.dataset.num_classes
        frequencies = torch.from_numpy(self._pixels / self._pixels.sum())
        weights = log_class_weights(frequencies) if config.class_weights == "log" else torch.ones(num_classes)
        half = precision_for(capability_of(self.device))
        self.mixed = config.amp == "on" or (config.amp == "auto" and self.device.type != "cpu" and not config.qat)
        self.task = SegmentationTask(
            self.network,
            self.normalise,
            open_losses(config.whole_loss, weights),
            num_classes=num_classes,
            aux_weight=config.aux_weight,
            stride=config.loss_stride,
            amp_dtype=half if self.mixed else None,
            drop_features=self._unlabelled is not None,
            union=UnionLoss(num_classes, self.dataset.unions) if self.dataset.unions else None,
        ).to(self.device)
        self.ema = AveragedModel(self.network, multi_avg_fn=warm_ema(config.ema_decay), use_buffers=True)
        self._pseudo_labels = PseudoLabels(
            lambda: self.averaged_network,
            self._inputs,
            confidence=config.confidence,
            tagged=bool(config.tagged_split),
        )
        scaled = self.mixed and half is torch.float16
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=scaled)
        # A scaler asks the device in each step whether to make it, unless the optimizer does so itself: a fused one.
        self.optimizer = torch.optim.AdamW(self._parameter_groups(), lr=config.learning_rate, fused=scaled or None)

    def _supply(self) -> Supply:
        soft = self.teacher.soft if self.teacher is not None else None
        return open_supply(
            self.config,
            self.device.type,
            self.train_set,
            self._scenes,
            batch_size=self._batch_size,
            soft=soft,
            unlabelled=self._unlabelled,
        )

    @property
    def spec(self) -> ModelSpec:
        """The ModelSpec of the network in training."""
        spec = ModelSpec(
            network=self.config.network,
            network_args=self.config.network_args,
            class_names=self.dataset.names,
            colors=self.dataset.colors,
            input_size=self.config.input_size,
            fit=self.config.fit,
            tile_scale=self.config.tile_scale,
            stride=self.network.stride,
            label_ignore_index=self.dataset.coding.ignore_index,
            data=f"{_printable(self.dataset.path.resolve().parent.name)}, split {self.config.train_split}",
            metrics=self._figures,
        )
        if self._before is not None:
            spec = replace(spec, mean=self._before.mean, std=self._before.std, license=self._before.license)
        return spec

    def resume(self) -> list[Row]:
        """Load the state of ``config.output`` and return the rows of its history.

        Raises:
            ModelError: it is not there, damaged, or of another recipe or data.
        """
        path = self.config.folder / RESUME_FILE
        state = load_state(self.config.folder, self.config)
        try:
            self.network.load_state_dict(state["network"])
            self.ema.load_state_dict(state["ema"])
            if self.task.heads is not None:
                self.task.heads.load_state_dict(state["heads"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.scaler.load_state_dict(state["scaler"])
            self.epoch = int(state["epoch"])
            self.best_miou = float(state["best_miou"])
            if "normalisation" in state:
                (r, g, b), (r_std, g_std, b_std) = state["normalisation"]
                self._normalise_by((float(r), float(g), float(b)), (float(r_std), float(g_std), float(b_std)))
            rows: list[Row] = [{str(k): float(v) for k, v in row.items()} for row in state["history"]]
        except Exception:  # of what a file holds instead
            raise ModelError(
                f"{path} has not the state of this network with the {self.dataset.num_classes} classes of "
                f"{self.dataset.path}",
                "Resume with the dataset of the run, or start anew in another output",
            ) from None
        if (name := first_not_finite(self.ema.module)) is not None or not rows:
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
            self.transfer = start_from(self.network, str(self.config.init))
            self._normalise_by(self.transfer.mean, self.transfer.std)
        return self.transfer

    def _normalise_by(self, mean: Rgb, std: Rgb) -> None:
        self._before = replace(self._before or self.spec, mean=mean, std=std)
        self.normalise = self.task.normalise = Normalise(self.spec).to(self.device)

    def run(self, *, resume: bool = False, on_step: OnStep | None = None, on_epoch: OnEpoch | None = None) -> Trained:
        """Train until ``config.epochs`` are done.

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
        with held(config.folder, resume=resume), settings_of_a_run(config.threads, self.device):
            if not resume:
                self.begin()
            history = History(config.folder, self.resume() if resume else ())
            config.write(config.folder / CONFIG_FILE)
            try:
                with closing(self._supply()) as supply:
                    while self.epoch < config.epochs:
                        row = self._train_and_keep(supply, history, on_step)
                        if on_epoch:
                            on_epoch(row)
            except (MemoryError, RuntimeError) as error:
                if isinstance(error, RuntimeError) and (told := ended_process(error)) is not None:
                    raise told from None
                if not _is_out_of_memory(error):
                    raise
                raise DeviceError(
                    f"{self.device} has not enough memory for batches of {config.batch_size}",
                    "Set a smaller batch_size, or smaller crop_height and crop_width",
                ) from None
            finally:
                history.close()
                if self.teacher is not None:
                    self.teacher.close()
        last = history.rows[-1]
        classes = int(last.get("val_classes", self.dataset.num_classes))  # older runs have not counted them
        miou = last.get("val_miou", float("nan"))
        return Trained(config.folder / MODEL_FILE, config.folder / BEST_FILE, miou, self.best_miou, classes)

    def _train_and_keep(self, supply: Supply, history: History, on_step: OnStep | None) -> Row:
        """One epoch, and all that is written after it."""
        started = time.monotonic()
        try:
            losses, rate = self._train_epoch(supply, on_step)
        except NotFiniteError as error:
            raise self._diverged(f"the loss is {error.value} at step {error.step} of epoch {self.epoch + 1}") from None
        for network in (self.network, self.averaged_network):
            if (name := first_not_finite(network)) is not None:
                raise self._diverged(f"weights are no finite numbers after epoch {self.epoch + 1} ({name})")
        done = self.epoch + 1
        row: Row = {"epoch": done, "learning_rate": rate, "train_loss": losses.mean()}
        row.update({f"loss_{name}": value for name, value in losses.mean_terms().items()})
        if done == self.config.epochs or done % self.config.eval_every == 0:
            row.update(self._evaluate())
        row["seconds"] = time.monotonic() - started
        history.add(row)
        self._save(done, history.rows)
        self.epoch = done
        if "val_miou" in row:
            history.plot()
        return row

    def _diverged(self, what: str) -> DivergedError:
        config, folder = self.config, self.config.folder
        kept = f"; {folder / RESUME_FILE} is the state after epoch {self.epoch}" if self.epoch else ""
        remedies = [f"a learning_rate below {config.learning_rate:g}"]
        if self.mixed:
            remedies.append("amp off")
        start = f"init {folder / MODEL_FILE}" if (folder / MODEL_FILE).exists() and not config.qat else ""
        return DivergedError(
            f"{what}, so that nothing more can be learned{kept}",
            f"Train into another output with {' or '.join(remedies)}" + (f", starting from {start}" if start else ""),
        )

    def _train_epoch(self, supply: Supply, on_step: OnStep | None) -> tuple[EpochLosses, float]:
        """The losses, all looked at, and the last learning rate of one epoch."""
        steps = len(supply)
        total, warmup = self.config.epochs * steps, int(self.config.warmup_epochs * steps)
        if self.rounding is not None:
            done = self.epoch / self.config.epochs
            self.rounding.freeze(statistics=done >= FREEZE_STATISTICS, ranges=done >= FREEZE_RANGES)
        self.network.train()
        self._freeze()
        # All randomness of an epoch follows from seed and epoch: a resumed run needs no generator's state.
        seed = self.config.seed * 1_000_003 + self.epoch
        torch.manual_seed(seed)
        losses = EpochLosses(steps_between_looks(self.device.type))
        rate = 0.0
        for step, (batch, views) in enumerate(supply.epoch(seed)):
            done_steps = self.epoch * steps + step
            factor = learning_rate_factor(self.config.schedule, done_steps, warmup, total)
            unlabelled_factor = ramp_up_factor(done_steps, int(self.config.unlabelled_ramp * steps))
            rate = self.config.learning_rate * factor
            for group in self.optimizer.param_groups:
                group["lr"] = rate * group.get("rate", 1.0)
            try:
                losses.add(*self._step(batch, views, unlabelled_factor))
            except FloatingPointError:
                losses.look()
                raise NotFiniteError(step + 1, float("nan")) from None
            if on_step:
                on_step(self.epoch + 1, step + 1, steps, losses.latest)
        losses.look()
        return losses, rate

    def _step(
        self, batch: tuple[Tensor, ...], views: Views | None, unlabelled_factor: float
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """One step; its loss, and the terms of that."""
        images, labels, *taught = (x.to(self.device, non_blocking=True) for x in batch)
        soft = self.teacher(images, *taught) if self.teacher is not None else None
        unlabelled = None
        if views is not None:
            weight = unlabelled_factor * self.config.unlabelled_weight
            unlabelled = self._pseudo_labels(views, self.device, weight)
        losses: dict[str, Tensor] = self.task(images, labels, soft, unlabelled)
        loss = torch.stack([*losses.values()]).sum()
        self.optimizer.zero_grad(set_to_none=True)
        self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.ema.update_parameters(self.network)
        return loss.detach(), losses

    @torch.no_grad()
    def _evaluate(self) -> Row:
        """Measure the averaged weights and keep them: model.pt always, best.pt when better than before.

        As ``edgeseg eval`` does: one picture after the other, in float32, at the label file's own size.
        """
        network = self.averaged_network.eval()
        spec = self.spec

        def measured(index: int) -> tuple[LabelsU8, LabelsU8]:
            logits = self._logits(network, self.val_set[index][0], spec)
            labels = self.val_set.file_labels(index)
            placement = spec.place((labels.shape[0], labels.shape[1]))
            return labels, placed_labels(logits, placement, self.config.threads)

        confusion = ConfusionMatrix.of(self.dataset.num_classes, map(measured, range(len(self.val_set))))
        self.confusion = confusion
        miou = confusion.miou()
        classes = int(np.isfinite(confusion.iou()).sum())
        # What a network says with the rounding of INT8 is no figure of the float weights in its checkpoint.
        spec = spec.with_metrics(**{"val_miou" if self.rounding is None else ROUNDED_MIOU: miou})
        if classes < self.dataset.num_classes:
            spec = spec.with_metrics(val_classes=classes)
        self._keep(MODEL_FILE, network, spec)
        plot_confusion(confusion.matrix, spec.class_names, self.config.folder / CONFUSION_FILE)
        if miou > self.best_miou:
            self.best_miou = miou
            self._keep(BEST_FILE, network, spec)
        return {"val_miou": miou, "val_classes": float(classes), "val_pixel_accuracy": confusion.pixel_accuracy()}

    def _logits(self, network: Network, image: Tensor, spec: ModelSpec) -> NDArray[np.float32]:
        """(1, C, h, w) float32 of one (3, H, W) uint8 picture."""

        def infer(images: NDArray[np.uint8]) -> NDArray[np.float32]:
            pixels = torch.from_numpy(images).permute(0, 3, 1, 2)
            logits: NDArray[np.float32] = network(self._inputs(pixels)).float().cpu().numpy()
            return logits

        canvas: ImageU8 = image.permute(1, 2, 0).numpy()
        if spec.fit != "tile":
            return infer(canvas[np.newaxis])
        return np.asarray(infer_tiles(infer, canvas, spec), dtype=np.float32)[np.newaxis]

    def _keep(self, name: str, network: Network, spec: ModelSpec) -> None:
        if self.rounding is None:
            save_network(self.config.folder / name, network, spec)
        else:
            assert isinstance(network, type(self.rounding))
            save_learned(self.config.folder / name, network, spec, self.config.qat_target)

    @property
    def averaged_network(self) -> Network:
        """The network with the moving average of the weights."""
        network = self.ema.module
        assert isinstance(network, Network)
        return network

    def _check_classes(self, spec: ModelSpec) -> None:
        if spec.class_names != self.dataset.names:
            raise InputError(
                f"{self.config.qat} has other classes than {self.dataset.path}",
                "Pass the data it was trained on, or train without qat first",
            )

    def _round(self) -> FakeQuantized:
        """The network with the rounding of INT8, whose first ranges are those that training images reach."""
        from edgeseg.train.fake_quantize import FakeQuantized

        rounding = FakeQuantized(self.network, self.config.qat_target, self.config.input_size)
        count = min(CALIBRATION_IMAGES, len(self.train_set))
        chosen = torch.linspace(0, len(self.train_set) - 1, count).round().long()
        try:
            rounding.calibrate(self._inputs(self._one_input(int(index)).unsqueeze(0)) for index in chosen)
        except FloatingPointError:
            raise ModelError(
                f"{self.config.qat} does not return finite numbers for the training images", "Train it again"
            ) from None
        return rounding

    def _one_input(self, index: int) -> Tensor:
        """(3, H, W) uint8 RGB at the input size: a training image, or one of its tiles."""
        image, spec = self.train_set[index][0], self.spec
        tiles = tiles_of((image.shape[1], image.shape[2]), spec.input_size, spec.cell)
        return image[tiles[index % len(tiles)].planes]

    def _inputs(self, images: Tensor) -> Tensor:
        """(N, 3, H, W) uint8 RGB to what the network takes, on its device."""
        pixels = self.normalise(images.to(self.device, non_blocking=True))
        return pixels.contiguous(memory_format=torch.channels_last)  # type: ignore[no-any-return]

    def _parameter_groups(self) -> list[dict[str, object]]:
        """Weights decay, biases and what normalises do not; the backbone has a learning rate of its own."""
        config = self.config
        backbone = self._backbone
        inner = [*backbone.parameters()] if backbone is not None and config.backbone_rate != 1 else []
        own = {id(p) for p in inner}
        outer = [p for p in self.task.parameters() if id(p) not in own]
        return [
            {"params": params, "weight_decay": decay, "rate": rate}
            for parameters, rate in ((outer, 1.0), (inner, config.backbone_rate))
            for params, decay in (
                ([p for p in parameters if p.ndim > 1], config.weight_decay),
                ([p for p in parameters if p.ndim <= 1], 0.0),
            )
            if params
        ]

    @property
    def _backbone(self) -> nn.Module | None:
        backbone = getattr(self.network, "backbone", None)
        return backbone if isinstance(backbone, nn.Module) else None

    def _freeze(self) -> None:
        """Leave as it is what is not trained in this epoch."""
        backbone = self._backbone
        if backbone is None:
            return
        frozen = self.epoch < self.config.freeze_backbone
        backbone.requires_grad_(not frozen)
        if frozen or self.config.freeze_bn:
            for module in backbone.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.eval()

    def _save(self, epoch: int, rows: list[Row]) -> None:
        save_state(
            self.config.folder,
            self.config,
            epoch,
            {
                "network": self.network.state_dict(),
                "ema": self.ema.state_dict(),
                "heads": self.task.heads.state_dict() if self.task.heads is not None else {},
                "optimizer": self.optimizer.state_dict(),
                "scaler": self.scaler.state_dict(),
                "best_miou": self.best_miou,
                "normalisation": (self.spec.mean, self.spec.std),
                "history": rows,
            },
        )


def _is_out_of_memory(error: Exception) -> bool:
    """PyTorch has a class of its own for GPUs, and for the CPU but words."""
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or "DefaultCPUAllocator" in str(error)


def _printable(name: str) -> str:
    """A folder's name where it is no Unicode or holds what would reach the terminal: with a mark in that place."""
    text = os.fsencode(name).decode("utf-8", "replace")
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in text)
