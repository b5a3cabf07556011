"""ModelSpec: all that is needed to run a model, stored inside the artifact itself.

A checkpoint keeps it under the key ``spec``; an ONNX file keeps it as JSON in the metadata property ``edgeseg.spec``;
an engine has it in the JSON beside it. ``edgeseg run --model x.onnx`` therefore needs no side file with class names
and no flag for mean and std.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from numbers import Integral, Real
from typing import Any, Literal, get_args

from edgeseg.errors import InputError, SpecError
from edgeseg.files.documents import is_printable, parse_json
from edgeseg.spec.crf_params import CrfParams
from edgeseg.spec.palette import MAX_CLASSES, Rgb, distinct_colors
from edgeseg.spec.placement import PictureFit, Placement, Size, place

METADATA_KEY = "edgeseg.spec"
"""The ONNX metadata property that holds the spec as JSON."""

FORMAT_VERSION = 1
"""Raised when a reader of the old format would misunderstand the new one."""

FIT_FORMAT_VERSION = 2
"""Of specs whose fit is not ``stretch``: an edgeseg that knows no other would stretch pictures, and mislay labels."""

MOST_TILE_SCALE = 4.0
"""Enlarging further shows a network nothing new."""

NetworkArgs = Mapping[str, bool | int | float | str]
"""What a network is made with beside the number of classes, by the names of its arguments."""

Output = Literal["logits", "labels"]
Precision = Literal["fp32", "fp16", "int8-cpu", "int8-tensorrt"]

MAX_SIDE_PX = 16384
MAX_AREA_PX = 1 << 25
"""Of the input: 8192x4096. A spec of a few bytes must not make edgeseg reserve all memory."""

COUNTED = ("parameters", "macs")
"""The metrics that are counted of the network, and so hold for whatever is made of it."""

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

_CRF_REMEDY = "Fit the CRF again: edgeseg tune-crf"
_EXPORT = "Export the model again"
_MOST_METRICS = 100
_MOST_ARGS = 50
_LONGEST_TEXT = 10_000


@dataclass(frozen=True)
class ModelSpec:
    """What a model expects, what it returns and what its classes are called.

    Attributes:
        network: architecture by its name in ``edgeseg.models``, such as ``fast_scnn``.
        network_args: what the network was made with, such as its width.
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
        precision: of the arithmetic: ``fp32``, ``fp16``, or INT8 in the form that ONNX Runtime's CPU kernels or
            TensorRT want.
        fit: how pictures of another shape come before the network, see :mod:`edgeseg.spec.placement`.
        tile_scale: of ``fit="tile"``: pixels that the network sees for one of the picture, up to 4.
        extra: what a newer edgeseg, or somebody else, has put beside these; kept, and passed on to what is made of it.

    Raises:
        SpecError: a value of another type or out of range: sides up to 16384 pixels and 8192x4096 in all, names that
            can be shown, finite numbers.
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
    network_args: NetworkArgs = field(default_factory=dict)
    fit: PictureFit = "stretch"
    tile_scale: float = 1.0
    extra: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check_name(self.network)
        names = _class_names(self.class_names)
        colors = _items("colors", self.colors) or distinct_colors(len(names))
        if len(colors) != len(names):
            raise SpecError(f"{len(names)} class names but {len(colors)} colours")
        for name, kind in (("output", Output), ("precision", Precision), ("fit", PictureFit)):
            if getattr(self, name) not in get_args(kind):
                raise SpecError(f"{name} is {_shown(getattr(self, name))}", f"Use one of {', '.join(get_args(kind))}")
        mean, std = (tuple(_real(n, v) for v in _items(n, getattr(self, n), 3)) for n in ("mean", "std"))
        if min(std) <= 0:
            raise SpecError(f"std {std} must be positive")
        for name in ("data", "license"):
            if not _is_text(getattr(self, name)):
                raise SpecError(f"{name} is {_shown(getattr(self, name))}", "Give words, without control characters")
        if self.label_ignore_index is not None:
            _whole("label_ignore_index", self.label_ignore_index, -(1 << 31), (1 << 31) - 1)
        normal = {
            "class_names": names,
            "colors": tuple(tuple(_whole("a colour", v, 0, 255) for v in _items("a colour", c, 3)) for c in colors),
            "input_size": _size(self.input_size),
            "stride": _whole("stride", self.stride, 1, MAX_SIDE_PX),
            "mean": mean,
            "std": std,
            "metrics": _metrics(self.metrics),
            "network_args": checked_args(self.network_args),
            "tile_scale": _real("tile_scale", self.tile_scale),
            "extra": self._checked_extra(),
        }
        for name, value in normal.items():
            object.__setattr__(self, name, value)
        if self.crf is not None and not isinstance(self.crf, CrfParams):
            raise SpecError(f"crf is {_shown(self.crf)}", "Give CrfParams, or None")
        costs = self.crf.compatibility if self.crf else None
        if costs is not None and len(costs) != self.num_classes:
            what = f"{self.num_classes} class names but the CRF's compatibility is for {len(costs)}"
            raise SpecError(what, _CRF_REMEDY)
        self._check_tiles()

    def _check_tiles(self) -> None:
        if not 0 < self.tile_scale <= MOST_TILE_SCALE:
            raise SpecError(f"tile_scale is {self.tile_scale:g}", f"Use more than 0 and at most {MOST_TILE_SCALE:g}")
        if self.fit != "tile" and self.tile_scale != 1:
            raise SpecError(f"tile_scale is {self.tile_scale:g}, but fit is {self.fit}", "Set fit to tile, or leave it")
        if self.fit == "tile" and any(side % self.cell for side in self.input_size):
            height, width = self.input_size
            what = f"tiles of {width}x{height} do not share one grid of logits, one for {self.cell} pixels each way"
            raise SpecError(what, f"Use an input size whose sides are multiples of {self.cell}, or another fit")

    def _checked_extra(self) -> dict[str, Any]:
        own = {one.name for one in fields(self)} | {"format"}
        if not isinstance(self.extra, Mapping) or own & set(self.extra):
            raise SpecError(f"extra is {_shown(self.extra)}", "Give values of JSON by names that no attribute has")
        for name in self.extra:
            _check_name(name)
        return dict(self.extra)

    @property
    def num_classes(self) -> int:
        return len(self.class_names)

    @property
    def cell(self) -> int:
        """Pixels of the network's input for one value of its output, in each direction."""
        return self.stride if self.output == "logits" else 1

    def place(self, size: Size) -> Placement:
        """Where a picture of (height, width) ``size`` lies before the network."""
        return place(self.fit, size, self.input_size, cell=self.cell, tile_scale=self.tile_scale)

    def fitted(self, fit: PictureFit | None, tile_scale: float | None = None) -> ModelSpec:
        """A copy with another fit; None leaves the fit, or where that stays the same the scale, as it is.

        Raises:
            SpecError: no such fit, or one that does not go with the input size or the scale.
        """
        fit = fit or self.fit
        if tile_scale is None:
            tile_scale = self.tile_scale if fit == self.fit else 1.0
        return replace(self, fit=fit, tile_scale=tile_scale)

    def with_metrics(self, **metrics: float) -> ModelSpec:
        """A copy whose metrics are updated with these."""
        return replace(self, metrics={**self.metrics, **metrics})

    def unmeasured(self, **changes: Any) -> ModelSpec:
        """The spec of an artifact made from this one, with these changes: without figures measured on the other."""
        counted = {name: self.metrics[name] for name in COUNTED if name in self.metrics}
        return replace(self, **{"metrics": counted, **changes})

    def to_json(self) -> str:
        """One line of JSON, keys in the order of the attributes, with the format's version.

        ``crf``, ``precision``, ``network_args``, ``fit`` and ``tile_scale`` are there only where they are set, as they
        are where they mean nothing new. Metrics that are NaN are left out: JSON has none.
        """
        values = asdict(self)
        values["metrics"] = {name: value for name, value in self.metrics.items() if not math.isnan(value)}
        if self.crf is None:
            del values["crf"]
        if self.precision == "fp32":
            del values["precision"]
        if not self.network_args:
            del values["network_args"]
        if self.fit == "stretch":
            del values["fit"]
        if self.tile_scale == 1:
            del values["tile_scale"]
        del values["extra"]
        version = FORMAT_VERSION if self.fit == "stretch" else FIT_FORMAT_VERSION
        return json.dumps({"format": version, **values, **self.extra})

    @classmethod
    def from_json(cls, text: str, where: str) -> ModelSpec:
        """Read what :meth:`to_json` wrote. Keys that this edgeseg does not know become ``extra``.

        Args:
            text: the JSON.
            where: the artifact it came from, for the message.

        Raises:
            SpecError: not JSON, a key missing, a value out of range, or a newer format.
        """
        document = f"the model spec in {where}"
        raw = parse_json(text, document, SpecError, _EXPORT)
        if not isinstance(raw, dict):
            raise SpecError(f"{document} is not a JSON object", _EXPORT)
        version = raw.pop("format", None)
        if isinstance(version, bool) or version not in (FORMAT_VERSION, FIT_FORMAT_VERSION):
            raise SpecError(
                f"{document} has format {_shown(version)}; this edgeseg reads {FORMAT_VERSION} and "
                f"{FIT_FORMAT_VERSION}",
                "Export the model again with this edgeseg, or update edgeseg",
            )
        known = {f.name for f in fields(cls)} - {"extra"}
        extra = {name: raw.pop(name) for name in sorted(set(raw) - known)}
        needed = ("network", "class_names", "input_size", "mean", "std")
        if missing := [name for name in needed if name not in raw]:
            raise SpecError(f"{document} is malformed: {missing[0]} is missing", _EXPORT)
        try:
            return cls(**{**raw, "crf": _crf(raw.get("crf")), "extra": extra})
        except SpecError as error:
            remedy = _CRF_REMEDY if error.remedy == _CRF_REMEDY else _EXPORT
            raise SpecError(f"{where}: {error.what}", remedy) from None


