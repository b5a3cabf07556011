"""Checkpoints: the network's weights beside its ModelSpec."""

from __future__ import annotations

import io
import os
import pickletools
import re
import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from edgeseg.errors import InputError, ModelError
from edgeseg.files.documents import is_printable
from edgeseg.files.whole import write_whole
from edgeseg.models.network import Network, first_not_finite
from edgeseg.models.registry import build
from edgeseg.spec import ModelSpec

MAX_BYTES = 1 << 30
"""A checkpoint takes as much memory as it is large; the state of a run is about five times as large as its network."""

_MAX_PLAN_BYTES = 8 << 20
"""Of the pickle in it, which says how the tensors lie in the file."""

_KNOWN = re.compile(r"collections OrderedDict|torch \w+Storage|torch\._utils _rebuild_(tensor_v2|parameter)")
"""What that pickle may call. PyTorch's own list has more, and some of it makes gigabytes of a few bytes."""

_REMEDY = "Pass the model.pt or best.pt of a training run"


class ForeignFileError(ModelError):
    """A file that edgeseg has not written as a checkpoint, or that has been damaged since."""


def save_network(path: Path, network: Network, spec: ModelSpec) -> None:
    """Write weights and spec, complete or not at all.

    Raises:
        SinkError: the file cannot be written.
    """
    save_atomically(path, {"spec": spec.to_json(), "model": network.state_dict()})


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A checkpoint of edgeseg that was read, once for all who want something of it.

    Attributes:
        path: where it came from.
        spec: what it says of itself.
        content: all that it holds: ``spec``, ``model``, and what such a run has put beside them.
    """

    path: Path
    spec: ModelSpec
    content: Mapping[str, Any]

    def network(self) -> Network:
        """A new network with its weights, in eval mode, on the CPU.

        Raises:
            ModelError: weights of another network, or weights that are no finite numbers.
        """
        try:
            network = build(self.spec.network, self.spec.num_classes, self.spec.network_args)
        except InputError as error:
            raise ModelError(f"{self.path}: {error.what}", _REMEDY) from None
        try:
            network.load_state_dict(self.content["model"])
        except Exception as error:  # of what a stranger's file holds instead of weights
            reason = next(iter(str(error).splitlines()), "")
            if not is_printable(reason):
                reason = type(error).__name__
            what = f"the weights in {self.path} do not fit {self.spec.network} ({reason})"
            raise ModelError(what, _REMEDY) from None
        if (name := first_not_finite(network)) is not None:
            raise ModelError(
                f"the weights in {self.path} are not all finite numbers ({name})",
                "Train again with a lower learning_rate, or pass another checkpoint",
            )
        return network.eval()


def read_checkpoint(source: Path | Checkpoint) -> Checkpoint:
    """What a file holds; of one that was read before, just that.

    Raises:
        ModelError: no such file, or not a checkpoint of edgeseg.
        SpecError: its spec is malformed.
    """
    if isinstance(source, Checkpoint):
        return source
    raw = load_trusted(source)
    if not isinstance(raw.get("spec"), str) or "model" not in raw:
        raise ForeignFileError(f"{source} is not a model of edgeseg", _REMEDY)
    return Checkpoint(source, ModelSpec.from_json(raw["spec"], str(source)), raw)


def load_network(path: Path) -> tuple[Network, ModelSpec]:
    """The network of a checkpoint in eval mode, on the CPU, and its spec.

    Raises:
        ModelError, SpecError: as :func:`read_checkpoint` and :meth:`Checkpoint.network`.
    """
    checkpoint = read_checkpoint(path)
    return checkpoint.network(), checkpoint.spec


def rewrite_spec(path: Path, spec: ModelSpec, output: Path | None = None) -> None:
    """Give a checkpoint another spec; all else in it stays.

    Args:
        path: the checkpoint.
        spec: its new spec.
        output: the file to write; None for ``path`` itself.

    Raises:
        ModelError, SpecError: as :func:`load_network`.
        SinkError: the file cannot be written.
    """
    checkpoint = read_checkpoint(path)
    checkpoint.network()  # what cannot be loaded is not passed on
    save_atomically(output or path, {**checkpoint.content, "spec": spec.to_json()})


def save_atomically(path: Path, state: dict[str, Any]) -> None:
    """torch.save that leaves the old file whole unless the new one is.

    Raises:
        SinkError: the file cannot be written.
    """
    content = io.BytesIO()  # so that all that can fail while the file is open is the file
    torch.save(state, content)
    write_whole(path, content.getvalue())


def load_trusted(path: Path) -> dict[str, Any]:
    """torch.load that takes tensors and plain values only, so that a checkpoint can neither run code nor fill memory.

    Raises:
        ModelError: no such file, or damaged, or not a checkpoint.
    """
    try:
        if os.path.exists(path) and not os.path.isfile(path):  # a pipe would be waited for
            raise ModelError(f"{path} is not a file", _REMEDY)
        with path.open("rb") as file:
            _check_modest(file, path)
            file.seek(0)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of what a damaged file seems to be
                raw = torch.load(file, map_location="cpu", weights_only=True)
    except (FileNotFoundError, NotADirectoryError):
        raise ModelError(f"there is no checkpoint {path}", "Correct the path") from None
    except OSError as error:
        raise ModelError(f"{path} cannot be read ({error.strerror or error})", "Correct the path") from None
    except ModelError:
        raise
    except Exception as error:  # a damaged file makes the unpickler raise almost anything
        reason = type(error).__name__
        raise ForeignFileError(f"{path} is not a checkpoint or is damaged ({reason})", _REMEDY) from None
    if not isinstance(raw, dict):
        raise ForeignFileError(f"{path} is not a checkpoint of edgeseg", _REMEDY)
    return raw


def _check_modest(file: io.BufferedReader, path: Path) -> None:
    """Refuse a file that would take more memory than it is large, or that is larger than checkpoints are.

    What :func:`save_atomically` writes is an archive of members that are not compressed, each once.
    """
    size = file.seek(0, io.SEEK_END)
    if size > MAX_BYTES:
        raise ModelError(f"{path} is larger than {MAX_BYTES >> 30} GiB, which no checkpoint of edgeseg is", _REMEDY)
    with zipfile.ZipFile(file) as archive:
        members = archive.infolist()
        if sum(member.file_size for member in members) > size or any(member.compress_type for member in members):
            raise ForeignFileError(f"{path} is not a checkpoint: it is compressed", _REMEDY)
        (plan,) = (member for member in members if member.filename.rpartition("/")[2] == "data.pkl")
        if plan.file_size > _MAX_PLAN_BYTES:
            raise ForeignFileError(f"{path} is not a checkpoint: its list of tensors is too large", _REMEDY)
        for operation, argument, _ in pickletools.genops(archive.read(plan)):
            if "GLOBAL" in operation.name and not _KNOWN.fullmatch(str(argument)):
                raise ForeignFileError(
                    f"{path} is not a checkpoint: it holds more than tensors and plain values", _REMEDY
                )
