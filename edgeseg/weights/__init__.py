"""The trained models that come with edgeseg: ``<name>.onnx`` beside its model card ``<name>.md``."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from edgeseg.errors import ModelError

TASKS = {
    "street": ("edgenet-base-camvid", "edgenet-small-camvid", "edgenet-nano-camvid", "fast_scnn-camvid"),
    "people": ("edgenet-small-people",),
}
"""What models see, in a word that may stand for their name; those that do, the most accurate first."""

DEFAULT_TASK = "street"
"""What the model is for that runs where none is named."""

_INT8 = "-int8"

FOLDER = Path(__file__).parent
BACKBONE_FOLDER = FOLDER / "backbones"
"""What ``--init`` takes where it is a backbone of edgeseg's own: ``<name>.npz`` beside its card."""


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


def task_of(name: str) -> str | None:
    """Which of :data:`TASKS` a shipped model is for; None for one that is for none of them."""
    return next((task for task, names in TASKS.items() if name.partition(_INT8)[0] in names), None)


def is_task(model: str | Path) -> bool:
    """Whether it is one of :data:`TASKS`, and not the path of a file."""
    return str(model) in TASKS and not _is_file(Path(model))


def models_for(task: str, *, int8: bool | None = None) -> list[str]:
    """The shipped models for one of :data:`TASKS`, the most accurate first.

    Args:
        task: one of them.
        int8: whether in INT8, for CPUs; None for whether this CPU has the instructions that make it faster.

    Raises:
        ModelError: none is shipped.
    """
    if int8 is None:
        from edgeseg._native import has_int8_dot_product

        int8 = has_int8_dot_product()
    names = {model.name for model in shipped()}
    found = [name for name in TASKS[task] if name in names]
    if not found:
        raise ModelError(f"no model for {task!r} is in this installation", "Name one, or install edgeseg again")
    return [f"{name}{_INT8}" if int8 and f"{name}{_INT8}" in names else name for name in found]


def find(name_or_path: str | Path) -> Path:
    """The artifact of that path, or of the shipped model of that name; a path that exists wins.

    One of :data:`TASKS` is the most accurate for it; what this machine runs in real time,
    :func:`edgeseg.runtime.choose.choose` knows.

    Raises:
        ModelError: neither; the message lists the shipped names. Or the path leads to no file.
    """
    path, name = Path(name_or_path), str(name_or_path)
    if not _is_file(path):
        known = {model.name: model.path for model in shipped()}
        model = models_for(name)[0] if name in TASKS else name
        if model in known:
            return known[model]
    if _exists(path):
        check_model_file(path)
        return path
    names = [model.name for model in shipped()]
    listed = ", ".join([*dict.fromkeys(task for name in names if (task := task_of(name))), *names])
    raise ModelError(
        f"there is no model {name!r}",
        f"Pass the path of a .onnx or .pt file, or a shipped model: {listed or 'none in this installation'}",
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
