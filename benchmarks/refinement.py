"""Prints the README's table of what refinement does for a model, and what it costs.

    python benchmarks/refinement.py --data camvid

All variants label the same image in turn, so their milliseconds may be compared with each other.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from edgeseg.data.dataset import Dataset
from edgeseg.evaluation.metrics import ConfusionMatrix
from edgeseg.refine.crf import CrfParams, CrfRefiner
from edgeseg.segmenter import Segmenter

COLUMNS = ("refinement", "mIoU", "pixel accuracy", "refine, median ms", "image to labels, median ms")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="a dataset.yaml or its folder")
    parser.add_argument("--split", default="val")
    parser.add_argument("--model", default="fast_scnn-camvid")
    parser.add_argument("--threads", type=int, default=None, help="all cores if left out")
    args = parser.parse_args()

    dataset = Dataset.load(args.data)

    def opened(refine: str | CrfRefiner) -> Segmenter:
        return Segmenter.open(args.model, threads=args.threads, refine=refine)

    variants = {
        "none": opened("none"),
        "guided filter": opened("guided"),
        "dense CRF, parameters of `tune-crf`": opened("crf"),
        "dense CRF, default parameters": opened(CrfRefiner(CrfParams(), threads=args.threads or 0)),
    }
    if variants["none"].spec.crf is None:
        raise SystemExit(f"{args.model} carries no parameters of the CRF: run edgeseg tune-crf first")
    confusions = {name: ConfusionMatrix(dataset.num_classes) for name in variants}
    refine_ms: dict[str, list[float]] = {name: [] for name in variants}
    total_ms: dict[str, list[float]] = {name: [] for name in variants}
    for sample in dataset.split(args.split).samples():
        image, labels = dataset.read(sample)
        for name, segmenter in variants.items():
            segmentation = segmenter(image)
            confusions[name].update(labels, segmentation.labels)
            refine_ms[name].append(segmentation.latency_ms.get("refine", 0.0))
            total_ms[name].append(sum(segmentation.latency_ms.values()))

    print(f"| {' | '.join(COLUMNS)} |\n| --- | ---: | ---: | ---: | ---: |")
    for name, confusion in confusions.items():
        print(
            f"| {name} | {confusion.miou():.2%} | {confusion.pixel_accuracy():.2%} "
            f"| {np.median(refine_ms[name]):.1f} | {np.median(total_ms[name]):.1f} |"
        )


if __name__ == "__main__":
    main()
