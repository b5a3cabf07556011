"""Several processes as one training: how they meet, and how all of them end when one does.

``torchrun`` starts them and says in the environment who is who. They share a store of keys, by which each tells that
it is alive and one alone tells what went wrong, and a process group, through which tensors go.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import timedelta
from itertools import count

import torch
import torch.distributed as dist
from torch._C._distributed_c10d import Store
from torch.distributed.rendezvous import rendezvous

from edgeseg.errors import DeviceError, InputError
from edgeseg.train.machine import device_named
from edgeseg.train.world import ALONE, World, set_world, world

BEAT_S = 2.0
"""Between two signs of life."""

SILENT_S = 60.0
"""Without a sign of life a process counts as lost: longer than it is ever kept from giving one."""

_GRACE_S = 10.0
"""For a process to end by itself after another has told why."""

_TIMEOUT = timedelta(hours=1)
"""Of what one process does while the others wait, such as counting a million label files."""

_TOLD = "edgeseg/told"

Lost = Callable[[str], object]
"""Called in a thread of its own, with words, or with none where another process has told them. It does not return."""


class Group:
    """The processes of a training, which :func:`joined` brings together; one process is a group as well.

    Attributes:
        rank: of this process.
        size: of all.
    """

    def __init__(self, rank: int = 0, size: int = 1, store: Store | None = None) -> None:
        self.rank = rank
        self.size = size
        self._store = store
        self._telling = store.clone() if store is not None else None  # type: ignore[attr-defined]  # not in its stubs

    def tells(self) -> bool:
        """Whether this process is the one to tell why all of them end: the first that asks."""
        if self._telling is None:
            return True
        try:
            return bool(self._telling.add(_TOLD, 1) == 1)
        except RuntimeError:  # what held the keys is gone
            return True

    def connect(self, device: str) -> None:
        """Make this process one of the world that trains.

        Args:
            device: as ``TrainConfig.device``; ``auto`` and ``cuda`` are a GPU for each process of a machine.

        Raises:
            InputError: a machine has fewer GPUs than processes, or there is no such device.
            DeviceError: the processes cannot reach each other.
        """
        if self._store is None:
            return
        local_rank, local_size = _number("LOCAL_RANK", self.rank), _number("LOCAL_WORLD_SIZE", self.size)
        found = _device_of(device, local_rank, local_size)
        if found.type == "cuda":
            torch.cuda.set_device(found)
        backend = "nccl" if found.type == "cuda" else "gloo"
        dist.init_process_group(backend, store=self._store, rank=self.rank, world_size=self.size, timeout=_TIMEOUT)
        node = os.environ.get("GROUP_RANK", "0")
        set_world(World(self.rank, self.size, local_rank, local_size, node, found))
        world().wait()


@contextmanager
def joined(lost: Lost) -> Iterator[Group]:
    """The processes that ``torchrun`` has started with this one; where there are none, this one alone.

    While the block lasts a thread sees whether the others are alive.

    Args:
        lost: what ends this process when another is lost and this one waits for it in vain.

    Raises:
        InputError: the environment is not what ``torchrun`` makes of it.
        DeviceError: the others cannot be reached, or one of them ended.
    """
    size = _number("WORLD_SIZE", 1)
    if size == 1:
        yield Group()
        return
    rank = _number("RANK", 0)
    if rank:
        logging.getLogger("edgeseg").setLevel(logging.ERROR)  # the first process warns for all
    group = Group(rank, size, _store())
    watch = Watch(group, lost)
    watch.start()
    try:
        yield group
        watch.stop()
        world().wait()
    except RuntimeError as error:
        if not _is_of_connection(error):
            raise
        raise DeviceError(
            f"another of the {size} processes ended ({_first_line(error)})",
            "See what the machine or torchrun says of it, and resume",
        ) from None
    finally:
        watch.stop()
        set_world(ALONE)
        if dist.is_initialized():
            with suppress(RuntimeError):
                dist.destroy_process_group()


class Watch(threading.Thread):
    """Gives signs of life, and looks for those of the next process, and for word that the training ended.

    Each has an eye on the next, so that all are seen however many they are.
    """

    def __init__(self, group: Group, lost: Lost) -> None:
        super().__init__(name="watch", daemon=True)
        assert group._store is not None
        self._group = group
        self._store: Store = group._store.clone()  # type: ignore[attr-defined]
        self._lost = lost
        self._next = (group.rank + 1) % group.size
        self._ended = threading.Event()
        self._beats = count()
        self._seen: tuple[bytes, float] = (b"", 0.0)
        self._told_s: float | None = None

    def run(self) -> None:
        """Look every two seconds."""
        self._seen = (b"", time.monotonic())
        while not self._ended.is_set():
            try:
                words = self.look(time.monotonic())
            except RuntimeError:
                words = "the process that held the training together ended; resume"
            if words is not None and not self._ended.is_set():
                self._lost(words if words and self._group.tells() else "")
                return
            self._ended.wait(BEAT_S)

    def look(self, now_s: float) -> str | None:
        """Words where this process must end: none of its own where another has told; None while all is well.

        Args:
            now_s: of a clock that only goes forward.
        """
        self._store.set(f"edgeseg/beat/{self._group.rank}", str(next(self._beats)))
        if self._store.check([_TOLD]):
            self._told_s = now_s if self._told_s is None else self._told_s
            return "" if now_s - self._told_s >= _GRACE_S else None
        key = f"edgeseg/beat/{self._next}"
        beat = self._store.get(key) if self._store.check([key]) else b""
        if beat != self._seen[0]:
            self._seen = (beat, now_s)
        elif now_s - self._seen[1] >= SILENT_S:
            return f"process {self._next} of {self._group.size} gives no sign of life any more; resume when it can"
        return None

    def stop(self) -> None:
        """Look no more; a thread that is inside the store when Python ends would abort the process."""
        self._ended.set()
        if self is not threading.current_thread():
            self.join(_GRACE_S)


def _store() -> Store:
    try:
        store, _, _ = next(rendezvous("env://", timeout=_TIMEOUT))
    except ValueError as error:
        raise InputError(f"the environment names no training of several processes ({error})", _START) from None
    except RuntimeError as error:
        raise DeviceError(f"the other processes cannot be reached ({_first_line(error)})", _START) from None
    assert isinstance(store, Store)
    return store


_START = "Start it with torchrun --nproc-per-node N -m edgeseg train, or unset WORLD_SIZE"


def _number(name: str, default: int, environment: Mapping[str, str] = os.environ) -> int:
    text = environment.get(name, str(default))
    if not text.isdecimal():
        raise InputError(f"{name} is {text!r:.80} in the environment", _START)
    return int(text)


def _device_of(name: str, local_rank: int, local_size: int) -> torch.device:
    if name in ("auto", "cuda") and torch.cuda.device_count() >= local_size:
        return torch.device("cuda", local_rank)
    device = device_named(name)
    if device.type == "cuda":
        what = f"{local_size} processes cannot share {torch.cuda.device_count()} GPUs as device {name!r}"
        raise InputError(what, "Start as many processes as there are GPUs, with device cuda, or set device to cpu")
    return device


def _is_of_connection(error: RuntimeError) -> bool:
    """Gloo has but words; NCCL's errors have a class of their own."""
    text = str(error)
    return isinstance(error, dist.DistError) or "gloo" in text or "Connection" in text


def _first_line(error: BaseException) -> str:
    line = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    return line.removeprefix("[").partition("] ")[2].partition(". ")[0].rstrip(".") or line[:120]
