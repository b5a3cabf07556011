"""Tensors that are joined share one range, so that TensorRT joins them without requantizing any.

A Concat ties its inputs to its output. What merely moves or picks values ties its output to what it reads. Ties reach
as far as they go: through a Concat of Concats, and from one Concat to another that reads one of the same tensors.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx

from edgeseg.quantize.graph import MOVES, GraphView

if TYPE_CHECKING:
    from onnxruntime.quantization.calibrate import TensorsData

Range = tuple[np.float32, np.float32]

_PASSES_ON = ("Resize", "Upsample", "AveragePool", "MaxPool", *MOVES)
"""Operators whose output holds the values of their first input, or means of them."""


def join_ranges(graph: onnx.GraphProto, ranges: TensorsData) -> dict[str, Range]:
    """Widen the ranges of joined tensors to that of all of them, in place.

    Args:
        graph: of the float model.
        ranges: of its tensors by name.

    Returns:
        The range for each constant that is joined to other tensors; its own values are in it.
    """
    view, groups = GraphView(graph), _Groups()
    concats = set()
    for node in graph.node:
        if node.op_type == "Concat":
            concats.add(node.output[0])
            groups.tie(*node.input, *node.output)
        elif node.op_type in _PASSES_ON:
            groups.tie(node.input[0], *node.output)
    joined: dict[str, Range] = {}
    for group in groups.of(concats):
        constants = {name: value for name in group if (value := view.constant(name)) is not None and value.size}
        known = [ranges[name] for name in group if name in ranges]
        if not known:
            continue  # of integers, such as shapes
        limits = [data.range_value for data in known] + [(v.min(), v.max()) for v in constants.values()]
        low = np.float32(min(float(np.min(pair[0])) for pair in limits))
        high = np.float32(max(float(np.max(pair[1])) for pair in limits))
        for data in known:
            data.lowest, data.highest = low, high
        joined |= dict.fromkeys(constants, (low, high))
    return joined


class _Groups:
    """Sets of names, each tied to all others of its set, however far around."""

    def __init__(self) -> None:
        self._group_of: dict[str, set[str]] = {}

    def tie(self, *names: str) -> None:
        group: set[str] = set()
        for name in filter(None, names):
            group |= self._group_of.get(name, {name})
        for name in group:
            self._group_of[name] = group

    def of(self, names: set[str]) -> list[set[str]]:
        """The groups that hold one of these, each once, in an order that does not depend on chance."""
        found = {id(group): group for name in sorted(names) if (group := self._group_of[name])}
        return list(found.values())
