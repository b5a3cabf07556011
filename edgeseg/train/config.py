"""TrainConfig: every choice of a training run in one flat value; flags, YAML keys and attributes share their names."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from edgeseg.errors import InputError, SpecError
from edgeseg.settings import Settings, setting
from edgeseg.spec.int8 import Int8Target
from edgeseg.spec.model_spec import MOST_TILE_SCALE, NetworkArgs, checked_args
from edgeseg.spec.placement import PictureFit
from edgeseg.train.duration import seconds_of
from edgeseg.train.losses.registry import LOSSES, parse_losses

Schedule = Literal["poly", "cosine"]
ClassWeights = Literal["log", "none"]
Flip = Literal["none", "horizontal", "both"]
Amp = Literal["auto", "on", "off"]
Compile = Literal["auto", "on", "off"]

_RECIPE, _RUN, _QAT = "Recipe", "Run", "Quantization-aware training"
_TEACHING = "Beyond the labels"


def _network_args(value: Any, name: str) -> NetworkArgs:
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
        what = error.what.removeprefix("network_args ")
        raise InputError(f"{name}: {what}", "Give name=value, several with commas between them") from None


def _from_text(text: str) -> bool | int | float | str:
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    for kind in (int, float):
        with contextlib.suppress(ValueError):
            return kind(text)
    return text


@dataclass(frozen=True)
class TrainConfig(Settings):
    """The recipe.

    Attributes:
        data: dataset.yaml, or the folder of a data set; kept as a Path.
        format: how the data set lies, one of ``DATASET_FORMATS``; empty for what its dataset.yaml says or the folder
            looks like.
        output: folder for checkpoints, metrics and pictures; kept as a Path. It must not be or hold the data.
        network: name in ``edgeseg.models.registry``.
        network_args: arguments of that network's own by their names, such as ``{"width": 0.5}``; also as text,
            ``width=0.5``, as flags give them.
        init: what to start from instead of random weights: the name of the network's backbone, for those of ImageNet,
            or a file: a checkpoint, also of other classes, or a backbone's weights as another trainer saved them. Kept
            as text, empty for none; see :func:`edgeseg.train.transfer.start_from`.
        backbone_rate: the learning rate of the backbone, as a factor of that of all else.
        freeze_backbone: epochs in which the backbone stays as it is, at the beginning.
        freeze_bn: the means and variances of the backbone's batch normalisation stay as they are.
        crf_rnn: train the network through a dense CRF behind it, and the CRF's weights and compatibility with it (Zheng
            2015, arXiv:1502.03240). They begin as those in ``init``, if ``edgeseg tune-crf`` has fitted some to it at
            this size, and become those of the model, for ``refine crf``.
        qat: a checkpoint to train on with the rounding of INT8 instead, of this network and size. Kept as text, empty
            for none.
        qat_target: the artifact whose rounding that is, as of ``edgeseg quantize``.
        teacher: a model to learn from beside the labels: a shipped one's name, a file, or a folder that
            ``edgeseg data predict`` wrote, with the dataset's classes in any order, or more. Kept as text, empty for
            none. Where ``loss`` does not name ``distil``, that is added to it.
        unlabelled: a folder of images, or a video, to learn from without labels. Kept as text, empty for none.
        tagged_split: a split of the dataset whose pictures have tags in place of labels, to learn from; empty for none.
        unlabelled_ratio: pictures without labels (unlabelled and tagged ones together) in a step, for each with.
        unlabelled_weight: of what is lost on them.
        unlabelled_ramp: epochs until that has its whole weight.
        unlabelled_jitter: as ``color_jitter``, of the views that are learned from.
        confidence: their pixels are labelled where the averaged network gives a class at least this probability.
        train_split, val_split: names of splits in the dataset.
        height, width: pixels that images are resized to, and that the model will take.
        fit: how images of another shape come there, in training and wherever the model runs, see
            :mod:`edgeseg.spec.placement`: ``stretch`` out of their aspect; ``letterbox`` in it, with a border; ``crop``
            their middle; ``tile`` piece by piece, which are trained on as random crops of them.
        tile_scale: of ``tile``: pixels that the network sees for one of the image.
        crop_height, crop_width: pixels of the training crops; 0 means the whole height or width. Smaller ones are
            quicker, but a network that pools over the whole picture then sees at work what it was not trained on.
        epochs: passes over the training split.
        time_budget: text such as ``2h``, ``30m`` or ``1h30m``: as many epochs as there is time for, in place of
            ``epochs``; empty for none. See :mod:`edgeseg.train.budget`.
        batch_size: images a step, of all processes that train together.
        accumulate: batches whose gradients are added up for a step.
        learning_rate: peak learning rate of AdamW.
        weight_decay: of AdamW; normalisation layers and biases are left out.
        schedule: ``poly`` (power 0.9) or ``cosine`` (half a period), both after a linear warm-up. ``one-cycle`` is an
            older name of the latter.
        warmup_epochs: epochs from a hundredth of the learning rate to all of it.
        scale_min, scale_max: range of the random zoom, log-uniform.
        aspect: largest ratio by which width and height are stretched against each other, log-uniform from 1/aspect.
        flip: mirror half of the crops left to right, or ``both`` this and upside down, or ``none``.
        class_uniform: the fraction of crops that are of a class drawn first, each as likely, and hold a pixel of it
            (Zhu 2019, arXiv:1812.01593). The others are of each image once.
        copy_paste: the fraction of crops into which a piece of a rare class is put, as another image shows it.
        color_jitter: largest relative change of brightness, contrast and saturation; hue, gamma and white balance
            change with it, see :func:`edgeseg.train.augment.jitter_color`.
        class_weights: ``log``: 1 / ln(1.10 + frequency), ENet's form with a milder constant; ``none``: all 1.
        loss: names of :data:`edgeseg.train.losses.registry.LOSSES` with ``+`` between them, each with or without its
            numbers: ``ohem(0.7) + dice + lovasz(0.5)``.
        clip_grad_norm: gradients whose norm is larger are scaled down to this; 0 leaves them as they are.
        aux_weight: weight of the loss of each auxiliary head, which is the first of ``loss``; 0 trains without them.
        loss_stride: the losses are taken at every so many-th pixel of each row and column.
        ema_decay: decay per step of the exponential moving average of the weights, which is what is kept.
        synthetic_scenes: rendered street scenes added to the training split (CamVid's classes only).
        eval_every: epochs between evaluations on the validation split; the last epoch is always evaluated.
        seed: of weights, order and augmentation.
        device: ``auto``, ``cpu``, ``cuda``, …
        amp: mixed precision; ``auto`` is on for a GPU or a CPU with instructions for bfloat16, ``qat`` excepted.
        compile: have PyTorch compile the network and its losses, which takes a minute first; ``auto`` is on for a GPU
            and a run that is long enough for it.
        threads: CPU threads of each process; 0 for all cores that they may use.

    Raises:
        InputError: a value of another kind or out of range.
    """

    OLD_NAMES: ClassVar[Mapping[str, Mapping[str, str]]] = {"schedule": {"one-cycle": "cosine"}}

    data: str | Path = setting(..., "A dataset.yaml, or the folder of a data set")
    format: str = setting("", "How it lies: voc, coco, yolo, … if its dataset.yaml does not say so")
    output: str | Path = setting(Path("runs/train"), "Folder for checkpoints, metrics and curves")
    network: str = setting("fast_scnn", "One of those that edgeseg models --all lists")
    network_args: NetworkArgs = setting({}, "What it is made with, such as width=0.5", parse=_network_args)
    init: str | Path | None = setting("", "What to start from: the backbone's name, for ImageNet's weights, or a file")
    qat: str | Path | None = setting("", "A checkpoint to train on for INT8", panel=_QAT)
    qat_target: Int8Target = setting("cpu", "What it is quantized for", panel=_QAT)
    train_split: str = setting("train", "Split to train on")
    val_split: str = setting("val", "Split to evaluate on")
    height: int = setting(360, "Pixels the images are resized to", above=0)
    width: int = setting(480, "Pixels the images are resized to", above=0)
    fit: PictureFit = setting("stretch", "How images of another shape become so")
    tile_scale: float = setting(1.0, "With tile: pixels for one of the image", above=0, most=MOST_TILE_SCALE)
    crop_height: int = setting(0, "Pixels of training crops; 0: all", panel=_RECIPE, least=0)
    crop_width: int = setting(0, "Pixels of training crops; 0: all", panel=_RECIPE, least=0)
    epochs: int = setting(200, "Passes over the split", above=0)
    time_budget: str = setting("", "Time to train for, such as 2h or 1h30m, in place of epochs")
    batch_size: int = setting(8, "Images a step", above=0)
    accumulate: int = setting(1, "Batches whose gradients make a step", panel=_RECIPE, above=0)
    learning_rate: float = setting(1e-3, "Peak rate of AdamW", panel=_RECIPE, above=0)
    weight_decay: float = setting(0.01, "Of AdamW", panel=_RECIPE, least=0)
    schedule: Schedule = setting("poly", panel=_RECIPE)
    warmup_epochs: float = setting(3.0, "Epochs of linear warm-up", panel=_RECIPE, least=0)
    scale_min: float = setting(0.5, "Smallest random zoom", panel=_RECIPE, above=0)
    scale_max: float = setting(2.0, "Largest random zoom", panel=_RECIPE)
    aspect: float = setting(1.2, "Largest random stretch of width to height", panel=_RECIPE)
    flip: Flip = setting("horizontal", "How half of the crops are mirrored", panel=_RECIPE)
    class_uniform: float = setting(0.0, "Fraction of crops of classes drawn alike", panel=_RECIPE, least=0, most=1)
    copy_paste: float = setting(
        0.0, "Fraction of crops with a piece of a rare class put in", panel=_RECIPE, least=0, most=1
    )
    color_jitter: float = setting(0.2, "Largest random change of colours; 0: none", panel=_RECIPE)
    class_weights: ClassWeights = setting("log", "Weigh rare classes more", panel=_RECIPE)
    loss: str = setting("cross_entropy + dice", f"Of {', '.join(LOSSES.own_names)}", panel=_RECIPE)
    clip_grad_norm: float = setting(0.0, "Largest norm of the gradients; 0: any", panel=_RECIPE, least=0)
    aux_weight: float = setting(0.4, "Weight of auxiliary losses; 0: none", panel=_RECIPE, least=0)
    loss_stride: int = setting(2, "Take the loss at every so many-th pixel", panel=_RECIPE, above=0)
    backbone_rate: float = setting(1.0, "Learning rate of the backbone, as a factor", panel=_RECIPE, least=0)
    freeze_backbone: int = setting(0, "First epochs in which the backbone is not trained", panel=_RECIPE, least=0)
    freeze_bn: bool = setting(False, "Keep the statistics of the backbone's batch normalisation", panel=_RECIPE)
    crf_rnn: bool = setting(False, "Train it through a dense CRF, and that with it", panel=_RECIPE)
    ema_decay: float = setting(0.998, "Of the moving average of weights", panel=_RECIPE)
    synthetic_scenes: int = setting(
        0, "Rendered streets added to the split, CamVid's classes only", panel=_RECIPE, least=0
    )
    teacher: str | Path | None = setting("", "A model, or what data predict wrote, to learn from", panel=_TEACHING)
    unlabelled: str | Path | None = setting("", "Images or a video to learn from as well", panel=_TEACHING)
    tagged_split: str = setting("", "A split with tags to learn from as well", panel=_TEACHING)
    unlabelled_ratio: float = setting(1.0, "Pictures without labels for each with", panel=_TEACHING, above=0)
    unlabelled_weight: float = setting(1.0, "Weight of what is lost on them", panel=_TEACHING, least=0)
    unlabelled_ramp: float = setting(10.0, "Epochs until it has that weight", panel=_TEACHING, least=0)
    unlabelled_jitter: float = setting(0.5, "Largest change of their colours", panel=_TEACHING)
    confidence: float = setting(0.95, "Least probability of their labels", panel=_TEACHING, above=0, most=1)
    eval_every: int = setting(5, "Epochs between evaluations", panel=_RUN, above=0)
    seed: int = setting(0, "Of weights, order and augmentation", panel=_RUN, least=0, most=(1 << 32) - 1)
    device: str = setting("auto", "auto, cpu, cuda, …", panel=_RUN)
    amp: Amp = setting("auto", "Mixed precision; auto: where it is in the hardware", panel=_RUN)
    compile: Compile = setting("auto", "By torch.compile; auto: for long runs on a GPU", panel=_RUN)
    threads: int = setting(0, "CPU threads; 0: all cores", panel=_RUN, least=0, most=1024)

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_ranges()

    def _check_ranges(self) -> None:
        if not self.scale_max >= self.scale_min or not self.aspect >= 1:
            raise InputError(
                f"scale_min {self.scale_min}, scale_max {self.scale_max} and aspect {self.aspect} span no range",
                "Keep scale_min <= scale_max and aspect >= 1",
            )
        if not 0 <= self.ema_decay < 1 or not 0 <= self.color_jitter < 1:
            raise InputError(
                f"ema_decay {self.ema_decay} or color_jitter {self.color_jitter} is outside 0..1", "Correct it"
            )
        if self.tile_scale != 1 and self.fit != "tile":
            raise InputError(f"tile_scale is {self.tile_scale:g}, fit {self.fit}", "Set fit to tile, or leave it out")
        if self.fit != "stretch" and (self.unlabelled or self.tagged_split):
            raise InputError(f"pictures without labels are stretched, and fit is {self.fit}", "Set fit to stretch")
        if not 0 <= self.unlabelled_jitter < 1:
            raise InputError(f"unlabelled_jitter {self.unlabelled_jitter} is outside 0..1", "Correct it")
        parse_losses(self.loss)
        if self.time_budget:
            seconds_of(self.time_budget)
        if self.loss_stride > min(self.crop_size):
            raise InputError(
                f"loss_stride {self.loss_stride} is more than the crops' {min(self.crop_size)} pixels",
                "Give a smaller one",
            )
        apart = self.init or self.crop_size != self.input_size or "on" in (self.amp, self.compile)
        if self.qat and apart:
            raise InputError(
                "qat takes the weights of its own checkpoint, whole images, no mixed precision and no compilation",
                "Leave out init, crop_height, crop_width, amp and compile",
            )
        if self.crf_rnn and (self.qat or self.compile == "on"):
            raise InputError(
                "crf_rnn trains a CRF that neither rounds to INT8 nor is compiled",
                "Leave out qat and compile: train with crf_rnn first, then its checkpoint with qat",
            )

    @classmethod
    def renewed(cls, values: Mapping[str, Any]) -> Mapping[str, Any]:
        """``weights``, which is ``init`` now; and the loss as it was told before it had a language."""
        if "weights" in values:
            values = {"init" if key == "weights" else key: value for key, value in values.items()}
        old = {"ohem_threshold": 1.0, "dice_weight": 1.0}
        if "loss" in values or not old.keys() & values.keys():
            return values
        threshold, dice = ((old | dict(values))[key] for key in old)
        terms = [f"ohem({threshold})" if threshold != 1 else "cross_entropy"]
        if dice:
            terms.append(f"dice({dice})" if dice != 1 else "dice")
        return {key: value for key, value in values.items() if key not in old} | {"loss": " + ".join(terms)}

    @property
    def whole_loss(self) -> str:
        """``loss``, with ``distil`` where there is a teacher that it does not name."""
        is_named = "distil" in parse_losses(self.loss)
        return f"{self.loss} + distil" if self.teacher and not is_named else self.loss

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
