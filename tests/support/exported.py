"""Fixtures: random networks as checkpoints and exported, each made once for all tests."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgeseg.spec import ModelSpec


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Callable[[Path], object]], Path]:
    """``made(name, write)``: a file that takes long to write, once for all processes that run the tests."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent

    def make(name: str, write: Callable[[Path], object]) -> Path:
        path = folder / name
        with (folder / f".{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not path.exists():
                write(path)
        return path

    return make


@pytest.fixture(scope="session")
def checkpoint_of(made: Callable[[str, Callable[[Path], object]], Path]) -> Callable[[str], Path]:
    """``checkpoint_of("enet")``: a 64x96 checkpoint of four classes, random but alive: labels depend on the image."""
    torch = pytest.importorskip("torch", reason="checkpoints need torch; pip install 'edgeseg[train]'")
    from edgeseg.evaluation.parity import probe_images
    from edgeseg.models.checkpoint import save_network
    from edgeseg.models.registry import build

    def write(path: Path) -> None:
        torch.manual_seed(0)
        network = build(path.stem, 4)
        norms = [module for module in network.modules() if isinstance(module, torch.nn.BatchNorm2d)]
        for norm in norms:
            torch.nn.init.uniform_(norm.weight, 0.8, 1.6)
            torch.nn.init.normal_(norm.bias, std=0.2)
            norm.momentum = None  # its statistics become those of the images below, so that no layer fades
        with torch.no_grad():
            images = np.stack([image for seed in range(2) for image in probe_images((64, 96), seed)])
            network(torch.from_numpy(images.transpose(0, 3, 1, 2)) / 64 - 2)
        spec = ModelSpec(
            path.stem,
            ("sky", "road", "tree", "car"),
            input_size=(64, 96),
            stride=network.stride,
            mean=(0.4, 0.45, 0.5),
            std=(0.2, 0.25, 0.3),
            metrics={"val_miou": 0.25},
        )
        save_network(path, network, spec)

    return lambda network_name: made(f"{network_name}.pt", write)


@pytest.fixture(scope="session")
def artifact_of(
    made: Callable[[str, Callable[[Path], object]], Path], checkpoint_of: Callable[[str], Path]
) -> Callable[[str, str], Path]:
    """``artifact_of("enet", "labels")``: that checkpoint exported with that output, once a session."""
    pytest.importorskip("onnxscript", reason="the export needs onnxscript; pip install 'edgeseg[export]'")
    from edgeseg.models.checkpoint import load_network
    from edgeseg_export.onnx import export_onnx

    def make(network_name: str, output: str) -> Path:
        checkpoint = checkpoint_of(network_name)

        def write(path: Path) -> None:
            _, spec = load_network(checkpoint)
            export_onnx(checkpoint, path, spec=replace(spec, output=output, license="CC0-1.0", data="noise"))

        return made(f"{network_name}-{output}.onnx", write)

    return make
