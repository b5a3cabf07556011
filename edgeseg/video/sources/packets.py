"""From packets to frames, as every source does it whose packets come from elsewhere: the network, another program."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Iterator
from fractions import Fraction
from typing import NamedTuple

import av
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

from edgeseg.errors import SourceError
from edgeseg.types import Frame
from edgeseg.video.sources.media import reason, too_large
from edgeseg.video.sources.one_pass import OnePassSource
from edgeseg.video.sources.picture import to_rgb, upright_aspect

BLIND_S = 20.0
"""Seconds without a picture that can be used, until a live stream counts as lost: some cameras send a key picture only
every ten."""


class Arrived(NamedTuple):
    """A packet.

    Attributes:
        packet: as it came.
        arrived_s: ``time.monotonic()`` when FFmpeg gave it out. Of H.264 and HEVC it does so when the next one begins.
        follows: whether the packet before it was given out as well; else the decoder has to begin anew.
    """

    packet: av.Packet[VideoStream]
    arrived_s: float
    follows: bool = True


class PacketSource(OnePassSource):
    """The pictures of a video stream, each dated when its packet came.

    One that cannot be used is left out of a live stream, and is the end of any other. An adapter sets the decoder and
    writes ``_arrivals``, ``_pts_s``, ``_broken`` and ``_blind``.
    """

    _codec: VideoCodecContext
    _pixel_aspect = Fraction(1)
    _takes_any_size = False
    _count = 0
    """Frames so far."""

    @abstractmethod
    def _arrivals(self) -> Iterator[Arrived]:
        """The packets.

        Raises:
            SourceError: they broke off.
        """

    @abstractmethod
    def _pts_s(self, picture: av.VideoFrame) -> float | None:
        """When it is to be shown; None where nothing tells."""

    @abstractmethod
    def _broken(self, error: Exception, why: str) -> SourceError:
        """What the user is told where a picture ends it all."""

    @abstractmethod
    def _blind(self) -> SourceError:
        """What the user is told where nothing that can be used has come for long."""

    def _frames(self) -> Iterator[Frame]:
        seen_s = time.monotonic()
        for packet, arrived_s, follows in self._arrivals():
            for picture in self._decoded(packet, follows):
                frame = self._frame(picture, arrived_s)
                if frame is not None:
                    yield frame
                    self._count += 1
                    seen_s = arrived_s
            if self.info.live and arrived_s - seen_s > BLIND_S:
                raise self._blind()

    def _decoded(self, packet: av.Packet[VideoStream], follows: bool) -> list[av.VideoFrame]:
        try:
            if not follows:
                self._codec.flush_buffers()
            return self._codec.decode(packet)
        except Exception as error:
            self._fail_one(error, f"a damaged picture ({reason(error)})")
            return []

    def _frame(self, picture: av.VideoFrame, arrived_s: float) -> Frame | None:
        """The picture as a frame; None where it is one that is left out."""
        try:
            if not self._takes_any_size and (why := too_large(picture.height, picture.width)):
                raise SourceError(why)
            rgb_u8 = to_rgb(picture)
        except Exception as error:
            self._fail_one(error, error.what if isinstance(error, SourceError) else reason(error))
            return None
        aspect = upright_aspect(self._pixel_aspect, picture)
        return Frame(rgb_u8, self._count, arrived_s, pts_s=self._pts_s(picture), pixel_aspect=aspect)

    def _fail_one(self, error: Exception, why: str) -> None:
        """A picture cannot be used: of a live stream it alone is lost, with anything else it is the end."""
        if not self.info.live:
            raise self._broken(error, why) from None
        self._leave_out(why)