def checked_args(values: Any) -> NetworkArgs:
    """The arguments of a network as a plain dict.

    Raises:
        SpecError: not that.
    """
    if not isinstance(values, Mapping) or len(values) > _MOST_ARGS:
        raise SpecError(f"network_args is {_shown(values)}", f"Give up to {_MOST_ARGS} values by their names")
    for name, value in values.items():
        if not isinstance(name, str) or not name.isidentifier():
            raise SpecError(f"network_args has the name {_shown(name)}", "Give the names of arguments")
        if isinstance(value, str) and is_printable(value):
            continue
        if not isinstance(value, bool | int | float) or not -1e30 < value < 1e30:
            raise SpecError(f"the argument {name} is {_shown(value)}", "Give a number, a word, or true or false")
    return dict(values)


def _check_name(name: Any) -> None:
    if not isinstance(name, str) or not is_printable(name):
        raise SpecError(f"the name {_shown(name)} cannot be shown", "Give letters, digits, signs and spaces")


def _class_names(values: Any) -> tuple[str, ...]:
    names = _items("class_names", values)
    if not 1 <= len(names) <= MAX_CLASSES:
        raise SpecError(f"a model needs 1 to {MAX_CLASSES} classes, this spec names {len(names)}")
    for name in names:
        _check_name(name)
    return names


