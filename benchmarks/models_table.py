"""Prints the README's table of shipped models, read from the artifacts.

python benchmarks/models_table.py
"""

from __future__ import annotations

from pathlib import Path

from edgeseg.artifact.onnx import read_spec
from edgeseg.weights import ShippedModel, shipped

REPOSITORY = Path(__file__).resolve().parents[1]

COLUMNS = ("model", "classes", "input", "parameters", "GMACs", "val mIoU", "size", "weights' licence")


def row(model: ShippedModel) -> tuple[str, ...]:
    """One cell per column; the name links to the model card. A figure the artifact lacks is a KeyError, not a gap."""
    spec = read_spec(model.path)
    height, width = spec.input_size
    if not model.card.is_file():
        raise FileNotFoundError(f"{model.name} has no model card: write {model.card}")
    return (
        f"[{model.name}]({model.card.resolve().relative_to(REPOSITORY).as_posix()})",
        str(spec.num_classes),
        f"{width}x{height}",
        f"{spec.metrics['parameters'] / 1e6:.2f} M",
        f"{spec.metrics['macs'] / 1e9:.2f}",
        f"{spec.metrics['val_miou']:.1%}",
        f"{model.path.stat().st_size / 1e6:.1f} MB",
        spec.license,
    )


def main() -> None:
    rule = tuple("---" if column in (COLUMNS[0], COLUMNS[-1]) else "---:" for column in COLUMNS)
    for cells in (COLUMNS, rule, *map(row, shipped())):
        print(f"| {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
