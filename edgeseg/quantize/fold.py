"""The normalisation folded into the first convolution, so that this one can read the uint8 frame itself.

Left alone, a quantizer would turn ``(pixels - offset) * scale`` into elementwise work on the whole frame, which costs
as much as the rest of the network, and would round its result. But a convolution is linear: with any whole number z,

    W * ((x - offset) scale) + b  =  (W scale) * (x - z)  +  b + sum of (W scale)(z - offset)

and x - z is exactly what a uint8 tensor of scale 1 and zero point z stands for. Only at the border does the result
change: zero padding now means the grey z, not the mean colour.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from edgeseg.quantize.graph import GraphView, remove_unused_constants
from edgeseg.spec.int8 import Int8Levels

_CHAIN = ("Cast", "Transpose", "Sub", "Mul", "Conv")
_TO_NCHW = [0, 3, 1, 2]


@dataclass(frozen=True)
class FoldedInput:
    """What the first convolution reads after folding.

    Attributes:
        centered: name of the (N, 3, H, W) float32 tensor that is the frame minus ``zero_point``.
        zero_point: z, 0..255.
    """

    centered: str
    zero_point: int


@dataclass(frozen=True, eq=False)
class _Head:
    """The beginning of a graph: what normalises, and the convolution after it; offset and scale are (3,)."""

    sub: onnx.NodeProto
    mul: onnx.NodeProto
    convolution: onnx.NodeProto
    weight: NDArray[np.float32]
    bias: NDArray[np.float32]
    offset: NDArray[np.float64]
    scale: NDArray[np.float64]


def fold_normalisation(model: onnx.ModelProto, levels: Int8Levels) -> FoldedInput | None:
    """Fold ``(x - offset) * scale`` into the convolution after it, in place.

    Args:
        model: a graph that begins with Cast, Transpose to NCHW, Sub, Mul, Conv.
        levels: those of the target, which z depends on.

    Returns:
        The new input of the convolution; None, the model untouched, where the graph begins in another way, or where
        more than this convolution reads the normalised frame.
    """
    graph = model.graph
    head = _find_head(graph)
    if head is None:
        return None
    zero_point = levels.grey(float(head.offset.mean()))
    weight = head.weight * head.scale[:, None, None]
    bias = head.bias + (weight * (zero_point - head.offset)[:, None, None]).sum(axis=(1, 2, 3))

    stem = head.convolution.input[1].removesuffix(".weight") + ".folded"
    constants = {f"{stem}.zero_point": np.array(zero_point), f"{stem}.weight": weight, f"{stem}.bias": bias}
    for name, value in constants.items():
        graph.initializer.append(numpy_helper.from_array(value.astype(np.float32), name))
    head.sub.input[1] = f"{stem}.zero_point"
    graph.node.remove(head.mul)
    del head.convolution.input[:]
    head.convolution.input.extend([head.sub.output[0], f"{stem}.weight", f"{stem}.bias"])
    remove_unused_constants(graph)
    return FoldedInput(head.sub.output[0], zero_point)


def cast_first(model: onnx.ModelProto) -> None:
    """Where a graph transposes the uint8 frame and then casts it, swap the two, in place.

    TensorRT's uint8 can only be cast.
    """
    graph, view = model.graph, GraphView(model.graph)
    transpose = view.only_consumer(graph.input[0].name)
    cast = view.only_consumer(transpose.output[0]) if transpose is not None else None
    if transpose is None or cast is None or (transpose.op_type, cast.op_type) != ("Transpose", "Cast"):
        return
    cast.input[0], transpose.input[0] = transpose.input[0], transpose.output[0]
    cast.output[0], transpose.output[0] = transpose.output[0], cast.output[0]
    index = list(graph.node).index(transpose)
    graph.node.remove(cast)
    graph.node.insert(index, cast)


def _find_head(graph: onnx.GraphProto) -> _Head | None:
    view = GraphView(graph)
    nodes = view.chain(graph.input[0].name, _CHAIN)
    if nodes is None:
        return None
    _, transpose, sub, mul, convolution = nodes
    weight, offset, scale = (view.constant(node.input[1]) for node in (convolution, sub, mul))
    bias = view.constant(convolution.input[2]) if len(convolution.input) > 2 else np.zeros(1, np.float32)
    if weight is None or bias is None or offset is None or scale is None:
        return None
    if list(transpose.attribute[0].ints) != _TO_NCHW or weight.shape[1] != 3:
        return None
    if not all(values.size == 1 or values.shape in ((1, 3, 1, 1), (3, 1, 1)) for values in (offset, scale)):
        return None
    offset, scale = (np.broadcast_to(values.astype(np.float64).ravel(), (3,)) for values in (offset, scale))
    return _Head(sub, mul, convolution, weight, bias, offset, scale)
