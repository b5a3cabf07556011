"""TrainConfig: every choice of a training run in one flat value; flags, YAML keys and attributes share their names."""

from __future__ import annotations

import dataclasses
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import yaml

from edgeseg.errors import InputError

Schedule = Literal["poly", "one-cycle"]
ClassWeights = Literal["log", "none"]
Amp = Literal["auto", "on", "off"]
QatTarget = Literal["cpu", "tensorrt"]


@dataclass(frozen=True)
class TrainConfig:
    """The recipe.

    Attributes:
        data: dataset.yaml, or the folder that holds it.
        output: folder for checkpoints, metrics and pictures.
        network: name in ``edgeseg.models.registry``.
        weights: a checkpoint to start from instead of random weights; layers of another shape, such as the classifier
            for other classes, start afresh. Empty for none.
        qat: a checkpoint to train on with the rounding of INT8 instead, of this network and size. Empty for none.
        qat_target: the artifact whose rounding that is, as of ``edgeseg quantize``.
        train_split, val_split: names of splits in the dataset.
        height, width: pixels that images are resized to, and that the model will take.
        crop_height, crop_width: pixels of the training crops; 0 means the whole height or width. Smaller ones are
            quicker, but a network that pools over the whole picture then sees at work what it was not trained on.
        epochs: passes over the training split.
        batch_size: images a step.
        learning_rate: peak learning rate of AdamW.
        weight_decay: of AdamW; normalisation layers and biases are left out.
        schedule: ``poly`` (power 0.9) or ``one-cycle`` (cosine), both after a linear warm-up.
        warmup_epochs: epochs from a hundredth of the learning rate to all of it.
        scale_min, scale_max: range of the random zoom, log-uniform.
        aspect: largest ratio by which width and height are stretched against each other, log-uniform from 1/aspect.
        color_jitter: largest relative change of brightness, contrast and saturation; hue takes a tenth of it.
        class_weights: ``log``: 1 / ln(1.10 + frequency), as in ENet; ``none``: all 1.
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
        amp: mixed precision; ``auto`` is on where the device is a GPU.
        threads: CPU threads; 0 leaves it to torch.
    """

    data: Path
    output: Path = Path("runs/train")
    network: str = "fast_scnn"
    weights: str = ""
    qat: str = ""
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
        positive = (
            "height",
            "width",
            "epochs",
            "batch_size",
            "learning_rate",
            "loss_stride",
            "eval_every",
            "scale_min",
        )
        for name in positive:
            if not getattr(self, name) > 0:
                raise InputError(f"{name} is {getattr(self, name)}", "Give a positive number")
        not_negative = (
            "crop_height",
            "crop_width",
            "weight_decay",
            "warmup_epochs",
            "dice_weight",
            "aux_weight",
            "synthetic_scenes",
            "seed",
            "threads",
        )
        for name in not_negative:
            if not getattr(self, name) >= 0:
                raise InputError(f"{name} is {getattr(self, name)}", "Give 0 or a positive number")
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
        literals = (
            ("schedule", Schedule),
            ("class_weights", ClassWeights),
            ("amp", Amp),
            ("qat_target", QatTarget),
        )
        for name, choices in literals:
            if getattr(self, name) not in get_args(choices):
                raise InputError(f"{name} is {getattr(self, name)!r}", f"Use one of {', '.join(get_args(choices))}")

    @property
    def input_size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return self.height, self.width

    @property
    def crop_size(self) -> tuple[int, int]:
        """(height, width) in pixels of training crops."""
        return self.crop_height or self.height, self.crop_width or self.width

    def save(self, path: Path) -> None:
        """Write as YAML that :func:`read_config` takes."""
        plain = {k: str(v) if isinstance(v, Path) else v for k, v in asdict(self).items()}
        path.write_text(yaml.safe_dump(plain, sort_keys=False), encoding="utf-8")


def read_config(path: Path) -> dict[str, Any]:
    """The keys of a YAML file, checked to be TrainConfig's and of its types, to be completed by flags.

    Raises:
        InputError: not there, not YAML, an unknown key, or a value of the wrong type.
    """
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror})", "Correct the path") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not YAML ({' '.join(str(error).split())})", "Correct it") from None
    if not isinstance(raw, dict):
        raise InputError(f"{path} is not a mapping of keys to values", "Write one 'key: value' a line")
    types = {f.name: str(f.type) for f in dataclasses.fields(TrainConfig)}
    values: dict[str, Any] = {}
    for key, value in raw.items():
        if key not in types:
            raise InputError(f"{path}: unknown key {key!r}", f"Allowed are {', '.join(sorted(types))}")
        values[key] = _typed(value, types[key], f"{path}: {key}")
    return values


def _typed(value: Any, type_name: str, where: str) -> Any:
    if type_name == "Amp" and isinstance(value, bool):
        return "on" if value else "off"  # YAML takes a bare on or off for a truth value
    if type_name == "int" and isinstance(value, int) and not isinstance(value, bool):
        return value
    if type_name == "float" and isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    if type_name == "Path" and isinstance(value, str):
        return Path(value)
    if type_name not in ("int", "float", "Path") and isinstance(value, str):
        return value
    wanted = {"int": "a whole number", "float": "a number"}.get(type_name, "text")
    raise InputError(f"{where} is {value!r}", f"Give {wanted}")
