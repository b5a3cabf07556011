"""``edgeseg export``: from a checkpoint to the artifact that runs on a device."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgeseg.errors import InputError, ModelError

if TYPE_CHECKING:
    from rich.console import Console

    from edgeseg.dataset import Dataset

EXAMPLES = """
edgeseg export runs/my_data/model.pt
edgeseg export runs/my_data/model.pt --output street.onnx --data my_data --license CC-BY-4.0
edgeseg export runs/my_data/model.pt --head labels --output labels.onnx
"""


class Head(str, Enum):
    """What the graph ends in."""

    logits = "logits"
    labels = "labels"


def export(
    model: Annotated[Path, typer.Argument(help="The model.pt or best.pt of a training run.")],
    output: Annotated[Path | None, typer.Option(help="File to write \\[default: the model's name with .onnx].")] = None,
    head: Annotated[
        Head,
        typer.Option(help="logits at the network's stride, upsampled by edgeseg's kernel; or labels from the graph."),
    ] = Head.logits,
    height: Annotated[int | None, typer.Option(min=8, help="Input height; the model's own if left out.")] = None,
    width: Annotated[int | None, typer.Option(min=8, help="Input width; the model's own if left out.")] = None,
    data: Annotated[
        Path | None, typer.Option(help="Measure the artifact on this dataset and note the mIoU in it.")
    ] = None,
    split: Annotated[str, typer.Option(help="The split of --data.")] = "val",
    license: Annotated[str | None, typer.Option(help="Licence of the weights, noted in the artifact.")] = None,
    trained_on: Annotated[str | None, typer.Option(help="What it was trained on, noted in the artifact.")] = None,
) -> None:
    """Write a checkpoint as ONNX that takes uint8 RGB frames and knows its own classes.

    The artifact is then run beside PyTorch on the same images and the largest
    difference printed; it fails if they disagree.
    """
    target = output or model.with_suffix(".onnx")
    if target.suffix.lower() != ".onnx":
        raise InputError(f"{target} does not end in .onnx", "Correct --output")

    from dataclasses import replace

    from rich.console import Console

    from edgeseg.dataset import Dataset
    from edgeseg.models.checkpoint import load_network
    from edgeseg.models.network import count_macs
    from edgeseg.runtime.registry import open_backend
    from edgeseg_export.onnx import export_onnx
    from edgeseg_export.parity import compare, probe_images

    console = Console(highlight=False, markup=False, soft_wrap=True)  # paths are shown as they are, in one piece
    network, spec = load_network(model)
    size = (height or spec.input_size[0], width or spec.input_size[1])
    network.check_size(size)
    dataset = Dataset.load(data) if data is not None else None
    if dataset is not None:
        dataset.split(split)  # a wrong name is found now, not after the export
    metrics = {**spec.metrics, "macs": count_macs(network, size)}
    if size != spec.input_size:
        metrics.pop("val_miou", None)  # it was measured at the other size
    spec = replace(
        spec,
        output=head.value,
        input_size=size,
        license=spec.license if license is None else license,
        data=spec.data if trained_on is None else trained_on,
        metrics=metrics,
        crf=spec.crf if size == spec.input_size else None,  # its sigmas are pixels of the other size
    )
    spec = export_onnx(model, target, spec=spec)
    console.print(f"{target}  {target.stat().st_size / 1e6:.2f} MB, uint8 {size[0]}x{size[1]} to {spec.output}")
    reference, artifact = open_backend(model, backend="pytorch"), open_backend(target)
    reference.spec = replace(reference.spec, input_size=size)
    parity = compare(reference, artifact, probe_images(size))
    line = f"parity with PyTorch on {parity.images} images: {100 * parity.label_agreement:.3f} % of labels agree"
    if spec.output == "logits":
        line += (
            f", largest logit difference {parity.max_abs_logit_difference:.2g} "
            f"(of logits up to {parity.max_abs_logit:.2g})"
        )
    console.print(line)
    if not parity.holds():
        raise ModelError(f"{target} does not do what {model} does", "Report it with both files")
    if dataset is not None:
        _note_miou(target, dataset, split, console)
    console.print(f"next: edgeseg run --model {target}")


def _note_miou(artifact: Path, dataset: Dataset, split: str, console: Console) -> None:
    """Measure the artifact itself, not the checkpoint, and store the figure in its spec."""
    from edgeseg.evaluate import evaluate
    from edgeseg.segmenter import Segmenter
    from edgeseg_export.artifact import rewrite_spec

    with Segmenter.open(artifact) as segmenter:
        miou = evaluate(segmenter, dataset, split).confusion.miou()
        rewrite_spec(artifact, segmenter.spec.with_metrics(val_miou=miou))
    console.print(f"mIoU {100 * miou:.2f} % on {split} of {dataset.path}")
