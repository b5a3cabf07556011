"""Pictures, eight at a time through the network, as index PNGs in a folder: python batch.py PICTURES OUTPUT [MODEL]."""

from __future__ import annotations

import sys
from itertools import islice
from pathlib import Path

import cv2

import edgeseg

pictures, output, *model = sys.argv[1:]
Path(output).mkdir(parents=True, exist_ok=True)
with edgeseg.Segmenter.open(*model) as segmenter:
    frames = iter(edgeseg.open_source(pictures))
    while some := list(islice(frames, 8)):
        for frame, inference in zip(some, segmenter.infer([frame.rgb_u8 for frame in some]), strict=True):
            segmentation = segmenter.finish(inference)
            cv2.imwrite(str(Path(output, f"{frame.name}.png")), segmentation.labels)
            shown = [name for name, area in segmentation.class_areas().items() if area > 0]
            print(f"{frame.name}: {', '.join(shown)}")
