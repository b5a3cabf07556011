"""A sink of one's own, which counts the frames that show a class: python own_sink.py VIDEO CLASS [MODEL]."""

from __future__ import annotations

import sys

import edgeseg


class Counter:
    """Counts; ``write`` gets each result in order on a thread of this sink's own, ``close`` comes once at the end."""

    def __init__(self, class_name: str) -> None:
        self.class_name = class_name
        self.frames = self.shown = 0

    def write(self, result: edgeseg.Result) -> None:
        """Take one result."""
        self.frames += 1
        self.shown += result.segmentation.class_areas().get(self.class_name, 0) > 0

    def close(self) -> None:
        """Say what was counted."""
        print(f"{self.class_name} in {self.shown} of {self.frames} frames")


video, class_name, *model = sys.argv[1:]
with edgeseg.Segmenter.open(*model) as segmenter:
    stages = [edgeseg.Segment(segmenter)]
    edgeseg.Pipeline([edgeseg.open_source(video)], stages, [Counter(class_name)]).run()
