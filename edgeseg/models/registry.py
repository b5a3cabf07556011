"""Networks by name."""

from __future__ import annotations

from collections.abc import Callable

from edgeseg.errors import InputError, ModelError
from edgeseg.models.enet import ENet
from edgeseg.models.fast_scnn import FastSCNN
from edgeseg.models.network import Network
from edgeseg.spec.palette import MAX_CLASSES

NETWORKS: dict[str, Callable[[int], Network]] = {"fast_scnn": FastSCNN, "enet": ENet}


def build(name: str, num_classes: int) -> Network:
    """The network of that name with fresh weights.

    Args:
        name: one of ``NETWORKS``.
        num_classes: 1 to 255.

    Raises:
        ModelError: no network has that name.
        InputError: another number of classes.
    """
    if name not in NETWORKS:
        raise ModelError(f"there is no network {name!r}", f"Use one of {', '.join(NETWORKS)}")
    if not 1 <= num_classes <= MAX_CLASSES:
        raise InputError(f"a network of {num_classes} classes", f"Use 1 to {MAX_CLASSES}")
    return NETWORKS[name](num_classes)
