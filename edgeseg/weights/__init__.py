"""The trained models that come with edgeseg: ``<name>.onnx`` beside its model card ``<name>.md``."""

from __future__ import annotations

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
        ModelError: neither; the message lists the shipped names.
    """
    path = Path(name_or_path)
    if path.is_file():
        return path
    models = {model.name: model.path for model in shipped()}
    if str(name_or_path) in models:
        return models[str(name_or_path)]
    raise ModelError(
        f"there is no model {str(name_or_path)!r}",
        f"Pass the path of a .onnx or .pt file, or a shipped model: {', '.join(models) or 'none in this installation'}",
    )
