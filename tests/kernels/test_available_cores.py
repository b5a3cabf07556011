"""What ``threads=0`` means: the cores of this process, not those of the machine."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from edgeseg._native import available_cores

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="binding and cgroups are Linux's")
V1 = Path("/sys/fs/cgroup/cpu")


@pytest.fixture
def cgroup() -> Iterator[Callable[[str, int, int], Path]]:
    """``cgroup(name, quota_us, period_us)`` makes a real cgroup of the CPU and returns its ``cgroup.procs``."""
    made: list[Path] = []

    def make(name: str, quota_us: int, period_us: int) -> Path:
        root = V1 if V1.is_dir() else Path("/sys/fs/cgroup")
        folder = root / f"edgeseg_{os.getpid()}_{name}"
        try:
            folder.mkdir()
            made.append(folder)
            if V1.is_dir():
                (folder / "cpu.cfs_period_us").write_text(str(period_us))
                (folder / "cpu.cfs_quota_us").write_text(str(quota_us))
            else:
                (folder / "cpu.max").write_text(f"{quota_us} {period_us}")
        except OSError as error:
            pytest.skip(f"no cgroup can be made here: {error}")
        return folder / "cgroup.procs"

    yield make
    for folder in reversed(made):
        with suppress(OSError):
            folder.rmdir()


@linux
def test_no_more_than_the_process_is_bound_to(run_python: Any) -> None:
    done = run_python(
        "import os; from edgeseg._native import available_cores\n"
        "os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}); print(available_cores())"
    )
    assert done == (0, "1\n", "")
    assert 1 <= available_cores() <= len(os.sched_getaffinity(0))


@linux
@pytest.mark.parametrize(("quota_us", "cores"), [(20_000, 1), (100_000, 1), (100_001, 2), (900_000, None)])
def test_a_share_of_the_cpu_counts_rounded_up(run_python: Any, cgroup: Any, quota_us: int, cores: int | None) -> None:
    bound = len(os.sched_getaffinity(0))
    procs = cgroup("share", quota_us, 100_000)
    done = run_python(
        f"import os\nopen({str(procs)!r}, 'w').write(str(os.getpid()))\n"
        "from edgeseg._native import available_cores; print(available_cores())"
    )
    assert done == (0, f"{bound if cores is None else min(bound, cores)}\n", "")


@linux
def test_the_cgroups_above_count_too(run_python: Any, cgroup: Any) -> None:
    outer = cgroup("outer", 60_000, 100_000).parent
    inner = outer / "inner"
    try:
        inner.mkdir()
    except OSError as error:
        pytest.skip(f"no cgroup within another can be made here: {error}")
    try:
        done = run_python(
            f"import os\nopen({str(inner / 'cgroup.procs')!r}, 'w').write(str(os.getpid()))\n"
            "from edgeseg._native import available_cores; print(available_cores())"
        )
    finally:
        inner.rmdir()
    assert done == (0, "1\n", "")


@linux
def test_the_kernels_start_no_more_threads_than_that(run_python: Any) -> None:
    """``threads=0`` on a process bound to one core: the kernel runs on the thread that called it."""
    done = run_python("""
import os
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
import numpy as np
from edgeseg._native import overlay
before = len(os.listdir("/proc/self/task"))
image = np.zeros((2000, 2000, 3), np.uint8)
overlay(image, image[..., 0].copy(), np.zeros((256, 3), np.uint8), 0.5)
print(len(os.listdir("/proc/self/task")) - before)
overlay(image, image[..., 0].copy(), np.zeros((256, 3), np.uint8), 0.5, threads=3)
print(len(os.listdir("/proc/self/task")) - before)
""")
    assert done == (0, "0\n2\n", "")


@linux
def test_threads_past_all_reason_are_not_started(run_python: Any) -> None:
    done = run_python("""
import os
import numpy as np
from edgeseg._native import upsample_argmax
upsample_argmax(np.zeros((1, 1, 20_000, 8), np.float32), 20_000, 2000, threads=2**31 - 1)
print(len(os.listdir("/proc/self/task")) < 1200)
""")
    assert done == (0, "True\n", "")
