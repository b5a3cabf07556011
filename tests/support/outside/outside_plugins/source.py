"""``noise:3``: three frames of noise."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from edgeseg.types import Frame
from edgeseg.video.sources.base import StreamInfo
from edgeseg.video.sources.one_pass import OnePassSource


class NoiseSource(OnePassSource):
    """As many frames as the URI says."""

    def __init__(self, uri: str) -> None:
        self._count = int(uri.partition(":")[2])
        super().__init__(StreamInfo(uri, live=False, width=64, height=48, frame_count=self._count))

    def _frames(self) -> Iterator[Frame]:
        rng = np.random.default_rng(0)
        for index in range(self._count):
            yield Frame(rng.integers(0, 256, (48, 64, 3), np.uint8), index, index / 30)

    def _release(self) -> None:
        pass
