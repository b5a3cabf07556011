"""What ONNX Runtime's TensorRT provider is told: to keep its engines, to compute in FP16, which batches will come."""

from __future__ import annotations

import hashlib
from pathlib import Path

from edgeseg.files.cache_folder import cache_folder
from edgeseg.spec import ModelSpec

MOST_IMAGES = 8
"""At a time, where the graph leaves it open: TensorRT reserves memory for as many."""


def tensorrt_options(path: Path, spec: ModelSpec, free_batch: str | None) -> dict[str, str]:
    """The provider's options for a model, with a cache of its own.

    Args:
        path: the ONNX file.
        spec: its spec.
        free_batch: name of the input whose batch size the graph leaves open; None where it is fixed.

    Raises:
        EdgesegError: the cache folder cannot be made.
    """
    # The provider names engines after the graph without its weights: a model trained further would get the old ones.
    digest = hashlib.sha256(path.read_bytes()).hexdigest()[:32]
    folder = cache_folder("onnxruntime") / digest
    folder.mkdir(mode=0o700, exist_ok=True)
    return provider_options(spec, free_batch, folder)


def provider_options(spec: ModelSpec, free_batch: str | None, folder: Path) -> dict[str, str]:
    """The same for a given cache folder.

    Engines and kernel times are kept there, so that only the first start builds. Float models compute in FP16, as
    ``edgeseg run --backend tensorrt`` has them do; Q/DQ pairs in INT8, with FP16 around.
    """
    options = {
        "trt_engine_cache_enable": "True",
        "trt_engine_cache_path": str(folder),
        "trt_timing_cache_enable": "True",
        "trt_timing_cache_path": str(folder),
        "trt_fp16_enable": "True",
    }
    if spec.precision == "int8-tensorrt":
        options["trt_int8_enable"] = "True"
    if free_batch is not None:
        height, width = spec.input_size
        for name, count in (("min", 1), ("opt", 1), ("max", MOST_IMAGES)):
            options[f"trt_profile_{name}_shapes"] = f"{free_batch}:{count}x{height}x{width}x3"
    return options
