"""The video files of a run: whole, or in segments."""

from __future__ import annotations

from pathlib import Path

from edgeseg.run_config import RunConfig
from edgeseg.video.sinks.base import Sink
from edgeseg.video.sinks.mp4 import Mp4Sink
from edgeseg.video.sinks.per_stream import Streams
from edgeseg.video.sinks.segmented import SegmentedMp4Sink
from edgeseg.video.sources.base import StreamInfo

_STILLS_FPS = 10.0
"""The rate of a video made of still images."""

_GB = 1_000_000_000


def of_run(config: RunConfig, streams: Streams) -> Sink:
    """What ``save`` asks for; nothing is written before the first result."""
    assert config.save is not None

    def make(path: Path, info: StreamInfo | None) -> Sink:
        fps = (info.fps if info is not None else None) or _STILLS_FPS
        if config.segment_secs is None:
            return Mp4Sink(path, fps)
        keep_gb = config.segment_keep_gb
        return SegmentedMp4Sink(
            path,
            config.segment_secs,
            fps,
            keep=config.segment_keep,
            keep_bytes=None if keep_gb is None else round(keep_gb * _GB),
            live=info is not None and info.live,
        )

    return streams.each(config.save, make)
