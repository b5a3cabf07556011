"""A GPU for tests on machines without one: NVIDIA's driver API on the CPU, in the place of libcuda.so.1."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import pytest


class Ran(NamedTuple):
    """What Python code in a process of its own left behind."""

    rc: int
    stdout: str
    stderr: str


@pytest.fixture(scope="session")
def cpu_driver(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment in which a process finds ``cpu_driver.cpp`` as its NVIDIA driver.

    Its first lines say what else may be set: how much memory there is, and which call fails.
    """
    compiler = shutil.which(os.environ.get("CXX", "c++"))
    if compiler is None:
        pytest.skip("there is no C++ compiler for the driver on the CPU")
    folder = tmp_path_factory.mktemp("cpu_driver")
    lacking = folder / "lacking.cpp"
    stubs = (f'extern "C" __attribute__((weak)) int {name}() {{ return 801; }}' for name in _wanted_by_pycuda())
    lacking.write_text("\n".join(stubs))
    command = [compiler, "-std=c++20", "-O0", "-Wall", "-shared", "-fPIC", "-Wl,-soname,libcuda.so.1"]
    sources = [Path(__file__).with_name("cpu_driver.cpp"), lacking]
    subprocess.run([*command, *sources, "-o", folder / "libcuda.so.1"], check=True)
    paths = [str(folder), os.environ.get("LD_LIBRARY_PATH", "")]
    return {**os.environ, "LD_LIBRARY_PATH": os.pathsep.join(filter(None, paths))}


@pytest.fixture(scope="session")
def run_on_gpu(cpu_driver: dict[str, str]) -> Callable[..., Ran]:
    """``run_on_gpu(code, CPU_DRIVER_MEMORY=…)`` runs code in a fresh interpreter that has ``cpu_driver``."""

    def run(code: str, **environment: str) -> Ran:
        done = subprocess.run(
            [sys.executable, "-c", code],
            env={**cpu_driver, **environment},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        return Ran(done.returncode, done.stdout, done.stderr)

    return run


def _wanted_by_pycuda() -> set[str]:
    """All functions that it is linked against: what the driver on the CPU lacks must be there, if only to refuse."""
    package = find_spec("pycuda")
    folders = [] if package is None else package.submodule_search_locations or []
    libraries = [library for folder in folders for library in Path(folder).glob("_driver*.so")]
    names = (re.findall(rb"\0(cu[A-Z]\w+)(?=\0)", library.read_bytes()) for library in libraries)
    return {name.decode() for found in names for name in found}
