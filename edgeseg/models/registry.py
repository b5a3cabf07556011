"""Networks by name."""

from __future__ import annotations

from collections.abc import Callable

from edgeseg.errors import ModelError
from edgeseg.models.enet import ENet
from edgeseg.models.fast_scnn import FastSCNN
from edgeseg.models.network import Network

NETWORKS: dict[str, Callable[[int], Network]] = {"fast_scnn": FastSCNN, "enet": ENet}


def build(name: str, num_classes: int) -> Network:
    """The network of that name with fresh weights.

    Raises:
        ModelError: no network has that name.
    """
    if name not in NETWORKS:
        raise ModelError(f"there is no network {name!r}", f"Use one of {', '.join(NETWORKS)}")
    return NETWORKS[name](num_classes)
