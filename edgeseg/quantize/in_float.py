"""What is computed in float in an INT8 model: what INT8 has no kernel for, and what a softmax compares.

A softmax turns differences of its scores into ratios: e to the power of them. An error that is small beside the largest
score is not beside the differences of those that matter, so attention's product of queries and keys stays in float.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection

import onnx

from edgeseg.quantize.graph import MOVES, GraphView

_SOFTMAX = ("Softmax", "LogSoftmax")
_PRODUCTS = ("MatMul", "Gemm", "Conv", "ConvTranspose")
"""What computes the scores."""

_BETWEEN = ("Mul", "Div", "Add", "Sub", "Where", "Cast", *MOVES)
"""What may stand between the product and the softmax: a scale, a bias, a mask, another shape."""

_NO_ARITHMETIC = frozenset(
    (
        *MOVES,
        "Cast",
        "Concat",
        "Constant",
        "ConstantOfShape",
        "DequantizeLinear",
        "QuantizeLinear",
        "ScatterElements",
        "Shape",
    )
)
"""What computes nothing that could be called float."""


def before_softmax(graph: onnx.GraphProto) -> set[str]:
    """The names of the nodes that compute the scores of a softmax: products, and what stands between."""
    view = GraphView(graph)
    names: set[str] = set()
    reached = [node.input[0] for node in graph.node if node.op_type in _SOFTMAX]
    while reached:
        node = view.producer(reached.pop())
        if node is None or node.name in names or node.op_type not in (*_PRODUCTS, *_BETWEEN):
            continue
        names.add(node.name)
        if node.op_type not in _PRODUCTS:
            reached.extend(node.input)
    return names


def float_operators(graph: onnx.GraphProto, rounded: Collection[str]) -> dict[str, int]:
    """How many nodes of which type compute in float, the most first.

    Args:
        graph: of an INT8 model.
        rounded: the names of the nodes that compute in INT8.
    """
    left = (node for node in graph.node if node.name not in rounded and node.op_type not in _NO_ARITHMETIC)
    return dict(Counter(node.op_type for node in left).most_common())
