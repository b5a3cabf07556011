"""What a run takes of a machine: its device and precision, threads, and processes that prepare pictures."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from edgeseg._native import available_cores
from edgeseg.errors import InputError
from edgeseg.train.world import world

READ_AHEAD = 2
"""Batches that each process has ready."""

_MOST_WORKERS = 8
"""Processes that prepare pictures for one GPU; what more would bring, their start and their memory take."""

_SHARED_MEMORY = "/dev/shm"


def device_named(name: str) -> torch.device:
    """The device of that name, tried; ``auto`` is a GPU where there is one.

    Raises:
        InputError: there is no such device.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"device {name!r} cannot be used ({reason})", "Set device to auto, cpu or cuda") from None
    return device


def capability_of(device: torch.device) -> tuple[int, int] | None:
    """The compute capability of a GPU; None of another device."""
    return torch.cuda.get_device_capability(device) if device.type == "cuda" else None


def precision_for(capability: tuple[int, int] | None) -> torch.dtype:
    """The format of 16 bits for mixed precision.

    bfloat16 where it is in the hardware: on the CPU, and from compute capability 8.0 on. Older GPUs (T4, RTX 20) only
    emulate it, slower than float32; they take float16, whose loss must be scaled.
    """
    return torch.bfloat16 if capability is None or capability >= (8, 0) else torch.float16


def is_mixed(amp: str, device: torch.device, *, rounds: bool) -> bool:
    """Whether a run computes in 16 bits what can be.

    ``auto`` is on for a GPU, and for a CPU with instructions for bfloat16 (AVX512-BF16, AMX), where a step of Fast-SCNN
    takes 0.6 of the time, one of EdgeNet half.

    Args:
        amp: ``auto``, ``on`` or ``off``.
        device: of the run.
        rounds: the network rounds as INT8 does, which wants float32.
    """
    if amp != "auto" or rounds:
        return amp == "on"
    if device.type != "cpu":
        return True
    able = torch.cpu.get_capabilities()
    return bool(able.get("avx512_bf16") or able.get("amx_bf16"))


def workers_for(device_type: str, cores: int, *, in_memory: bool, batch_bytes: int, shared_bytes: int) -> int:
    """Processes that prepare pictures beside the one that trains; 0: it does that itself.

    On a CPU the network needs the cores, so that only what must be read and decoded anew is worth a process. A GPU
    waits for pictures that one process augments.

    Args:
        device_type: ``cpu``, ``cuda``, …
        cores: that this process may use.
        in_memory: the pictures are decoded already.
        batch_bytes: of one batch.
        shared_bytes: room in the memory through which batches come back.
    """
    wanted = min(_MOST_WORKERS, max(1, cores - 1))
    if device_type == "cpu":
        wanted = 0 if in_memory else max(1, cores // 2)
    return min(wanted, shared_bytes // ((READ_AHEAD + 1) * batch_bytes))


def shared_memory_bytes() -> int:
    """Room in the memory that processes share; in a container often no more than 64 MiB."""
    if sys.platform != "linux":
        return 1 << 62  # it has no limit of its own
    try:
        status = os.statvfs(_SHARED_MEMORY)
    except OSError:
        return 0
    return status.f_bavail * status.f_frsize


def steps_between_looks(device_type: str) -> int:
    """Steps after which the losses are looked at: a GPU stands still while the host waits for a number of it."""
    return 1 if device_type == "cpu" else 20


def own_cores() -> int:
    """Cores that this process may use beside the others of its training on this machine."""
    return max(1, available_cores() // world().local_size)


WORTH_COMPILING = 3000
"""Steps on a GPU after which the minute that it takes has come back."""


def is_compiled(compile: str, device_type: str, steps: int) -> bool:
    """Whether a run compiles its network.

    On a CPU a step of Fast-SCNN gained nothing by it; and nobody has tried it for several GPUs yet.

    Args:
        compile: ``auto``, ``on`` or ``off``.
        device_type: ``cpu``, ``cuda``, …
        steps: of the run.
    """
    long = device_type == "cuda" and steps >= WORTH_COMPILING and not world().is_shared
    return compile == "on" or (compile == "auto" and long)


@contextmanager
def settings_of_a_run(threads: int, device: torch.device) -> Iterator[None]:
    """PyTorch's threads as told, 0 for all cores, and random numbers of one's own; afterwards both are as before."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads or own_cores())
    try:
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            yield
    finally:
        torch.set_num_threads(before)
