"""Decoded pictures that all processes of a machine share, those that train and those that prepare pictures."""

from __future__ import annotations

import mmap
import os
from contextlib import suppress

import torch
from torch import Tensor

from edgeseg.train.world import world

Pair = tuple[Tensor, Tensor]
"""Image (3, H, W) uint8 RGB, labels (H, W) uint8 with 255 = no label."""


class PictureCache:
    """Room for the samples of a split at one size; memory is taken as it is filled.

    Whoever reads a sample first keeps it for all: processes that were forked from this one, and those of
    :func:`edgeseg.train.world.world` on this machine, where it is Linux. Two that keep one at once write the same.

    Args:
        count: samples.
        size: (height, width) of each.

    Attributes:
        readers: how many processes fill it together; each may leave what is not its share to the others.
        reader: which of them this one is.
    """

    def __init__(self, count: int, size: tuple[int, int]) -> None:
        height, width = size
        of_pictures = count * 4 * height * width
        memory, self.readers = _memory(of_pictures + count)
        self.reader = world().local_rank if self.readers > 1 else 0
        bytes_ = torch.frombuffer(memory, dtype=torch.uint8)
        self._pictures = bytes_[:of_pictures].view(count, 4, height, width)
        self._kept = bytes_[of_pictures:]

    def get(self, index: int) -> Pair | None:
        """The sample, to be read only; None if nobody has kept it."""
        if not self._kept[index]:
            return None
        picture = self._pictures[index]
        return picture[:3], picture[3]

    def keep(self, index: int, pair: Pair) -> None:
        """Copy a sample."""
        picture = self._pictures[index]
        picture[:3], picture[3] = pair
        self._kept[index] = 1


class PicturesOfManySizes:
    """Samples of any size, kept by this process alone as long as there is room for them.

    Args:
        most_bytes: the room.

    Attributes:
        readers, reader: as of :class:`PictureCache`; each process has its own.
    """

    def __init__(self, most_bytes: int) -> None:
        self.readers = 1
        self.reader = 0
        self._left_bytes = most_bytes
        self._kept: dict[int, Pair] = {}

    def get(self, index: int) -> Pair | None:
        """The sample, to be read only; None if it is not kept."""
        return self._kept.get(index)

    def keep(self, index: int, pair: Pair) -> None:
        """Take a sample, if it fits."""
        size = 4 * pair[1].numel()
        if size <= self._left_bytes:
            self._kept[index] = pair
            self._left_bytes -= size


def _memory(size: int) -> tuple[mmap.mmap, int]:
    """Shared memory of zeros, and by how many of the processes that train together it is shared.

    It has no name in a file system, so that nothing is left of it, and /dev/shm of a container may be small.
    """
    if world().local_size > 1 and hasattr(os, "memfd_create"):
        # The first process of a machine must keep its file until the others have opened it.
        file = os.memfd_create("edgeseg") if not world().local_rank else -1
        if file >= 0:
            os.ftruncate(file, size)
        path = world().from_first_here(f"/proc/{os.getpid()}/fd/{file}")
        opened = -1
        with suppress(OSError):
            opened = os.open(path, os.O_RDWR)
        all_opened = world().all_agree(opened >= 0)
        try:
            if all_opened:
                return mmap.mmap(opened, size), world().local_size
        finally:
            for one in (file, opened):
                if one >= 0:
                    os.close(one)
    return mmap.mmap(-1, size), 1
