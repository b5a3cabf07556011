"""What ``edgeseg quantize`` does: from a float artifact to one in INT8, and what that costs in accuracy.

The file is looked through once and opened once, to be checked and then measured; ONNX Runtime opens its prepared graph
to optimise it, and once more to see the ranges; the result is opened to be measured.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import onnx

from edgeseg import weights
from edgeseg.artifact.onnx import set_spec, spec_in
from edgeseg.data.dataset import Dataset
from edgeseg.errors import DatasetError, InputError, ModelError
from edgeseg.evaluation.evaluate import Evaluation, check_same_classes, dataset_of, evaluate
from edgeseg.files.whole import keep_apart, written_whole
from edgeseg.quantize.calibrate import Method, NamedProgress, no_progress, samples_of
from edgeseg.quantize.exclude import exclude_worst
from edgeseg.quantize.in_float import float_operators
from edgeseg.quantize.ptq import Layer, calibrate_model, open_quantizable
from edgeseg.quantize.sensitivity import Sensitivity, sensitivities
from edgeseg.quantize.trial import opened
from edgeseg.runtime.backend import Backend
from edgeseg.segmenter import Segmenter
from edgeseg.spec.int8 import INT8_TARGETS, Int8Target


@dataclass(frozen=True, eq=False)
class Quantized:
    """What a quantization has come to.

    Attributes:
        path: the artifact.
        before: the float model on the split.
        after: the INT8 one.
        images: how many it was calibrated on.
        layers: all that can be quantized.
        left_out: those that are left in float, the worst first.
        in_float: how many operators of which type compute in float in the artifact, the most first.
    """

    path: Path
    before: Evaluation
    after: Evaluation
    images: int
    layers: tuple[Layer, ...]
    left_out: tuple[Sensitivity, ...]
    in_float: Mapping[str, int]

    @property
    def drop(self) -> float:
        """The points of mIoU that INT8 costs."""
        return 100 * (self.before.confusion.miou() - self.after.confusion.miou())


class TooMuchLostError(ModelError):
    """INT8 costs more than was allowed, and nothing is written.

    Args:
        found: what it costs.
        max_drop: what was allowed, in points of mIoU.
        worst: where no layer was left in float, what each does alone, the one that hurts most first.
    """

    def __init__(self, found: Quantized, max_drop: float, worst: Sequence[Sensitivity]) -> None:
        self.found, self.max_drop, self.worst = found, max_drop, tuple(worst)
        remedy = "Set auto_exclude, a larger max_drop or another method"
        super().__init__(f"mIoU falls by {found.drop:.2f}, more than max_drop {max_drop:g}: nothing is written", remedy)


def quantize(
    model: str | Path,
    data: Dataset | str | Path,
    *,
    output: str | Path | None = None,
    target: Int8Target = "cpu",
    method: Method = "percentile",
    images: int = 32,
    calibration_split: str = "train",
    split: str = "val",
    max_drop: float = 1.0,
    auto_exclude: bool = False,
    threads: int | None = None,
    progress: NamedProgress = no_progress,
) -> Quantized:
    """Quantize a model to INT8 after training, and measure both; the flags of ``edgeseg quantize``.

    >>> quantize("model.onnx", "my_data", max_drop=0.5).drop

    Args:
        model: a shipped model's name, or an ONNX file; it must return logits.
        data: of the model's classes; or its dataset.yaml, or the folder that holds one.
        output: the file to write; None for the model's name with -int8 or -int8-tensorrt.
        target, method: see :func:`edgeseg.quantize.ptq.calibrate_model`.
        images: the most to calibrate on, spread evenly over the calibration split.
        calibration_split: the split to calibrate and choose layers on.
        split: the split to measure both on.
        max_drop: points of mIoU that may be lost; beyond it nothing is written.
        auto_exclude: leave the worst layers in float, as few as ``max_drop`` allows.
        threads: CPU threads; None means all cores.
        progress: wraps what is worked through.

    Raises:
        InputError: an argument is out of range, or a file would be written over.
        TooMuchLostError: more than ``max_drop``.
        ModelError, SpecError: the model cannot be quantized, has other classes, or no choice of layers is good enough.
        DatasetError: an image, a label or a split cannot be used.
        SinkError: the artifact cannot be written.
    """
    for name, value, allowed in (("target", target, INT8_TARGETS), ("method", method, get_args(Method))):
        if value not in allowed:
            raise InputError(f"{name} is {value!r:.60}", f"Use one of {', '.join(allowed)}")
    source, path = weights.find(model), _output_path(model, output, target)
    dataset = dataset_of(data)
    keep_apart([path], [source, *dataset.files(split, calibration_split)])
    with closing(open_quantizable(source, threads)) as float_model:
        check_same_classes(float_model.spec.class_names, dataset)
        samples = samples_of(dataset, calibration_split, images)
        files = [sample.image for sample in samples]

        def measured(of: Path | Backend, what: str) -> Evaluation:
            with opened(of, threads) as backend:
                return evaluate(Segmenter(backend, threads), dataset, split, lambda items: progress(items, what))

        with written_whole(path, make_folders=True) as partial:
            calibrated = calibrate_model(
                source, files, target, method, progress, dataset.bit_depth, spec=float_model.spec
            )
            left_out: list[Sensitivity] = []
            if auto_exclude:
                left_out = exclude_worst(calibrated, dataset, samples, max_drop / 100, threads, progress, float_model)
            chosen = set(calibrated.layers) - {one.layer for one in left_out}
            candidate = calibrated.quantize(chosen)
            onnx.save(candidate, partial)
            before, after = measured(float_model, "measuring the float model"), measured(partial, "measuring INT8")
            in_float = float_operators(candidate.graph, {name for layer in chosen for name in layer.nodes})
            done = Quantized(path, before, after, len(samples), calibrated.layers, tuple(left_out), in_float)
            if math.isnan(done.drop):
                what = f"no pixel of split {split} of {dataset.path} is labelled"
                raise DatasetError(what, "Choose another split")
            if done.drop > max_drop:
                worst: Sequence[Sensitivity] = ()
                if not left_out:
                    worst = sensitivities(calibrated, files, threads, progress, dataset.bit_depth, float_model)
                raise TooMuchLostError(done, max_drop, worst)
            set_spec(candidate, spec_in(candidate, path).with_metrics(val_miou=after.confusion.miou()))
            onnx.save(candidate, partial)
    return done


def _output_path(model: str | Path, output: str | Path | None, target: Int8Target) -> Path:
    """The file to write: beside a model that was given as a path, in the working directory for a shipped one."""
    suffix = "-int8" if target == "cpu" else "-int8-tensorrt"
    path = Path(output or Path(model).with_name(f"{Path(model).name.removesuffix('.onnx')}{suffix}.onnx"))
    if path.suffix.lower() != ".onnx":
        raise InputError(f"{path} does not end in .onnx", "Correct output")
    return path
