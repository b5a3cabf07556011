"""ModelSpec: all that is needed to run a model, stored inside the artifact itself.

A checkpoint keeps it under the key ``spec``; an ONNX file keeps it as JSON in the metadata property ``edgeseg.spec``;
an engine has it in the JSON beside it. ``edgeseg run --model x.onnx`` therefore needs no side file with class names
and no flag for mean and std.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Literal, get_args

from edgeseg.crf_params import CrfParams
from edgeseg.errors import InputError, SpecError
from edgeseg.palette import MAX_CLASSES, Rgb, distinct_colors

METADATA_KEY = "edgeseg.spec"
"""The ONNX metadata property that holds the spec as JSON."""

FORMAT_VERSION = 1
"""Raised when a reader of the old format would misunderstand the new one."""

Output = Literal["logits", "labels"]
Precision = Literal["fp32", "int8-cpu", "int8-tensorrt"]

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

_CRF_REMEDY = "Fit the CRF again: edgeseg tune-crf"


@dataclass(frozen=True)
class ModelSpec:
    """What a model expects, what it returns and what its classes are called.

    Attributes:
        network: architecture by its name in ``edgeseg.models``, such as ``fast_scnn``.
        class_names: one name per class; the position is the class index in logits and labels.
        colors: RGB 0..255 for each class; made up where the data set has none.
        input_size: (height, width) in pixels of the images the model takes.
        mean: mean of each RGB channel on the scale 0..1, subtracted before the first layer. The exported graph does
            this itself: artifacts take uint8.
        std: standard deviation of each RGB channel on the scale 0..1.
        output: ``logits`` (N, C, H/stride, W/stride) float32, to be upsampled and reduced by edgeseg's own kernel, or
            ``labels`` (N, H, W) uint8 straight from the graph.
        stride: input pixels per logit in each direction; 1 when ``output`` is ``labels``.
        label_ignore_index: the value that means "no label" in this data set's label files, beside 255; or None.
        data: what it was trained on, in words.
        license: SPDX expression or words, of the weights, as their training data allows.
        metrics: figures measured for this artifact, such as ``{"val_miou": 0.66}``; fractions of 1.
        crf: parameters of the dense CRF fitted to this model at its input size; None where nobody fitted them.
        precision: of the arithmetic: ``fp32``, or INT8 in the form that ONNX Runtime's CPU kernels or TensorRT want.
    """

    network: str
    class_names: tuple[str, ...]
    colors: tuple[Rgb, ...] = ()
    input_size: tuple[int, int] = (360, 480)
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    output: Output = "logits"
    stride: int = 1
    label_ignore_index: int | None = None
    data: str = ""
    license: str = ""
    metrics: Mapping[str, float] = field(default_factory=dict)
    crf: CrfParams | None = None
    precision: Precision = "fp32"

    def __post_init__(self) -> None:
        if not self.colors:
            object.__setattr__(self, "colors", distinct_colors(len(self.class_names)))
        if not 1 <= len(self.class_names) <= MAX_CLASSES:
            raise SpecError(f"a model needs 1 to {MAX_CLASSES} classes, this spec names {len(self.class_names)}")
        if len(self.colors) != len(self.class_names):
            raise SpecError(f"{len(self.class_names)} class names but {len(self.colors)} colours")
        for name, kind in (("output", Output), ("precision", Precision)):
            if getattr(self, name) not in get_args(kind):
                raise SpecError(f"{name} is {getattr(self, name)!r}", f"Use one of {', '.join(get_args(kind))}")
        if min(self.input_size) < 1 or self.stride < 1:
            raise SpecError(f"input size {self.input_size} and stride {self.stride} must be positive")
        if min(self.std) <= 0:
            raise SpecError(f"std {self.std} must be positive")
        costs = self.crf.compatibility if self.crf else None
        if costs is not None and len(costs) != self.num_classes:
            what = f"{self.num_classes} class names but the CRF's compatibility is for {len(costs)}"
            raise SpecError(what, _CRF_REMEDY)

    @property
    def num_classes(self) -> int:
        return len(self.class_names)

    def with_metrics(self, **metrics: float) -> ModelSpec:
        """A copy whose metrics are updated with these."""
        return replace(self, metrics={**self.metrics, **metrics})

    def to_json(self) -> str:
        """One line of JSON, keys in the order of the attributes, with the format's version.

        ``crf`` and ``precision`` are there only where they are set: readers that do not know them can read all other
        specs.
        """
        values = asdict(self)
        if self.crf is None:
            del values["crf"]
        if self.precision == "fp32":
            del values["precision"]
        return json.dumps({"format": FORMAT_VERSION, **values})

    @classmethod
    def from_json(cls, text: str, where: str) -> ModelSpec:
        """Read what :meth:`to_json` wrote.

        Args:
            text: the JSON.
            where: the artifact it came from, for the message.

        Raises:
            SpecError: not JSON, a key missing or unknown, a value out of range, or a newer format.
        """
        try:
            raw: Any = json.loads(text)
        except ValueError as error:
            raise SpecError(f"the model spec in {where} is not JSON ({error})", "Export the model again") from None
        if not isinstance(raw, dict):
            raise SpecError(f"the model spec in {where} is not a JSON object", "Export the model again")
        version = raw.pop("format", None)
        if version != FORMAT_VERSION:
            raise SpecError(
                f"the model spec in {where} has format {version}; this edgeseg reads {FORMAT_VERSION}",
                "Export the model again with this edgeseg, or update edgeseg",
            )
        known = {f.name for f in fields(cls)}
        if unknown := sorted(set(raw) - known):
            raise SpecError(f"the model spec in {where} has unknown keys {unknown}", "Export the model again")
        try:
            return cls(
                **{
                    **raw,
                    "class_names": tuple(str(name) for name in raw["class_names"]),
                    "colors": tuple((int(r), int(g), int(b)) for r, g, b in raw.get("colors", ())),
                    "input_size": _pair(raw["input_size"]),
                    "mean": _triple(raw["mean"]),
                    "std": _triple(raw["std"]),
                    "crf": _crf(raw.get("crf")),
                }
            )
        except (KeyError, TypeError, ValueError) as error:
            if isinstance(error, SpecError):
                raise SpecError(f"{where}: {error.what}", error.remedy or "Export the model again") from None
            raise SpecError(f"the model spec in {where} is malformed ({error!r})", "Export the model again") from None


def _pair(values: Any) -> tuple[int, int]:
    height, width = values
    return int(height), int(width)


def _triple(values: Any) -> tuple[float, float, float]:
    r, g, b = values
    return float(r), float(g), float(b)


def _crf(raw: Any) -> CrfParams | None:
    if raw is None:
        return None
    if not isinstance(raw, dict):
        raise SpecError(f"the CRF's parameters are {raw!r}", _CRF_REMEDY)
    try:
        return CrfParams.from_dict(raw)
    except InputError as error:
        raise SpecError(error.what, _CRF_REMEDY) from None
