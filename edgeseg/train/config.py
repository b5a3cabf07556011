"""TrainConfig: every choice of a training run in one flat value; flags, YAML keys and attributes share their names."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import numbers
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import yaml

from edgeseg.errors import InputError, SpecError
from edgeseg.files.documents import read_yaml
from edgeseg.files.whole import write_whole
from edgeseg.spec.model_spec import NetworkArgs, checked_args

Schedule = Literal["poly", "cosine"]
ClassWeights = Literal["log", "none"]
Amp = Literal["auto", "on", "off"]
QatTarget = Literal["cpu", "tensorrt"]

OLD_NAMES = {"schedule": {"one-cycle": "cosine"}}
"""Values that runs of earlier versions are recorded with, and what they are called now."""

_POSITIVE = ("height", "width", "epochs", "batch_size", "learning_rate", "loss_stride", "eval_every", "scale_min")
_NOT_NEGATIVE = (
    *("crop_height", "crop_width", "weight_decay", "warmup_epochs", "dice_weight", "aux_weight"),
    *("synthetic_scenes", "seed", "threads"),
)
_CHOICES = {"schedule": Schedule, "class_weights": ClassWeights, "amp": Amp, "qat_target": QatTarget}
_LARGEST = {"seed": (1 << 32) - 1, "threads": 1024}


@dataclass(frozen=True)
class TrainConfig:
    """The recipe.

    Attributes:
        data: dataset.yaml, or the folder that holds it; kept as a Path.
        output: folder for checkpoints, metrics and pictures; kept as a Path. It must not be or hold the data.
        network: name in ``edgeseg.models.registry``.
        network_args: arguments of that network's own by their names, such as ``{"width": 0.5}``; also as text,
            ``width=0.5``, as flags give them.
        weights: a checkpoint to start from instead of random weights; layers of another shape, such as the classifier
            for other classes, start afresh. Kept as text, empty for none.
        qat: a checkpoint to train on with the rounding of INT8 instead, of this network and size. Kept as text, empty
            for none.
        qat_target: the artifact whose rounding that is, as of ``edgeseg quantize``.
        train_split, val_split: names of splits in the dataset.
        height, width: pixels that images are resized to, and that the model will take.
        crop_height, crop_width: pixels of the training crops; 0 means the whole height or width. Smaller ones are
            quicker, but a network that pools over the whole picture then sees at work what it was not trained on.
        epochs: passes over the training split.
        batch_size: images a step.
        learning_rate: peak learning rate of AdamW.
        weight_decay: of AdamW; normalisation layers and biases are left out.
        schedule: ``poly`` (power 0.9) or ``cosine`` (half a period), both after a linear warm-up. ``one-cycle`` is an
            older name of the latter.
        warmup_epochs: epochs from a hundredth of the learning rate to all of it.
        scale_min, scale_max: range of the random zoom, log-uniform.
        aspect: largest ratio by which width and height are stretched against each other, log-uniform from 1/aspect.
        color_jitter: largest relative change of brightness, contrast and saturation; hue, gamma and white balance
            change with it, see :func:`edgeseg.train.augment.jitter_color`.
        class_weights: ``log``: 1 / ln(1.10 + frequency), ENet's form with a milder constant; ``none``: all 1.
        ohem_threshold: online hard example mining keeps pixels whose true class has less than this probability;
            1 keeps all.
        dice_weight: weight of the Dice loss beside the cross-entropy; 0 trains without it.
        aux_weight: weight of the loss of each auxiliary head; 0 trains without them.
        loss_stride: the main loss is taken at every so many-th pixel of each row and column.
        ema_decay: decay per step of the exponential moving average of the weights, which is what is kept.
        synthetic_scenes: rendered street scenes added to the training split (CamVid's classes only).
        eval_every: epochs between evaluations on the validation split; the last epoch is always evaluated.
        seed: of weights, order and augmentation.
        device: ``auto``, ``cpu``, ``cuda``, …
        amp: mixed precision; ``auto`` is on where the device is a GPU, ``qat`` excepted.
        threads: CPU threads; 0 for all cores that this process may use.

    Raises:
        InputError: a value of another kind or out of range.
    """

    data: str | Path
    output: str | Path = Path("runs/train")
    network: str = "fast_scnn"
    network_args: NetworkArgs = dataclasses.field(default_factory=dict)
    weights: str | Path | None = ""
    qat: str | Path | None = ""
    qat_target: QatTarget = "cpu"
    train_split: str = "train"
    val_split: str = "val"
    height: int = 360
    width: int = 480
    crop_height: int = 0
    crop_width: int = 0
    epochs: int = 200
    batch_size: int = 8
    learning_rate: float = 1e-3
    weight_decay: float = 0.01
    schedule: Schedule = "poly"
    warmup_epochs: float = 3.0
    scale_min: float = 0.5
    scale_max: float = 2.0
    aspect: float = 1.2
    color_jitter: float = 0.2
    class_weights: ClassWeights = "log"
    ohem_threshold: float = 1.0
    dice_weight: float = 1.0
    aux_weight: float = 0.4
    loss_stride: int = 2
    ema_decay: float = 0.998
    synthetic_scenes: int = 0
    eval_every: int = 5
    seed: int = 0
    device: str = "auto"
    amp: Amp = "auto"
    threads: int = 0

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            object.__setattr__(self, field.name, _typed(getattr(self, field.name), field))
        for name in _POSITIVE:
            if not getattr(self, name) > 0:
                raise InputError(f"{name} is {getattr(self, name)}", "Give a positive number")
        for name in _NOT_NEGATIVE:
            if not getattr(self, name) >= 0:
                raise InputError(f"{name} is {getattr(self, name)}", "Give 0 or a positive number")
        for name, largest in _LARGEST.items():
            if getattr(self, name) > largest:
                raise InputError(f"{name} is {getattr(self, name)}", f"Give at most {largest}")
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in get_args(choices):
                raise InputError(f"{name} is {getattr(self, name)!r}", f"Use one of {', '.join(get_args(choices))}")
        self._check_ranges()

    def _check_ranges(self) -> None:
        if not self.scale_max >= self.scale_min or not self.aspect >= 1:
            raise InputError(
                f"scale_min {self.scale_min}, scale_max {self.scale_max} and aspect {self.aspect} span no range",
                "Keep scale_min <= scale_max and aspect >= 1",
            )
        if not 0 < self.ohem_threshold <= 1 or not 0 <= self.ema_decay < 1 or not 0 <= self.color_jitter < 1:
            raise InputError(
                f"ohem_threshold {self.ohem_threshold}, ema_decay {self.ema_decay} or color_jitter "
                f"{self.color_jitter} is outside 0..1",
                "Correct it",
            )
        if self.loss_stride > min(self.crop_size):
            raise InputError(
                f"loss_stride {self.loss_stride} is more than the crops' {min(self.crop_size)} pixels",
                "Give a smaller one",
            )
        if self.qat and (self.weights or self.amp == "on" or self.crop_size != self.input_size):
            raise InputError(
                "qat takes the weights of its own checkpoint, whole images and no mixed precision",
                "Leave out weights, crop_height, crop_width and amp",
            )

    @property
    def folder(self) -> Path:
        """``output``."""
        return Path(self.output)

    @property
    def input_size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return self.height, self.width

    @property
    def crop_size(self) -> tuple[int, int]:
        """(height, width) in pixels of training crops."""
        return self.crop_height or self.height, self.crop_width or self.width

    def save(self, path: Path) -> None:
        """Write as YAML that :func:`read_config` takes, complete or not at all.

        Raises:
            SinkError: the file cannot be written.
        """
        plain = {k: str(v) if isinstance(v, Path) else v for k, v in asdict(self).items()}
        plain["network_args"] = dict(self.network_args)
        write_whole(path, yaml.safe_dump(plain, sort_keys=False))


def read_config(path: Path) -> dict[str, Any]:
    """The keys of a YAML file, checked to be TrainConfig's and of its types, to be completed by flags.

    Raises:
        InputError: not there, not YAML, an unknown key, or a value of the wrong type.
    """
    raw = read_yaml(path)
    if not isinstance(raw, dict):
        raise InputError(f"{path} is not a mapping of keys to values", "Write one 'key: value' a line")
    fields = {field.name: field for field in dataclasses.fields(TrainConfig)}
    values: dict[str, Any] = {}
    for key, value in raw.items():
        if key not in fields:
            raise InputError(f"{path}: unknown key {key!r}", f"Allowed are {', '.join(sorted(fields))}")
        values[key] = _typed(value, fields[key], f"{path}: ")
    return values


def network_args(value: Any, where: str = "") -> NetworkArgs:
    """Arguments of a network from a mapping, or from text such as ``width=0.5,pool=true``.

    Raises:
        InputError: neither, or values that are no numbers, words or truth values.
    """
    if isinstance(value, str):
        pairs = [pair.partition("=") for pair in value.split(",") if pair.strip()]
        value = {name.strip(): _from_text(text.strip()) if equals else None for name, equals, text in pairs}
    try:
        return checked_args(value)
    except SpecError as error:
        raise InputError(f"{where}{error.what}", "Give name=value, several with commas between them") from None


def _from_text(text: str) -> bool | int | float | str:
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    for kind in (int, float):
        with contextlib.suppress(ValueError):
            return kind(text)
    return text


def _typed(value: Any, field: dataclasses.Field[Any], where: str = "") -> Any:
    """The value as its field keeps it.

    Raises:
        InputError: it is of another kind.
    """
    kind = str(field.type)
    if isinstance(value, bool):
        if kind == "Amp":
            return "on" if value else "off"
    elif kind == "int":
        if isinstance(value, numbers.Integral):
            return int(value)
    elif kind == "float":
        if isinstance(value, numbers.Real) and math.isfinite(value):
            return float(value)
    elif "Path" in kind:
        if value is None and "None" in kind:
            return ""
        if isinstance(value, str | os.PathLike) and "\0" not in str(value):
            return str(value) if "None" in kind else Path(value)
    elif kind == "NetworkArgs":
        return network_args(value, where)
    elif isinstance(value, str):
        return OLD_NAMES.get(field.name, {}).get(value, value)
    wanted = {"int": "a whole number", "float": "a finite number"}.get(kind, "a path" if "Path" in kind else "text")
    raise InputError(f"{where}{field.name} is {value!r}", f"Give {wanted}")
