"""The training loop: an epoch is a pure function of the state before it, so a resumed run follows the same curve."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel
from torch.utils.data import ConcatDataset, DataLoader

from edgeseg.dataset import Dataset
from edgeseg.errors import DatasetError, InputError, ModelError, SinkError
from edgeseg.metrics import ConfusionMatrix
from edgeseg.models.blocks import resize
from edgeseg.models.checkpoint import load_network, save_network
from edgeseg.models.network import Network, count_macs, count_parameters
from edgeseg.models.normalise import Normalise
from edgeseg.models.registry import build
from edgeseg.spec import ModelSpec
from edgeseg.train.augment import Augmented
from edgeseg.train.checkpoint import RESUME_FILE, load_state, save_state
from edgeseg.train.config import TrainConfig
from edgeseg.train.data import Pair, SplitTensors, SyntheticTensors, class_frequencies
from edgeseg.train.ema import warm_ema
from edgeseg.train.history import History, Row, plot_confusion
from edgeseg.train.losses import SegmentationLoss, log_class_weights
from edgeseg.train.qat import CALIBRATION_IMAGES, FREEZE_RANGES, FREEZE_STATISTICS, begin, save_learned
from edgeseg.train.schedule import learning_rate_factor

if TYPE_CHECKING:
    from edgeseg.train.fake_quantize import FakeQuantized

MODEL_FILE = "model.pt"
BEST_FILE = "best.pt"

OnStep = Callable[[int, int, int, float], None]
"""Called after each step with epoch, step of the epoch, steps per epoch and the step's loss."""

OnEpoch = Callable[[Row], None]
"""Called after each epoch with its row of the history."""


@dataclass(frozen=True)
class Trained:
    """What a finished run has made.

    Attributes:
        model: the averaged weights of the last epoch, with their spec.
        best: those of the evaluation with the highest validation mIoU; beware of choosing on what you report.
        miou: validation mIoU of ``model``, a fraction of 1.
        best_miou: that of ``best``.
    """

    model: Path
    best: Path
    miou: float
    best_miou: float


class AuxiliaryHeads(nn.Module):
    """One linear head per tap of a network, for training alone: the features themselves must tell classes apart."""

    def __init__(self, network: Network, num_classes: int) -> None:
        super().__init__()
        self.heads = nn.ModuleList(
            nn.Sequential(nn.Dropout(0.1), nn.Conv2d(channels, num_classes, 1)) for channels in network.tap_channels
        )

    def forward(self, taps: tuple[Tensor, ...]) -> list[Tensor]:
        """Logits (N, classes, h, w) of each tap."""
        return [head(tap) for head, tap in zip(self.heads, taps, strict=True)]


