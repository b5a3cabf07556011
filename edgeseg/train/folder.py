"""The folder of a run: what lies in it, and what it must not be."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edgeseg.data.dataset import Dataset
from edgeseg.errors import InputError, SinkError
from edgeseg.files.whole import cannot_write, keep_apart, locked
from edgeseg.train.config import TrainConfig

MODEL_FILE = "model.pt"
BEST_FILE = "best.pt"
RESUME_FILE = "last.pt"
CONFIG_FILE = "config.yaml"
METRICS_FILE = "metrics.csv"
CURVES_FILE = "curves.png"
CONFUSION_FILE = "confusion.png"
EVENTS_FOLDER = "tensorboard"

FILES = (
    *(MODEL_FILE, BEST_FILE, RESUME_FILE, CONFIG_FILE),
    *(METRICS_FILE, CURVES_FILE, CONFUSION_FILE, EVENTS_FOLDER),
)
"""All that a run writes."""


def check_folder(config: TrainConfig, dataset: Dataset) -> None:
    """Refuse an output that is or holds the data, or whose files would replace the checkpoint that the run starts from.

    Raises:
        SinkError: with both named; or the output's name is no UTF-8, which TensorBoard wants.
    """
    try:
        str(config.folder).encode()
    except UnicodeEncodeError:
        raise SinkError(f"the name of {config.folder} is not UTF-8", "Choose another output") from None
    data = dataset.places
    if config.unlabelled:
        data.append(Path(config.unlabelled))
    files = [config.folder / name for name in FILES]
    keep_apart([config.folder, *files], data)
    keep_apart(files, [path for path in (config.init, config.qat, config.teacher) if path])


@contextmanager
def held(folder: Path, *, resume: bool) -> Iterator[None]:
    """The folder, made where it is missing, for one run at a time.

    Raises:
        InputError: it holds another run, which is not to be resumed.
        SinkError: it cannot be made, or another process trains into it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(folder, error) from None

    def refuse() -> None:
        raise SinkError(f"another process trains into {folder}", "Wait until it is done, or choose another output")

    with locked(folder / RESUME_FILE, waiting=refuse):
        there = [name for name in (RESUME_FILE, MODEL_FILE, BEST_FILE) if os.path.lexists(folder / name)]
        if there and not resume:
            raise InputError(f"{folder} holds a training run ({there[0]})", "Resume it, or choose another output")
        yield
