"""Batches of augmented samples, prepared by processes of their own where that is quicker; the same ones either way."""

from __future__ import annotations

import multiprocessing
import signal
import sys
from collections.abc import Iterator
from contextlib import suppress
from pickle import UnpicklingError
from typing import Any

import cv2
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Sampler, default_collate
from torch.utils.data import Dataset as TorchDataset

from edgeseg.errors import DeviceError, EdgesegError
from edgeseg.train.augment import Augmented, Draw
from edgeseg.train.machine import READ_AHEAD
from edgeseg.train.unlabelled import UnlabelledViews
from edgeseg.train.world import world

_SEEDS = 1 << 62


class Batches:
    """An endless supply of epochs over augmented samples.

    Where several processes train together, this is one's own share of each batch.

    Args:
        samples: the samples.
        batch_size: of each batch, over all processes, by whose number it can be divided; what remains of an epoch is
            left out.
        workers: processes beside this one; 0 for none.
        pinned: put the batches where a GPU can fetch them by itself.
        draws: samples of an epoch, which begin again when all have had their turn; None for each once.
    """

    def __init__(
        self,
        samples: Augmented | UnlabelledViews,
        batch_size: int,
        *,
        workers: int,
        pinned: bool,
        draws: int | None = None,
    ) -> None:
        self._order = _Order(len(samples), len(samples) if draws is None else draws, batch_size)
        self._loader: DataLoader[Any] = DataLoader(
            _Told(samples),
            batch_size=batch_size // world().size,
            sampler=self._order,
            drop_last=True,
            collate_fn=_collate,
            num_workers=workers,
            persistent_workers=workers > 0,
            prefetch_factor=READ_AHEAD if workers else None,
            pin_memory=pinned,
            worker_init_fn=_begin_worker,
            multiprocessing_context=_context() if workers else None,
            generator=torch.Generator(),  # its draws are none of the network's
        )

    def __len__(self) -> int:
        return len(self._loader)

    def close(self) -> None:
        """End the processes, so that none is missed when this one ends."""
        processes = self._loader._iterator  # PyTorch has no other way, but to wait for the garbage collector
        if processes is not None and self._loader.num_workers:
            with suppress(RuntimeError):  # of one that was ended from outside, which has been told
                processes._shutdown_workers()  # type: ignore[attr-defined]

    def epoch(self, seed: int) -> Iterator[tuple[Tensor, ...]]:
        """What the samples are made of, each with the batch's N in front, in an order and changed as the seed says.

        Raises:
            DatasetError: a file cannot be used.
            DeviceError: the processes cannot be started, or one was ended.
            RuntimeError: likewise, heard of elsewhere; see :func:`ended_process`.
        """
        self._order.seed = seed
        try:
            batches = iter(self._loader)
        except OSError as error:
            raise DeviceError(
                f"processes that prepare pictures cannot be started ({error.strerror})",
                "Free memory, or allow this user more processes (ulimit -u)",
            ) from None
        while True:
            try:
                batch = next(batches, None)
            except (OSError, EOFError, UnpicklingError) as error:  # one was ended while it handed a batch over
                if not self._loader.num_workers:
                    raise
                raise _ended(str(error) or type(error).__name__) from None
            if batch is None:
                return
            if isinstance(batch, EdgesegError):
                raise batch
            yield tuple(batch)


def ended_process(error: RuntimeError) -> DeviceError | None:
    """What to say where a process that prepares pictures was ended from outside, for which PyTorch has but words.

    It raises them wherever the process that trains is when it hears of it.
    """
    reason = str(error).splitlines()[0] if str(error) else ""
    if not reason.startswith("DataLoader worker"):
        return None
    return _ended(reason.rstrip(". "))


def _ended(reason: str) -> DeviceError:
    return DeviceError(
        f"a process that prepares pictures ended ({reason})",
        "Free memory, or in a container allow more shared memory (docker run --shm-size=1g), and resume",
    )


class _Order(Sampler[Draw]):
    """Every sample once, shuffled, each with the seed of its own randomness; or as many draws as are wanted.

    So it does not matter which process augments it, or how many there are. Of several that train together each has
    its part of every batch.
    """

    def __init__(self, count: int, draws: int, batch_size: int) -> None:
        self.count = count
        self.draws = draws
        self.batch_size = batch_size
        self.seed = 0

    def __len__(self) -> int:
        return self.draws // self.batch_size * self.batch_size // world().size

    def __iter__(self) -> Iterator[Draw]:
        generator = torch.Generator().manual_seed(self.seed)
        order: list[int] = []
        while len(order) < self.draws:
            order += torch.randperm(self.count, generator=generator).tolist()
        seeds = torch.randint(_SEEDS, (self.draws,), generator=generator).tolist()
        share, first = self.batch_size // world().size, world().rank
        for begin in range(first * share, self.draws // self.batch_size * self.batch_size, self.batch_size):
            yield from zip(order[begin : begin + share], seeds[begin : begin + share], strict=True)


class _Told(TorchDataset[Any]):
    """Errors as values: raised in another process they would come back as the text of a traceback."""

    def __init__(self, samples: Augmented | UnlabelledViews) -> None:
        self.samples = samples

    def __getitem__(self, draw: Draw) -> tuple[Tensor, ...] | EdgesegError:
        try:
            return self.samples[draw]
        except EdgesegError as error:
            return error


def _collate(samples: list[tuple[Tensor, ...] | EdgesegError]) -> list[Tensor] | EdgesegError:
    failed = next((sample for sample in samples if isinstance(sample, EdgesegError)), None)
    batch: list[Tensor] = [] if failed is not None else default_collate(samples)
    return failed or batch


def _begin_worker(_: int) -> None:
    """The process that trains hears Ctrl-C and ends these; each has one core."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    cv2.setNumThreads(0)


def _context() -> str | None:
    """On Linux a process begins with the pictures that are in memory, without a copy of them."""
    return "fork" if sys.platform == "linux" and "fork" in multiprocessing.get_all_start_methods() else None
