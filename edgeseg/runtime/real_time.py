"""Which of several shipped models this machine runs in real time: timed once, and known from then on."""

from __future__ import annotations

import hashlib
import json
import math
import os
import platform
import time
from collections.abc import Sequence
from contextlib import closing, suppress
from pathlib import Path

import numpy as np

from edgeseg import weights
from edgeseg.errors import EdgesegError
from edgeseg.files.cache_folder import cache_folder
from edgeseg.files.documents import read_json
from edgeseg.files.whole import write_whole
from edgeseg.installing import installed_version
from edgeseg.runtime.registry import open_backend

BUDGET_MS = 20.0
"""What a network may take of the 33 ms that 30 frames a second leave to each: decoding and drawing want the rest."""

_RUNS = 5


def best_in_time(names: Sequence[str], threads: int | None = None, budget_ms: float = BUDGET_MS) -> tuple[str, float]:
    """The first of some shipped models that ONNX Runtime's CPU runs within a budget, or else the fastest of them.

    Each is timed the first time it is asked for, in some tenths of a second, and its time kept in the cache for as long
    as model, engine, processor and threads stay the same.

    Args:
        names: shipped models, the one to prefer first; at least one.
        threads: CPU threads; None for every core this process may use.
        budget_ms: milliseconds of a frame in the network.

    Returns:
        Its name, and its milliseconds here.

    Raises:
        ModelError: no such model, or it cannot be run.
    """
    times: dict[str, float] = {}
    for name in names:
        place = _place(weights.find(name), threads)
        known = _read(place) if place is not None else None
        times[name] = time_model(name, threads) if known is None else known
        if times[name] <= budget_ms:
            return name, times[name]
    return min(times.items(), key=lambda item: item[1])


def time_model(name: str, threads: int | None = None) -> float:
    """Time a shipped model on ONNX Runtime's CPU now; what comes of it is what :func:`best_in_time` knows from then on.

    Returns:
        Milliseconds of a frame in the network, of the fastest of some runs: what else the machine does must not decide.

    Raises:
        ModelError: no such model, or it cannot be run.
    """
    path = weights.find(name)
    with closing(open_backend(path, backend="ort", threads=threads)) as engine:
        picture = np.zeros((1, *engine.spec.input_size, 3), np.uint8)
        taken = []
        for _ in range(1 + _RUNS):
            start = time.perf_counter()
            engine.infer(picture)
            taken.append(time.perf_counter() - start)
    ms = 1000 * min(taken)
    if (place := _place(path, threads)) is not None:
        with suppress(EdgesegError):  # a full disk costs the same tenths of a second the next time
            write_whole(place, json.dumps({"ms": ms}))
    return ms


def _place(path: Path, threads: int | None) -> Path | None:
    """The file for what was timed; None where there can be no cache."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    try:
        model = os.stat(path)
        machine = (processor_name(), cores, installed_version("onnxruntime"))
        known_by = (str(path), model.st_size, model.st_mtime_ns, threads or cores, *machine)
        return cache_folder("times") / f"{hashlib.sha256(repr(known_by).encode()).hexdigest()[:32]}.json"
    except (OSError, EdgesegError):
        return None


def processor_name() -> str:
    """The CPU's, as Linux has it, or else as Python does."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _read(place: Path) -> float | None:
    """What is kept there; None where nothing is, or nothing that can be believed."""
    if not place.exists():
        return None
    try:
        ms = float(read_json(place)["ms"])
    except (EdgesegError, KeyError, TypeError, ValueError):
        return None
    return ms if math.isfinite(ms) and ms > 0 else None
