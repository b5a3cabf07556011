"""Where the milliseconds of a network go, as ONNX Runtime tells it."""

from __future__ import annotations

import json
from contextlib import closing

import numpy as np
import pytest

from edgeseg.errors import EdgesegError, InputError
from edgeseg.runtime.backend import ProfilingBackend
from edgeseg.runtime.ort.backend import OrtBackend
from edgeseg.runtime.ort.profile import layer_latencies

IMAGES = np.zeros((1, 32, 48, 3), np.uint8)


def test_every_layer_that_runs_has_its_time(convnet, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with closing(OrtBackend(convnet, threads=1)) as backend:
        assert isinstance(backend, ProfilingBackend)
        expected = backend.infer(IMAGES)
        layers = backend.profile(IMAGES, runs=3)
        np.testing.assert_array_equal(backend.infer(IMAGES), expected)
    names = [layer.name for layer in layers]
    assert len(set(names)) == len(names)
    assert sum(layer.op_type in ("Conv", "FusedConv") for layer in layers) == 6  # however they were fused
    assert {"MaxPool", "AveragePool"} <= {layer.op_type for layer in layers}
    assert names.index("body") < next(index for index, name in enumerate(names) if name.startswith("logits"))
    assert all(layer.ms >= 0 for layer in layers)
    assert sum(layer.ms for layer in layers) > 0
    assert not list(tmp_path.iterdir()), "what ONNX Runtime wrote is gone"


def test_the_median_leaves_out_the_first_run():
    """A node that runs twice a run is one layer of both its times."""
    durations = {"conv": [(900,), (10,), (30,), (20,)], "twice": [(500, 500), (1, 2), (3, 4), (1, 1)]}
    events = [{"cat": "Session", "name": "model_run", "dur": 5, "args": {}}]
    for run in range(4):
        for name, runs in durations.items():
            for dur in runs[run]:
                node = {"cat": "Node", "args": {"op_name": name.title()}}
                events.append({**node, "name": f"{name}_fence_before", "dur": 77})
                events.append({**node, "name": f"{name}_kernel_time", "dur": dur})
    layers = layer_latencies(json.dumps(events), 3)
    assert [(layer.name, layer.op_type, layer.ms) for layer in layers] == [
        *(("conv", "Conv", 0.02), ("twice", "Twice", 0.003)),
    ]


@pytest.mark.parametrize(("images", "runs"), [(IMAGES[:, :8], 1), (IMAGES, 0)])
def test_what_cannot_be_timed_is_told(convnet, images, runs):
    with closing(OrtBackend(convnet, threads=1)) as backend, pytest.raises(InputError):
        backend.profile(images, runs)


def test_a_file_that_has_changed_is_looked_through_again(convnet, tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(convnet.read_bytes())
    with closing(OrtBackend(path, threads=1)) as backend:
        path.write_bytes(b"hello")
        with pytest.raises(EdgesegError, match="is no ONNX file"):
            backend.profile(IMAGES)
