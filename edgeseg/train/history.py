"""What a run leaves for people: metrics.csv, TensorBoard events, curves.png and confusion.png."""

from __future__ import annotations

import csv
import io
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch.utils.tensorboard import SummaryWriter

from edgeseg.files.whole import cannot_write, write_whole
from edgeseg.train.folder import CURVES_FILE, EVENTS_FOLDER, METRICS_FILE

Row = dict[str, float]
"""One epoch: epoch, learning_rate, train_loss, seconds, and loss_NAME of each term that train_loss is the sum of; where
it was evaluated also val_miou, val_classes (over how many classes that is the mean) and val_pixel_accuracy."""

COLUMNS = ("epoch", "learning_rate", "train_loss", "seconds", "val_miou", "val_classes", "val_pixel_accuracy")

_LARGEST_SIDE_IN = 30.0
_DPI = 120


class History:
    """The rows of a run; each :meth:`add` rewrites the files, so that they are whole whenever the run is killed.

    Raises:
        SinkError: a file cannot be written; likewise in every method.
    """

    def __init__(self, folder: Path, rows: Sequence[Row] = ()) -> None:
        self.folder = folder
        self.rows = list(rows)
        try:
            self._events = SummaryWriter(folder / EVENTS_FOLDER, purge_step=len(self.rows) + 1)
        except OSError as error:
            raise cannot_write(folder / EVENTS_FOLDER, error) from None

    def add(self, row: Row) -> None:
        """Append an epoch."""
        self.rows.append(row)
        table = io.StringIO(newline="")
        terms = dict.fromkeys(key for one in self.rows for key in one if key not in COLUMNS)
        writer = csv.DictWriter(table, (*COLUMNS, *terms), restval="")
        writer.writeheader()
        writer.writerows(self.rows)
        write_whole(self.folder / METRICS_FILE, table.getvalue())
        try:
            for key, value in row.items():
                if key != "epoch":
                    self._events.add_scalar(key, value, int(row["epoch"]))
            self._events.flush()
        except OSError as error:
            raise cannot_write(self.folder / EVENTS_FOLDER, error) from None

    def plot(self) -> None:
        """Draw curves.png: loss and learning rate by epoch, and validation mIoU."""
        epochs = [row["epoch"] for row in self.rows]
        evaluated = [row for row in self.rows if "val_miou" in row]
        figure = Figure((10, 4), layout="constrained")
        left, right = figure.subplots(1, 2)
        left.plot(epochs, [row["train_loss"] for row in self.rows], color="tab:blue")
        left.set(xlabel="epoch", ylabel="training loss")
        rate = left.twinx()
        rate.plot(epochs, [row["learning_rate"] for row in self.rows], color="tab:gray", linestyle=":")
        rate.set_ylabel("learning rate")
        right.plot([row["epoch"] for row in evaluated], [100 * row["val_miou"] for row in evaluated], marker=".")
        right.set(xlabel="epoch", ylabel="validation mIoU (%)")
        right.grid(alpha=0.3)
        _save(figure, self.folder / CURVES_FILE)

    def close(self) -> None:
        """Close the event file."""
        try:
            self._events.close()
        except OSError as error:
            raise cannot_write(self.folder / EVENTS_FOLDER, error) from None


def plot_confusion(matrix: NDArray[np.int64], names: Sequence[str], path: Path) -> None:
    """Draw a confusion matrix (C, C), rows the truth, each row as fractions of its pixels.

    Raises:
        SinkError: the file cannot be written.
    """
    fractions = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    side = min(max(4.0, 0.5 * len(names) + 2), _LARGEST_SIDE_IN)
    figure = Figure((side, side), layout="constrained")
    axes = figure.subplots()
    axes.imshow(fractions, cmap="Blues", vmin=0, vmax=1)
    axes.set_xticks(range(len(names)), names, rotation=60, ha="right", parse_math=False)
    axes.set_yticks(range(len(names)), names, parse_math=False)
    axes.set(xlabel="predicted", ylabel="truth")
    if len(names) <= 30:
        for (row, column), value in np.ndenumerate(fractions):
            if value >= 0.01:
                color = "white" if value > 0.5 else "black"
                axes.text(column, row, f"{100 * value:.0f}", ha="center", va="center", fontsize=7, color=color)
    _save(figure, path)


def _save(figure: Figure, path: Path) -> None:
    """As PNG; without pyplot, which would set a backend and keep the figure for the whole process."""
    FigureCanvasAgg(figure)
    content = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of letters that the font has not
        figure.savefig(content, format="png", dpi=_DPI)
    write_whole(path, content.getvalue())
