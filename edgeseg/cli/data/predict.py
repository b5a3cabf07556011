"""``edgeseg data predict``: what a model says of pictures, as soft labels to teach with or as label files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgeseg.cli.open_model import ChosenBackend, Flip, Scales, Threads, TrustEngine, factors, open_model
from edgeseg.errors import InputError

EXAMPLES = """
edgeseg data predict large.onnx --data my_data --split train --output teacher
edgeseg data predict large.pt --data my_data --scales 1,1.25 --flip --output better_teacher
edgeseg train --data my_data --teacher teacher --output runs/taught
edgeseg data predict large.onnx --source drive.mp4 --output masks --labels --confidence 0.9
"""


def predict(
    model: Annotated[str, typer.Argument(help="A shipped model's name, or a .onnx, .engine or .pt file.")],
    output: Annotated[Path, typer.Option(help="Folder to write, a file for each picture.")],
    data: Annotated[
        Path | None, typer.Option(help="A dataset.yaml, or the folder that holds one, for its pictures.")
    ] = None,
    split: Annotated[str, typer.Option(help="The split of --data.")] = "train",
    source: Annotated[str | None, typer.Option(help="Instead of --data: a folder of images, or a video.")] = None,
    labels: Annotated[
        bool,
        typer.Option(
            "--labels/--probabilities", help="Index PNGs of the picture's size, or all probabilities, to teach with."
        ),
    ] = False,
    confidence: Annotated[
        float, typer.Option(min=0, max=1, help="With --labels: pixels below this probability have no label (255).")
    ] = 0.0,
    scales: Scales = "1",
    flip: Flip = False,
    backend: ChosenBackend = "auto",
    trust_engine: TrustEngine = False,
    threads: Threads = None,
) -> None:
    """Run a model over pictures and keep what it says of them.

    By default that is the probability of every class, at the size of the
    model's logits, a byte each and compressed: edgeseg train --teacher takes
    the folder. With --labels it is a label file for each picture.
    """
    if (data is None) == (source is None):
        raise InputError("there must be one place that pictures come from", "Pass --data or --source")
    if confidence and not labels:
        raise InputError("--confidence is for --labels: probabilities say themselves how sure they are", "Leave it out")
    sizes = factors(scales)

    from collections.abc import Iterable

    from edgeseg.cli.progress import show_progress
    from edgeseg.data.dataset import Dataset
    from edgeseg.evaluation.predict import pictures_of, predict_labels, predict_probabilities
    from edgeseg.files.whole import keep_apart
    from edgeseg.types import Frame
    from edgeseg.video.sources.registry import open_source

    frames: Iterable[Frame]
    if data is not None:
        dataset = Dataset.load(data)
        files = dataset.pictures(split)
        keep_apart([output], [dataset.path, *files])
        frames = show_progress(pictures_of(dataset, split), "predict", len(files))
    else:
        keep_apart([output], [str(source)])
        opened = open_source(str(source))
        if opened.info.live:
            opened.close()
            raise InputError(f"{opened.info.uri} has no end", "Pass a folder of images, or a video")
        frames = show_progress(opened, "predict", opened.info.frame_count)
    with open_model(model, backend, threads, "none", trust_engine, scales=sizes, flip=flip) as segmenter:
        if labels:
            predicted = predict_labels(segmenter, frames, output, confidence=confidence)
        else:
            predicted = predict_probabilities(segmenter, frames, output)
    each_kib = predicted.file_bytes / predicted.pictures / 1024
    print(f"{output}: {predicted.pictures} pictures, {each_kib:.1f} KiB each")
    if labels:
        print(f"{100 * predicted.labelled:.1f} % of the pixels have a label")
