"""``edgeseg compare``: two artifacts or engines on the same frames, in accuracy, agreement and time."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgeseg.cli.open_model import FileBackend, Threads, TrustEngine

if TYPE_CHECKING:
    from rich.console import RenderableType

    from edgeseg.evaluation.parity import Parity

EXAMPLES = """
edgeseg compare model.onnx model-int8.onnx --data my_data --threads 1
edgeseg compare runs/mine/model.pt runs/mine/model.onnx --data my_data
edgeseg compare fast_scnn-camvid fast_scnn-camvid-int8 --data camvid --max-images 20
"""


def compare(
    a: Annotated[str, typer.Argument(help="The reference: a shipped model's name, or a .onnx or .pt file.")],
    b: Annotated[str, typer.Argument(help="The other, of the same classes.")],
    data: Annotated[Path, typer.Option(help="A dataset.yaml, or the folder that holds one: classes, images, labels.")],
    split: Annotated[str, typer.Option(help="The split of --data to run both on.")] = "val",
    max_images: Annotated[
        int | None, typer.Option(min=1, help="The most to use, spread evenly over the split; all if left out.")
    ] = None,
    backend_a: FileBackend = None,
    backend_b: Annotated[str | None, typer.Option(help="The same for B.")] = None,
    threads: Threads = None,
    trust_engine: TrustEngine = False,
) -> None:
    """Run the same frames through two models and set them side by side.

    Both take turns on every frame, so that the ratio of their times holds on
    a machine that is busy or slows down; the times themselves are medians.
    """
    from rich.console import Console

    from edgeseg.cli.progress import show_progress
    from edgeseg.data.dataset import Dataset
    from edgeseg.evaluation.metrics import left_out
    from edgeseg.evaluation.parity import compare_models

    dataset = Dataset.load(data)
    parity = compare_models(
        a,
        b,
        dataset,
        split,
        max_images=max_images,
        backend_a=backend_a,
        backend_b=backend_b,
        threads=threads,
        trust_engine=trust_engine,
        progress=lambda samples: show_progress(samples, "comparing"),
    )
    console = Console(highlight=False, markup=False, soft_wrap=True)
    console.print(f"A  {a}\nB  {b}\n")
    console.print(render(parity))
    for side, confusion in zip("AB", parity.confusion, strict=True):
        if missing := left_out(confusion.iou(), dataset.names):
            console.print(f"\n{side}: mIoU {missing}", end="")
    console.print(f"\n{parity.images} images of {split} of {dataset.path}; threads: {threads or 'all'}")


def render(parity: Parity) -> RenderableType:
    """A table of both sides, and what lies between them."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("")
    for heading in ("A", "B", "B to A"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_row("precision", *(spec.precision for spec in parity.specs))
    mious = [100 * miou for miou in parity.miou]
    table.add_row("mIoU %", *(_figure(miou) for miou in mious), _figure(mious[1] - mious[0], "+"))
    for name, (ms_a, ms_b) in (("engine ms", parity.infer_ms), ("frame to labels ms", parity.frame_ms)):
        table.add_row(name, f"{ms_a:.2f}", f"{ms_b:.2f}", f"{ms_a / ms_b:.2f}x as fast")
    table.add_row("labels that agree %", "", "", f"{100 * parity.label_agreement:.2f}")
    if not math.isnan(parity.max_abs_logit):
        difference = f"{parity.max_abs_logit_difference:.3g}"
        table.add_row("largest logit, and difference", f"{parity.max_abs_logit:.3g}", "", difference)
    return table


def _figure(value: float, sign: str = "") -> str:
    """A dash where no pixel is labelled, and nothing can be said."""
    return "-" if math.isnan(value) else f"{value:{sign}.2f}"
