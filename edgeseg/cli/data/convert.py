"""``edgeseg data convert``: a data set of any format as folders of index labels with a dataset.yaml."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

EXAMPLES = """
edgeseg data convert VOCdevkit/VOC2012 voc
edgeseg data convert export my_data --format coco
edgeseg train --data my_data --output runs/my_data
"""


def convert(
    source: Annotated[Path, typer.Argument(help="The folder of a data set, or its dataset.yaml.")],
    destination: Annotated[Path, typer.Argument(help="A new or empty folder.")],
    format: Annotated[
        str | None,
        typer.Option(
            "--format",
            help="How it lies: folders, cityscapes, voc, ade20k, coco, labelme, cvat, label-studio, yolo, roboflow, "
            "joined, edges; if left out, what its dataset.yaml says or it looks like.",
        ),
    ] = None,
) -> None:
    """Write a data set as folders of images and index labels.

    The destination holds SPLIT/images, SPLIT/labels and a dataset.yaml, which
    every verb reads. Images are hard links to the source's, or copies on
    another disk; shapes are drawn once, which makes training start faster.
    """
    from edgeseg.cli.progress import show_progress
    from edgeseg.data import convert as conversion
    from edgeseg.data.dataset import Dataset

    dataset = Dataset.load(source, format)
    written = conversion.convert(dataset, destination, progress=lambda samples: show_progress(samples, "convert"))
    print(f"{written}: {len(dataset.names)} classes, splits {', '.join(dataset.splits)}")
