"""What ONNX Runtime writes when it profiles a session, as a table of layers."""

from __future__ import annotations

import json
from statistics import median

from edgeseg.runtime.backend import LayerLatency

_SUFFIX = "_kernel_time"
"""Of the events that are a node's own work; earlier versions also write of the fences around it."""


def layer_latencies(trace: str, runs: int) -> tuple[LayerLatency, ...]:
    """The layers in a trace, in the order they first ran in.

    Args:
        trace: JSON of Chrome's trace events, with ``dur`` in microseconds, of one run to warm up and all others.
        runs: how many the others are.
    """
    durations_us: dict[tuple[str, str], list[int]] = {}
    for event in json.loads(trace):
        if event.get("cat") == "Node" and event["name"].endswith(_SUFFIX):
            layer = (event["name"].removesuffix(_SUFFIX), event["args"]["op_name"])
            durations_us.setdefault(layer, []).append(event["dur"])
    layers = []
    for (name, op_type), all_us in durations_us.items():
        each_run = len(all_us) // (runs + 1)  # more than one where names are not unique, or in a loop
        runs_us = [sum(all_us[start : start + each_run]) for start in range(each_run, len(all_us), each_run)]
        layers.append(LayerLatency(name, op_type, median(runs_us) / 1000))
    return tuple(layers)
