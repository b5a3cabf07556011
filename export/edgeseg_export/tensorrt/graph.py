"""An ONNX artifact as TensorRT reads it: checked for what TensorRT refuses, in the precision asked for."""

from __future__ import annotations

from pathlib import Path
from shlex import quote

import onnx
from onnx import numpy_helper

from edgeseg.artifact.onnx import load_model, spec_in
from edgeseg.errors import EdgesegError, ModelError
from edgeseg.quantize.fold import cast_first
from edgeseg.runtime.tensorrt.record import EnginePrecision
from edgeseg.spec import ModelSpec
from edgeseg_export.fp16 import to_fp16

_QUANTIZING = ("QuantizeLinear", "DequantizeLinear")


def read_onnx(path: Path) -> tuple[onnx.ModelProto, ModelSpec]:
    """An artifact and its spec.

    Raises:
        ModelError: there is no such file, it is no ONNX, or it is a checkpoint; or there is not one input and one
            output, each of fixed rank and size but for the batch.
        SpecError: it carries no spec.
    """
    if path.suffix.lower() == ".pt":
        onnx_path = path.with_suffix(".onnx")
        raise ModelError(
            f"{path} is a checkpoint; an engine is built from an ONNX file",
            f"Run: edgeseg export {quote(str(path))}, then: edgeseg export {quote(str(onnx_path))} --format tensorrt",
        )
    model = load_model(path)
    try:
        ranked = all(value.type.tensor_type.HasField("shape") for value in (*model.graph.input, *model.graph.output))
        if ranked:  # the checker refuses a model without, but in words of its own
            onnx.checker.check_model(model)
    except Exception as error:  # protobuf's and the checker's exceptions have no class of their own in common
        raise ModelError(f"{path} is no valid ONNX ({_one_line(error)})", "Copy or export the model again") from error
    for kind, values in (("inputs", model.graph.input), ("outputs", model.graph.output)):
        for value in values:
            _check_shape(value, path)
        if len(values) != 1:
            names = ", ".join(value.name for value in values)
            raise ModelError(f"{path} has {len(values)} {kind} ({names}); edgeseg's have one", "Export the model again")
    return model, spec_in(model, path)


def prepare(model: onnx.ModelProto, path: Path, precision: EnginePrecision) -> onnx.ModelProto:
    """The model as TensorRT can parse it, with the types that a strongly typed network takes its precision from.

    Args:
        model: what :func:`read_onnx` returned; it may be changed.
        path: its file, for messages.
        precision: ``fp16`` converts it; ``int8`` wants Q/DQ in it.

    Raises:
        ModelError: the model is not of such a precision.
    """
    quantized = any(node.op_type == "QuantizeLinear" for node in model.graph.node)
    if precision == "int8" and not quantized:
        raise ModelError(
            f"{path} is not quantized: INT8 comes from the Q/DQ pairs in the model",
            f"Run: edgeseg quantize {quote(str(path))} --data DATASET --target tensorrt, and build its output",
        )
    if precision != "int8" and quantized:
        raise ModelError(f"{path} is quantized to INT8 and cannot be built in {precision}", "Use the precision int8")
    if quantized and not _is_symmetric(model.graph):
        raise ModelError(
            f"{path} is quantized with zero points, as ONNX Runtime's CPU kernels want it; TensorRT takes none",
            "Quantize the float32 model again: edgeseg quantize MODEL.onnx --data DATASET --target tensorrt",
        )
    try:
        cast_first(model)
        del model.graph.value_info[:]  # it may hold types from before the swap
        return to_fp16(model, str(path)) if precision == "fp16" else model
    except EdgesegError:
        raise
    except Exception as error:  # of a graph that no checker has found fault with
        raise ModelError(f"{path} cannot be prepared ({_one_line(error)})", "Export the model again") from error


def _check_shape(value: onnx.ValueInfoProto, path: Path) -> None:
    tensor = value.type.tensor_type
    if not tensor.HasField("shape"):
        raise ModelError(f"{path}: {value.name} has no fixed number of dimensions", "Export the model again")
    free = [index for index, dim in enumerate(tensor.shape.dim) if index > 0 and not dim.HasField("dim_value")]
    if free:
        what = f"{path}: dimensions {free} of {value.name} are free; an engine of edgeseg has a free batch only"
        raise ModelError(what, "Export the model again with a height and a width")


def _is_symmetric(graph: onnx.GraphProto) -> bool:
    """Whether every zero point that is known is 0."""
    constants = {tensor.name: tensor for tensor in graph.initializer}
    names = {node.input[2] for node in graph.node if node.op_type in _QUANTIZING and len(node.input) > 2}
    return not any(numpy_helper.to_array(constants[name]).any() for name in names if name in constants)


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split())[:200]
    return "".join(letter if letter.isprintable() else "?" for letter in text)
