"""Checkpoints: the network's weights beside its ModelSpec."""

from __future__ import annotations

import contextlib
import os
import warnings
from pathlib import Path
from typing import Any

import torch

from edgeseg.errors import ModelError, SinkError
from edgeseg.models.network import Network
from edgeseg.models.registry import build
from edgeseg.spec import ModelSpec


def save_network(path: Path, network: Network, spec: ModelSpec) -> None:
    """Write weights and spec, complete or not at all."""
    save_atomically(path, {"spec": spec.to_json(), "model": network.state_dict()})


def load_network(path: Path) -> tuple[Network, ModelSpec]:
    """The network of a checkpoint in eval mode, on the CPU, and its spec.

    Raises:
        ModelError: no such file, not a checkpoint of edgeseg, or weights of another network.
        SpecError: its spec is malformed.
    """
    raw = load_trusted(path)
    if not {"spec", "model"} <= raw.keys():
        raise ModelError(f"{path} is not a model of edgeseg", "Pass the model.pt or best.pt of a training run")
    spec = ModelSpec.from_json(str(raw["spec"]), str(path))
    network = build(spec.network, spec.num_classes)
    try:
        network.load_state_dict(raw["model"])
    except (RuntimeError, TypeError, AttributeError) as error:
        raise ModelError(f"the weights in {path} do not fit {spec.network} ({str(error).splitlines()[0]})") from None
    return network.eval(), spec


def save_atomically(path: Path, state: dict[str, Any]) -> None:
    """torch.save to a file beside, then rename: a kill leaves the old file whole.

    Raises:
        SinkError: it cannot be written.
    """
    partial = path.with_name(path.name + ".part")
    try:
        torch.save(state, partial)
        os.replace(partial, path)
    except (OSError, RuntimeError) as error:  # torch reports a full disk as RuntimeError
        with contextlib.suppress(OSError):
            partial.unlink()
        raise SinkError(
            f"{path} cannot be written ({str(error).splitlines()[0]})", "Make room, or choose another --output"
        ) from None


def load_trusted(path: Path) -> dict[str, Any]:
    """torch.load that takes tensors and plain values only, so that a checkpoint cannot run code.

    Raises:
        ModelError: no such file, or damaged, or not a checkpoint.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what a damaged file seems to be
            raw = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise ModelError(f"there is no checkpoint {path}", "Correct the path") from None
    except Exception as error:  # a damaged file makes the unpickler raise almost anything
        reason = type(error).__name__
        raise ModelError(
            f"{path} is not a checkpoint or is damaged ({reason})", "Pass the model.pt of a training run"
        ) from None
    if not isinstance(raw, dict):
        raise ModelError(f"{path} is not a checkpoint of edgeseg", "Pass the model.pt of a training run")
    return raw
