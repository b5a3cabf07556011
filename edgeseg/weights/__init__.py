"""The trained models that come with edgeseg: ``<name>.onnx`` beside its model card ``<name>.md``."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from edgeseg.errors import ModelError

FLOAT_DEFAULT = "fast_scnn-camvid"
INT8_DEFAULT = "fast_scnn-camvid-int8"

FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class ShippedModel:
    """A model in the package.

    Attributes:
        name: ``<network>-<data>``, as ``Segmenter.open`` takes it.
        path: the ONNX file.
        card: the model card: data, licence, recipe, figures.
    """

    name: str
    path: Path
    card: Path


def shipped() -> list[ShippedModel]:
    """The models in the package, sorted by name."""
    paths = sorted(FOLDER.glob("*.onnx"), key=lambda path: path.stem)
    return [ShippedModel(path.stem, path, path.with_suffix(".md")) for path in paths]


def default_model() -> str:
    """The shipped model to run where none is named: in INT8 where this CPU has the instructions that make it faster."""
    from edgeseg._native import has_int8_dot_product

    return INT8_DEFAULT if has_int8_dot_product() else FLOAT_DEFAULT


def find(name_or_path: str | Path) -> Path:
    """The artifact of that path, or of the shipped model of that name; a path that exists wins.

    Raises:
        ModelError: neither; the message lists the shipped names. Or the path leads to no file.
    """
    path = Path(name_or_path)
    models = {model.name: model.path for model in shipped()}
    if str(name_or_path) in models and not _is_file(path):
        return models[str(name_or_path)]
    if _exists(path):
        check_model_file(path)
        return path
    raise ModelError(
        f"there is no model {str(name_or_path)!r}",
        f"Pass the path of a .onnx or .pt file, or a shipped model: {', '.join(models) or 'none in this installation'}",
    )


def check_model_file(path: Path) -> None:
    """Raise ModelError unless a path leads to a file, through links or not."""
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError) as error:  # ValueError: a null byte in the name
        if isinstance(error, FileNotFoundError | NotADirectoryError):
            raise ModelError(f"there is no model file {path}", "Correct the path") from None
        reason = getattr(error, "strerror", None) or str(error)
        raise ModelError(f"{path} cannot be read ({reason})", "Correct the path, or allow it to be read") from None
    if not stat.S_ISREG(mode):
        kind = "a folder" if stat.S_ISDIR(mode) else "no file"
        raise ModelError(f"{path} is {kind}, not a model", "Pass the model file itself")


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:
        return False


def _exists(path: Path) -> bool:
    """Whether something is there, be it of use or not."""
    try:
        os.stat(path)
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return False
    except OSError:
        return True  # a name too long, or a folder that may not be entered
    return True
