"""How much memory ONNX Runtime may take for what it computes on the CPU: a file of some bytes can ask for all."""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from packaging.version import Version

_MOST_GIB = 4
"""More than any network takes that keeps up with a camera on a CPU."""

_CONTAINER_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")

_lock = threading.Lock()


def limit_memory(onnxruntime: Any, options: Any) -> None:
    """Let a session take its memory from a pool that all sessions of edgeseg share, which has a limit.

    The limit is half of this machine's memory, or of the container's, and at most 4 GiB. What is over it fails as any
    other error of a model does.

    Args:
        onnxruntime: the module.
        options: the ``SessionOptions`` of a session on the CPU, not yet opened.
    """
    with _lock:
        _make_pool(onnxruntime)
    options.add_session_config_entry("session.use_env_allocators", "1")


def unlimited_optimizers(onnxruntime: Any) -> list[str]:
    """The optimizers to disable in a session on the CPU: those that take memory beside the limit.

    Before 1.27 that is the one that computes constants ahead; they are computed when the model runs instead.
    """
    return ["ConstantFolding"] if Version(onnxruntime.__version__) < Version("1.27") else []


def ran_out(error: Exception) -> str:
    """The limit, such as ``4.0 GiB``, where an error of ONNX Runtime says that it was met; else empty."""
    text = str(error)
    met = "smaller than requested bytes" in text or "Failed to allocate memory" in text or "bad_alloc" in text
    return f"{memory_limit() / 2**30:.1f} GiB" if met else ""


@cache
def memory_limit() -> int:
    """In bytes."""
    return min(_MOST_GIB << 30, _memory_here() // 2)


@cache
def _make_pool(onnxruntime: Any) -> None:
    """Once a process: ONNX Runtime has one environment."""
    where = onnxruntime.OrtMemoryInfo(
        "Cpu", onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, onnxruntime.OrtMemType.DEFAULT
    )
    with suppress(Exception):  # the program that we are in has made one, with limits of its own
        onnxruntime.create_and_register_allocator(where, onnxruntime.OrtArenaCfg(memory_limit(), -1, -1, -1))


def _memory_here() -> int:
    known = [_MOST_GIB << 31]
    with suppress(OSError, ValueError, AttributeError):
        known.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    for path in _CONTAINER_LIMITS:
        with suppress(OSError, ValueError):  # "max" where there is none
            known.append(int(Path(path).read_text()))
    return min(size for size in known if size > 0)
