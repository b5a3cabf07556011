"""What a run leaves for people: metrics.csv, TensorBoard events, curves.png and confusion.png."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
from numpy.typing import NDArray

mpl.use("Agg")  # before pyplot: there may be no display

from matplotlib import pyplot as plt
from torch.utils.tensorboard import SummaryWriter

Row = dict[str, float]
"""One epoch: epoch, learning_rate, train_loss, seconds, and val_miou, val_pixel_accuracy where it was evaluated."""

COLUMNS = ("epoch", "learning_rate", "train_loss", "seconds", "val_miou", "val_pixel_accuracy")


class History:
    """The rows of a run; each :meth:`add` rewrites the files, so that they are whole whenever the run is killed."""

    def __init__(self, folder: Path, rows: Sequence[Row] = ()) -> None:
        self.folder = folder
        self.rows = list(rows)
        self._events = SummaryWriter(folder / "tensorboard", purge_step=len(self.rows) + 1)

    def add(self, row: Row) -> None:
        """Append an epoch."""
        self.rows.append(row)
        with (self.folder / "metrics.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, COLUMNS, restval="")
            writer.writeheader()
            writer.writerows(self.rows)
        for key, value in row.items():
            if key != "epoch":
                self._events.add_scalar(key, value, int(row["epoch"]))
        self._events.flush()

    def plot(self) -> None:
        """Draw curves.png: loss and learning rate by epoch, and validation mIoU."""
        epochs = [row["epoch"] for row in self.rows]
        evaluated = [row for row in self.rows if "val_miou" in row]
        figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), constrained_layout=True)
        left.plot(epochs, [row["train_loss"] for row in self.rows], color="tab:blue")
        left.set(xlabel="epoch", ylabel="training loss")
        rate = left.twinx()
        rate.plot(epochs, [row["learning_rate"] for row in self.rows], color="tab:gray", linestyle=":")
        rate.set_ylabel("learning rate")
        right.plot([row["epoch"] for row in evaluated], [100 * row["val_miou"] for row in evaluated], marker=".")
        right.set(xlabel="epoch", ylabel="validation mIoU (%)")
        right.grid(alpha=0.3)
        figure.savefig(self.folder / "curves.png", dpi=120)
        plt.close(figure)

    def close(self) -> None:
        """Close the event file."""
        self._events.close()


def plot_confusion(matrix: NDArray[np.int64], names: Sequence[str], path: Path) -> None:
    """Draw a confusion matrix (C, C), rows the truth, each row as fractions of its pixels."""
    fractions = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    side = max(4.0, 0.5 * len(names) + 2)
    figure, axes = plt.subplots(figsize=(side, side), constrained_layout=True)
    axes.imshow(fractions, cmap="Blues", vmin=0, vmax=1)
    axes.set_xticks(range(len(names)), names, rotation=60, ha="right")
    axes.set_yticks(range(len(names)), names)
    axes.set(xlabel="predicted", ylabel="truth")
    if len(names) <= 30:
        for (row, column), value in np.ndenumerate(fractions):
            if value >= 0.01:
                color = "white" if value > 0.5 else "black"
                axes.text(column, row, f"{100 * value:.0f}", ha="center", va="center", fontsize=7, color=color)
    figure.savefig(path, dpi=120)
    plt.close(figure)
