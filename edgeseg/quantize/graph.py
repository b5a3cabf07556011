"""A look at an ONNX graph along its edges: who makes a tensor, who takes it, which values are constant."""

from __future__ import annotations

from collections.abc import Sequence

import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

MOVES = (
    *("Identity", "Dropout", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose", "Expand", "Tile"),
    *("Slice", "Split", "Gather", "DepthToSpace", "SpaceToDepth", "Pad"),
)
"""Operators that merely move or pick the values of their first input."""


class GraphView:
    """An index of a graph as it was when this was made."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self._graph = graph
        self._initializers = {tensor.name: tensor for tensor in graph.initializer}
        self._producers = {name: node for node in graph.node for name in node.output}
        self._consumers: dict[str, list[onnx.NodeProto]] = {}
        for node in graph.node:
            for name in node.input:
                self._consumers.setdefault(name, []).append(node)

    def producer(self, tensor: str) -> onnx.NodeProto | None:
        """The node that makes a tensor; None for inputs and constants."""
        return self._producers.get(tensor)

    def consumers(self, tensor: str) -> list[onnx.NodeProto]:
        """The nodes that take it."""
        return self._consumers.get(tensor, [])

    def only_consumer(self, tensor: str) -> onnx.NodeProto | None:
        """The node that alone takes it; None where there are more, or where it leaves the graph."""
        consumers = self.consumers(tensor)
        leaves = any(output.name == tensor for output in self._graph.output)
        return consumers[0] if len(consumers) == 1 and not leaves else None

    def chain(self, tensor: str, op_types: Sequence[str]) -> list[onnx.NodeProto] | None:
        """The nodes of these types that follow each other from a tensor on, each the only one to take what comes to it.

        None where other nodes follow, or one takes it for another than its first input.
        """
        nodes: list[onnx.NodeProto] = []
        for op_type in op_types:
            node = self.only_consumer(tensor)
            if node is None or node.op_type != op_type or node.input[0] != tensor:
                return None
            nodes.append(node)
            tensor = node.output[0]
        return nodes

    def constant(self, tensor: str) -> NDArray | None:  # type: ignore[type-arg]  # of whatever dtype it is
        """Its value where it is an initializer."""
        found = self._initializers.get(tensor)
        return None if found is None else numpy_helper.to_array(found)


def remove_unused_constants(graph: onnx.GraphProto) -> None:
    """Remove the initializers that no node reads."""
    read = {name for node in graph.node for name in node.input}
    for tensor in [tensor for tensor in graph.initializer if tensor.name not in read]:
        graph.initializer.remove(tensor)
