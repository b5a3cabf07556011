"""The ranges of a network's tensors, seen on images of a data set."""

from __future__ import annotations

import contextlib
import io
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np
import onnx
from numpy.typing import NDArray

from edgeseg.data.dataset import Dataset, Sample, read_image
from edgeseg.data.sampling import spread
from edgeseg.errors import InputError
from edgeseg.runtime.ort.module import load_onnxruntime
from edgeseg.runtime.preprocess import inputs_of
from edgeseg.spec import ModelSpec

if TYPE_CHECKING:
    from onnxruntime.quantization.calibrate import TensorsData

_quantization = load_onnxruntime("quantization")

T = TypeVar("T")
Method = Literal["minmax", "percentile", "entropy"]

NamedProgress = Callable[[Sequence[Any], str], Iterable[Any]]
"""Wraps a sequence that is worked through, with words for what is done, to show how far it has come."""

TILES = 4
"""The most to take of a picture that the model sees in tiles: neighbours are much alike."""

_METHODS: dict[Method, tuple[Any, dict[str, object]]] = {
    "minmax": (_quantization.CalibrationMethod.MinMax, {}),
    "percentile": (_quantization.CalibrationMethod.Percentile, {"percentile": 99.99, "symmetric": False}),
    "entropy": (_quantization.CalibrationMethod.Entropy, {}),
}


def no_progress(items: Sequence[Any], what: str) -> Iterable[Any]:
    """Shows nothing."""
    return items


def samples_of(dataset: Dataset, split: str, count: int) -> list[Sample]:
    """At most ``count`` samples of a split, at even distances, the first and the last among them.

    Raises:
        InputError: ``count`` is under 1.
        DatasetError: no such split, or it cannot be used.
    """
    if count < 1:
        raise InputError(f"{count} images to calibrate on", "Use 1 or more")
    return spread(dataset.split(split).samples(), count)


def calibrate(
    model: onnx.ModelProto,
    op_types: Sequence[str],
    images: Sequence[Path],
    spec: ModelSpec,
    method: Method,
    progress: NamedProgress = no_progress,
    bit_depth: int | None = None,
) -> TensorsData:
    """Run the float model over the images and note the range of every tensor that nodes of these types touch.

    Args:
        model: takes (1, H, W, 3) uint8 RGB.
        op_types: the types of the nodes to be quantized.
        images: files of any size.
        spec: of the model: how images come before it.
        method: ``minmax`` keeps everything seen; ``percentile`` leaves out the outermost 0.01 %; ``entropy`` takes the
            range whose quantized histogram diverges least from the true one.
        progress: wraps the images.
        bit_depth: of images with more than 8 bits, as :func:`edgeseg.data.pictures.read_image` takes it.

    Raises:
        DatasetError: an image cannot be read.
    """
    kind, options = _METHODS[method]
    with tempfile.TemporaryDirectory(prefix="edgeseg-") as folder:
        path = Path(folder, "model.onnx")
        onnx.save(model, path)
        calibrator = _quantization.create_calibrator(
            path,
            list(op_types),
            augmented_model_path=str(path.with_name("augmented.onnx")),
            calibrate_method=kind,
            extra_options=options,
        )
        for image in progress(images, f"calibrating ({method})"):
            # One at a time: between calls the calibrator keeps histograms, within one it keeps every activation.
            for pixels in inputs_of(read_image(image, bit_depth=bit_depth), spec, TILES):
                with contextlib.redirect_stdout(io.StringIO()):  # it prints
                    calibrator.collect_data(_One({model.graph.input[0].name: pixels}))
        with contextlib.redirect_stdout(io.StringIO()):
            return calibrator.compute_data()


class _One(_quantization.CalibrationDataReader):  # type: ignore[misc,name-defined]  # known when it runs
    """One image, as ONNX Runtime's calibrators want it."""

    def __init__(self, feed: dict[str, NDArray[np.uint8]]) -> None:
        self._feeds = [feed]

    def get_next(self) -> dict[str, NDArray[np.uint8]] | None:
        return self._feeds.pop() if self._feeds else None