def _items(name: str, values: Any, count: int | None = None) -> tuple[Any, ...]:
    """A sequence as a tuple; of ``count`` values where that is given."""
    if not isinstance(values, Iterable) or isinstance(values, str | bytes | Mapping):
        raise SpecError(f"{name} is {_shown(values)}", "Give a list")
    items = tuple(values)
    if count is not None and len(items) != count:
        raise SpecError(f"{name} is {_shown(values)}", f"Give {count} numbers")
    return items


def _whole(name: str, value: Any, least: int, most: int) -> int:
    if isinstance(value, bool) or not isinstance(value, Integral) or not least <= int(value) <= most:
        raise SpecError(f"{name} is {_shown(value)}", f"Give a whole number of {least} to {most}")
    return int(value)


def _real(name: str, value: Any) -> float:
    number: Any = value
    if isinstance(value, bool) or not isinstance(value, Real) or not -1e30 < number < 1e30:  # nor is NaN
        raise SpecError(f"{name} holds {_shown(value)}", "Give finite numbers")
    return float(value)


def _size(values: Any) -> tuple[int, int]:
    height, width = (_whole("a side of input_size", side, 1, MAX_SIDE_PX) for side in _items("input_size", values, 2))
    if height * width > MAX_AREA_PX:
        what = f"the input size {width}x{height} is larger than {MAX_AREA_PX >> 20} megapixels"
        raise SpecError(what, "Use a smaller one; frames are scaled to it")
    return height, width


def _metrics(values: Any) -> Mapping[str, float]:
    if not isinstance(values, Mapping) or len(values) > _MOST_METRICS:
        raise SpecError(f"metrics is {_shown(values)}", f"Give up to {_MOST_METRICS} numbers by their names")
    for name, value in values.items():
        _check_name(name)
        if isinstance(value, bool) or not isinstance(value, Real) or math.isinf(value):
            raise SpecError(f"the metric {name} is {_shown(value)}", "Give a number")
    return {name: int(value) if isinstance(value, Integral) else float(value) for name, value in values.items()}


def _is_text(value: Any) -> bool:
    """Words of any length that is still one's own, line breaks among them; nothing that steers a terminal."""
    if not isinstance(value, str) or len(value) > _LONGEST_TEXT:
        return False
    return all(is_printable(line, longest=_LONGEST_TEXT) for line in value.replace("\t", " ").split("\n") if line)


def _shown(value: Any) -> str:
    """A value in a message: in one line, not too long, and nothing in it that steers a terminal."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _crf(raw: Any) -> CrfParams | None:
    if raw is None:
        return None
    if not isinstance(raw, dict):
        raise SpecError(f"the CRF's parameters are {_shown(raw)}", _CRF_REMEDY)
    try:
        return CrfParams.from_dict(raw)
    except InputError as error:
        raise SpecError(error.what, _CRF_REMEDY) from None
