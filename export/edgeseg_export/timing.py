"""How long a network takes on this machine, before it is trained: its time does not depend on what its weights are."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from edgeseg.errors import EdgesegError, InputError, MissingDependencyError
from edgeseg.installing import pip_install
from edgeseg.spec import ModelSpec
from edgeseg.types import ImageU8

if TYPE_CHECKING:
    from edgeseg.runtime.ort.backend import OrtBackend

_PICTURES = 2
"""To calibrate on, and to time on in turn: INT8 needs ranges, and random weights need no good ones."""


@dataclass(frozen=True)
class NetworkTimes:
    """Medians of one picture through ONNX Runtime, from uint8 pixels to logits.

    Attributes:
        fp32_ms: milliseconds of the float network.
        int8_ms: of what ``edgeseg quantize`` makes of it; None where it cannot be quantized.
        not_int8: why it cannot; "" where it can.
    """

    fp32_ms: float
    int8_ms: float | None
    not_int8: str = ""


def time_network(
    name: str,
    num_classes: int = 19,
    input_size: tuple[int, int] = (512, 1024),
    args: Mapping[str, Any] | None = None,
    *,
    threads: int | None = None,
    runs: int = 10,
) -> NetworkTimes:
    """Export a network with random weights, quantize it, and time both, who take turns.

    >>> time_network("fast_scnn", 11, (360, 480), threads=1).int8_ms

    Args:
        name: one of :func:`edgeseg.models.registry.network_names`.
        num_classes: 1 to 255.
        input_size: (height, width) in pixels, 32 to 4096 each, as the rendered pictures are.
        args: arguments of the network's own.
        threads: CPU threads; None means all cores.
        runs: of each, 1 or more, after one that does not count.

    Raises:
        InputError: an argument is out of range, or the network cannot take it.
        ModelError: no network has that name, or it cannot be exported or run.
        MissingDependencyError: a package that this needs.
    """
    if runs < 1:
        raise InputError(f"{runs} runs", "Use 1 or more")
    names = tuple(f"class {index}" for index in range(num_classes))
    spec = ModelSpec(name, names, input_size=input_size, network_args=dict(args or {}))
    try:
        with TemporaryDirectory(prefix="edgeseg-") as folder:
            return _time_in(Path(folder), spec, threads, runs)
    except ModuleNotFoundError as error:
        what = f"the package {error.name} is not installed"
        raise MissingDependencyError(what, f"Run: {pip_install('edgeseg[export]')}") from error


def _time_in(folder: Path, spec: ModelSpec, threads: int | None, runs: int) -> NetworkTimes:
    import onnx
    from PIL import Image

    from edgeseg.quantize.ptq import calibrate_model
    from edgeseg.runtime.ort.backend import OrtBackend
    from edgeseg.synthetic import StreetScene

    float_path, int8_path, not_int8 = folder / "fp32.onnx", folder / "int8.onnx", ""
    _export(spec, folder / "model.pt", float_path)
    pictures = [StreetScene(*spec.input_size, seed=seed).render(0.0)[0] for seed in range(_PICTURES)]
    files = [folder / f"{number}.png" for number in range(_PICTURES)]
    for picture, file in zip(pictures, files, strict=True):
        Image.fromarray(picture).save(file)
    with ExitStack() as opened:

        def open_engine(path: Path) -> OrtBackend:
            return opened.enter_context(closing(OrtBackend(path, threads=threads)))

        engines = [open_engine(float_path)]
        try:
            onnx.save(calibrate_model(float_path, files, "cpu", "minmax").quantize(), int8_path)
            engines.append(open_engine(int8_path))
        except EdgesegError as error:
            not_int8 = error.what
        fp32_ms, *int8_ms = medians_ms([_call_of(engine, pictures) for engine in engines], runs)
    return NetworkTimes(fp32_ms, int8_ms[0] if int8_ms else None, not_int8)


def _export(spec: ModelSpec, source: Path, output: Path) -> None:
    from edgeseg.models.checkpoint import Checkpoint
    from edgeseg.models.registry import build
    from edgeseg_export.onnx import export_onnx

    weights = build(spec.network, spec.num_classes, spec.network_args).state_dict()
    export_onnx(Checkpoint(source, spec, {"model": weights}), output, spec=spec)


def medians_ms(calls: Sequence[Callable[[], object]], runs: int) -> list[float]:
    """Median milliseconds of each call, of so many after one that does not count.

    They take turns, so that what slows the machine down slows all of them.
    """
    taken_ms: list[list[float]] = [[] for _ in calls]
    for _ in range(runs + 1):
        for call, times in zip(calls, taken_ms, strict=True):
            start_s = time.perf_counter()
            call()
            times.append((time.perf_counter() - start_s) * 1000)
    return [statistics.median(times[1:]) for times in taken_ms]


def _call_of(engine: OrtBackend, pictures: Sequence[ImageU8]) -> Callable[[], object]:
    """One run of an engine, on each picture in turn."""
    turns = cycle(picture[None] for picture in pictures)
    return lambda: engine.infer(next(turns))
