"""The trained models that come with edgeseg: ``<name>.onnx`` beside its model card ``<name>.md``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgeseg.errors import ModelError

DEFAULT_MODEL = "fast_scnn-camvid"

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
    return [ShippedModel(path.stem, path, path.with_suffix(".md")) for path in sorted(FOLDER.glob("*.onnx"))]


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
