"""What other light and noise cost models, for their cards.

    python benchmarks/light.py fast_scnn-camvid edgenet-small-camvid --data camvid

Each picture of the split, or one in so many, is shown as it is and changed in seven ways. Each has its own noise, the
same in every run.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgeseg.data.dataset import Dataset, Sample
from edgeseg.evaluation.evaluate import check_same_classes
from edgeseg.evaluation.metrics import ConfusionMatrix
from edgeseg.segmenter import Segmenter
from edgeseg.types import ImageU8

Floats = NDArray[np.float64]

TINT = np.array([1.15, 1.0, 0.85])
GREY = np.array([0.299, 0.587, 0.114])

CHANGES: dict[str, Callable[[Floats, np.random.Generator], Floats]] = {
    "as it is": lambda image, _: image,
    "darkened by 0.6": lambda image, _: 0.6 * image,
    "brightened by 1.4": lambda image, _: 1.4 * image,
    "gamma 0.6": lambda image, _: 255 * (image / 255) ** 0.6,
    "gamma 1.7": lambda image, _: 255 * (image / 255) ** 1.7,
    "tinted": lambda image, _: TINT * image,
    "grey": lambda image, _: np.repeat((image @ GREY)[..., None], 3, axis=2),
    "noise of sd 8": lambda image, chance: image + chance.normal(0, 8, image.shape),
}


def changed(image: ImageU8, how: str, seed: int) -> ImageU8:
    """A picture (H, W, 3) uint8 RGB in other light, or with noise."""
    floats = CHANGES[how](image.astype(np.float64), np.random.default_rng(seed))
    return np.clip(np.rint(floats), 0, 255).astype(np.uint8)


def miou(segmenter: Segmenter, dataset: Dataset, samples: Sequence[Sample], how: str) -> float:
    """0..1, of pictures that are changed so."""
    read = (dataset.read(sample) for sample in samples)
    pairs = ((labels, segmenter(changed(image, how, seed)).labels) for seed, (image, labels) in enumerate(read))
    return ConfusionMatrix.of(dataset.num_classes, pairs).miou()


def main() -> None:
    """Print a row for each change, with a column for each model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", help="shipped models' names, or files")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--split", default="val")
    parser.add_argument("--every", type=int, default=4, help="of the split, one picture in so many")
    options = parser.parse_args()
    dataset = Dataset.load(options.data)
    samples = list(dataset.split(options.split).samples())[:: options.every]
    print(f"| | {' | '.join(options.models)} |")
    print(f"|---|{'---:|' * len(options.models)}")
    rows: dict[str, list[float]] = {how: [] for how in CHANGES}
    for model in options.models:
        with closing(Segmenter.open(model)) as segmenter:
            check_same_classes(segmenter.spec.class_names, dataset)
            for how, row in rows.items():
                row.append(miou(segmenter, dataset, samples, how))
    for how, row in rows.items():
        print(f"| {how} | {' | '.join(f'{100 * value:.1f}' for value in row)} |")


if __name__ == "__main__":
    main()