class Trainer:
    """All state of a run. :meth:`run` trains to the end; killed, it can be resumed from the last whole epoch."""

    def __init__(self, config: TrainConfig) -> None:
        self.config = config
        self.device = _device(config.device)
        if config.threads:
            torch.set_num_threads(config.threads)
        torch.manual_seed(config.seed)
        self.dataset = Dataset.load(config.data)
        self.train_set = SplitTensors(self.dataset, config.train_split, config.input_size)
        self.val_set = SplitTensors(self.dataset, config.val_split, config.input_size)
        scenes = SyntheticTensors(self.dataset, config.synthetic_scenes, config.input_size, config.seed)
        num_classes = self.dataset.num_classes
        self._float_spec: ModelSpec | None = None
        if config.qat:
            self.network, self._float_spec = begin(config)
            self._check_classes(self._float_spec)
        else:
            self.network = build(config.network, num_classes)
        self.network.to(self.device)
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs forget it
        self.network.check_size(config.input_size)
        self.network.check_size(config.crop_size)
        self._figures = {
            "parameters": count_parameters(self.network),
            "macs": count_macs(self.network, config.input_size),
        }
        self.normalise = Normalise(self.spec).to(self.device)
        self.rounding = self._round() if config.qat else None
        if self.rounding is not None:
            self.network = self.rounding
        self.heads = AuxiliaryHeads(self.network, num_classes).to(self.device) if config.aux_weight else None
        self.ema = AveragedModel(self.network, multi_avg_fn=warm_ema(config.ema_decay), use_buffers=True)
        frequencies = class_frequencies(self.train_set, num_classes)
        class_frequencies(self.val_set, num_classes)  # a file that cannot be used is found now, not epochs later
        weights = log_class_weights(frequencies) if config.class_weights == "log" else torch.ones(num_classes)
        self.loss = SegmentationLoss(
            weights,
            ohem_threshold=config.ohem_threshold,
            dice_weight=config.dice_weight,
            aux_weight=config.aux_weight,
            stride=config.loss_stride,
        )
        self.loss.to(self.device)
        self.optimizer = torch.optim.AdamW(self._parameter_groups(), lr=config.learning_rate)
        half = torch.bfloat16 if self.device.type == "cpu" or torch.cuda.is_bf16_supported() else torch.float16
        self.autocast = torch.autocast(
            self.device.type,
            half,
            enabled=config.amp == "on" or (config.amp == "auto" and self.device.type != "cpu" and not config.qat),
        )
        self.scaler = torch.amp.GradScaler(
            self.device.type, enabled=half is torch.float16 and self.device.type == "cuda"
        )
        samples: ConcatDataset[Pair] = ConcatDataset([self.train_set, *([scenes] if len(scenes) else [])])
        if min(config.batch_size, len(samples)) < 2:
            raise DatasetError(
                f"batches of one image cannot train batch normalisation ({len(samples)} images)", "Use at least 2"
            )
        self.loader: DataLoader[Pair] = DataLoader(
            Augmented(samples, len(samples), config),
            batch_size=min(config.batch_size, len(samples)),
            shuffle=True,
            drop_last=True,
            num_workers=0 if self.train_set.cached else max(1, (torch.get_num_threads() + 1) // 2),
            pin_memory=self.device.type == "cuda",
        )
        self.epoch = 0
        self.best_miou = -1.0

    @property
    def spec(self) -> ModelSpec:
        """The ModelSpec of the network in training."""
        spec = ModelSpec(
            network=self.config.network,
            class_names=self.dataset.names,
            colors=self.dataset.colors,
            input_size=self.config.input_size,
            stride=self.network.stride,
            label_ignore_index=self.dataset.coding.ignore_index,
            data=f"{self.dataset.path.parent.name}, split {self.config.train_split}",
            metrics=self._figures,
        )
        before = self._float_spec
        return spec if before is None else replace(spec, mean=before.mean, std=before.std, license=before.license)

    def resume(self) -> list[Row]:
        """Load the state of ``config.output`` and return the rows of its history."""
        state = load_state(self.config.output, self.config)
        try:
            self.network.load_state_dict(state["network"])
            self.ema.load_state_dict(state["ema"])
            if self.heads is not None:
                self.heads.load_state_dict(state["heads"])
            self.optimizer.load_state_dict(state["optimizer"])
        except RuntimeError:
            raise ModelError(
                f"{self.config.output / RESUME_FILE} has not the {self.dataset.num_classes} classes of "
                f"{self.dataset.path}",
                "Resume with the dataset of the run, or start anew in another --output",
            ) from None
        self.scaler.load_state_dict(state["scaler"])
        self.epoch = state["epoch"]
        self.best_miou = state["best_miou"]
        rows: list[Row] = state["history"]
        return rows

    def run(self, *, resume: bool = False, on_step: OnStep | None = None, on_epoch: OnEpoch | None = None) -> Trained:
        """Train until ``config.epochs`` are done.

        Raises:
            DatasetError: a file of the dataset cannot be used.
            ModelError: nothing to resume, or of another recipe.
            InputError: the output folder holds another run.
            SinkError: the output folder cannot be made.
        """
        folder = self.config.output
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SinkError(
                f"the folder {folder} cannot be made ({error.strerror})", "Choose another --output"
            ) from None
        if not resume and (folder / RESUME_FILE).exists():
            raise InputError(f"{folder} holds a training run", "Continue it with --resume, or choose another --output")
        if self.config.weights and not resume:
            start_from(self.network, Path(self.config.weights))
        history = History(folder, self.resume() if resume else ())
        self.config.save(folder / "config.yaml")
        spec = self.spec
        try:
            while self.epoch < self.config.epochs:
                started = time.monotonic()
                loss, rate = self._train_epoch(on_step)
                self.epoch += 1
                row: Row = {"epoch": self.epoch, "learning_rate": rate, "train_loss": loss}
                last = self.epoch == self.config.epochs
                if last or self.epoch % self.config.eval_every == 0:
                    row.update(self._evaluate(spec))
                row["seconds"] = time.monotonic() - started
                history.add(row)
                self._save(history.rows)
                if "val_miou" in row:
                    history.plot()
                if on_epoch:
                    on_epoch(row)
        finally:
            history.close()
        return Trained(folder / MODEL_FILE, folder / BEST_FILE, history.rows[-1]["val_miou"], self.best_miou)

    def _train_epoch(self, on_step: OnStep | None) -> tuple[float, float]:
        """Mean loss and last learning rate of one epoch."""
        # All randomness of an epoch follows from seed and epoch: a resumed run needs no generator's state.
        torch.manual_seed(self.config.seed * 1_000_003 + self.epoch)
        steps = len(self.loader)
        total, warmup = self.config.epochs * steps, int(self.config.warmup_epochs * steps)
        if self.rounding is not None:
            done = self.epoch / self.config.epochs
            self.rounding.freeze(statistics=done >= FREEZE_STATISTICS, ranges=done >= FREEZE_RANGES)
        self.network.train()
        losses: list[Tensor] = []
        rate = 0.0
        for step, (images, labels) in enumerate(self.loader):
            factor = learning_rate_factor(self.config.schedule, self.epoch * steps + step, warmup, total)
            rate = self.config.learning_rate * factor
            for group in self.optimizer.param_groups:
                group["lr"] = rate
            losses.append(self._step(images, labels))
            if on_step:
                on_step(self.epoch + 1, step + 1, steps, float(losses[-1]))
        return float(torch.stack(losses).mean()), rate

    def _step(self, images: Tensor, labels: Tensor) -> Tensor:
        labels = labels.to(self.device, non_blocking=True).long()
        with self.autocast:
            logits, taps = self.network.features(self._inputs(images))
            aux = self.heads(taps) if self.heads is not None else []
        loss: Tensor = self.loss(logits, aux, labels)
        self.optimizer.zero_grad(set_to_none=True)
        self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.ema.update_parameters(self.network)
        return loss.detach()

    @torch.no_grad()
    def _evaluate(self, spec: ModelSpec) -> Row:
        """Evaluate the averaged weights and keep them: model.pt always, best.pt when better than before."""
        network = self.averaged_network.eval()
        confusion = ConfusionMatrix(self.dataset.num_classes)
        for images, labels in DataLoader(self.val_set, batch_size=self.config.batch_size):
            with self.autocast:
                logits = network(self._inputs(images))
            predictions = resize(logits.float(), self.config.input_size).argmax(dim=1).to(torch.uint8)
            confusion.update(labels.numpy(), predictions.cpu().numpy())
        miou = confusion.miou()
        spec = spec.with_metrics(val_miou=miou)
        self._keep(MODEL_FILE, network, spec)
        plot_confusion(confusion.matrix, spec.class_names, self.config.output / "confusion.png")
        if miou > self.best_miou:
            self.best_miou = miou
            self._keep(BEST_FILE, network, spec)
        return {"val_miou": miou, "val_pixel_accuracy": confusion.pixel_accuracy()}

    def _keep(self, name: str, network: Network, spec: ModelSpec) -> None:
        if self.rounding is None:
            save_network(self.config.output / name, network, spec)
        else:
            assert isinstance(network, type(self.rounding))
            save_learned(self.config.output / name, network, spec, self.config.qat_target)

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
                "Pass the data it was trained on, or train without --qat first",
            )

    def _round(self) -> FakeQuantized:
        """The network with the rounding of INT8, whose first ranges are those that training images reach."""
        from edgeseg.train.fake_quantize import FakeQuantized

        rounding = FakeQuantized(self.network, self.config.qat_target, self.config.input_size)
        count = min(CALIBRATION_IMAGES, len(self.train_set))
        chosen = torch.linspace(0, len(self.train_set) - 1, count).round().long()
        rounding.calibrate(self._inputs(self.train_set[int(index)][0].unsqueeze(0)) for index in chosen)
        return rounding

    def _inputs(self, images: Tensor) -> Tensor:
        """(N, 3, H, W) uint8 RGB to what the network takes, on its device."""
        pixels = self.normalise(images.to(self.device, non_blocking=True))
        return pixels.contiguous(memory_format=torch.channels_last)  # type: ignore[no-any-return]

    def _parameter_groups(self) -> list[dict[str, object]]:
        modules = [self.network, *([self.heads] if self.heads is not None else [])]
        parameters = [p for module in modules for p in module.parameters()]
        return [
            {"params": [p for p in parameters if p.ndim > 1], "weight_decay": self.config.weight_decay},
            {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
        ]

    def _save(self, rows: list[Row]) -> None:
        save_state(
            self.config.output,
            self.config,
            self.epoch,
            {
                "network": self.network.state_dict(),
                "ema": self.ema.state_dict(),
                "heads": self.heads.state_dict() if self.heads is not None else {},
                "optimizer": self.optimizer.state_dict(),
                "scaler": self.scaler.state_dict(),
                "best_miou": self.best_miou,
                "history": rows,
            },
        )


def start_from(network: Network, checkpoint: Path) -> None:
    """Give a network the weights of a checkpoint wherever the shapes agree.

    Raises:
        ModelError: no such checkpoint, or one of another architecture.
    """
    trained, spec = load_network(checkpoint)
    if type(trained) is not type(network):
        raise ModelError(f"{checkpoint} is a {spec.network}, which this network cannot start from", "Set --network")
    shapes = {name: value.shape for name, value in network.state_dict().items()}
    fitting = {name: value for name, value in trained.state_dict().items() if value.shape == shapes[name]}
    network.load_state_dict(fitting, strict=False)


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise InputError(
            f"device {name!r} cannot be used ({str(error).splitlines()[0]})", "Use --device auto"
        ) from None
    return device
