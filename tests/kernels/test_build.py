"""What the native extension was built with."""

from __future__ import annotations

import inspect
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from edgeseg import _native


def test_build_info_says_what_was_built() -> None:
    info = _native.build_info()
    assert set(info) == {"compiler", "simd"}
    assert re.match(r"(GCC|Clang) \d+", info["compiler"])
    assert info["simd"] in {"sse2", "neon", "portable"}


def test_the_stub_names_everything_in_the_extension() -> None:
    stub = Path(__file__).parents[2] / "edgeseg" / "_native.pyi"
    in_stub = set(re.findall(r"^(?:def|class) (\w+)", stub.read_text(), re.MULTILINE))
    in_extension = {name for name, value in vars(_native).items() if callable(value) and not name.startswith("_")}
    assert in_stub == in_extension
    assert all(inspect.getdoc(getattr(_native, name)) for name in in_extension)


def test_the_extension_is_for_the_cpu_alone() -> None:
    if not sys.platform.startswith("linux"):
        pytest.skip("reads ELF files")
    readelf = shutil.which("readelf")
    if readelf is None:
        pytest.skip("readelf (binutils) is not installed")
    command = [readelf, "--dynamic", "--section-headers", "--wide", _native.__file__]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    libraries = re.findall(r"NEEDED.*\[(.*)\]", told)
    assert libraries
    assert not [name for name in libraries if "cuda" in name or "nvidia" in name]
    assert ".text" in told
    assert ".nv_fatbin" not in told
