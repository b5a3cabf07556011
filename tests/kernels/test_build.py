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
    assert set(info) == {"compiler", "cuda", "cuda_architectures", "simd"}
    assert re.match(r"(GCC|Clang) \d+", str(info["compiler"]))
    assert (info["cuda"] is None) == (info["cuda_architectures"] == [])
    assert info["simd"] in {"sse2", "neon", "portable"}


def test_the_stub_names_everything_in_the_extension() -> None:
    stub = Path(__file__).parents[2] / "edgeseg" / "_native.pyi"
    in_stub = set(re.findall(r"^(?:def|class) (\w+)", stub.read_text(), re.MULTILINE))
    in_extension = {name for name, value in vars(_native).items() if callable(value) and not name.startswith("_")}
    assert in_stub == in_extension
    assert all(inspect.getdoc(getattr(_native, name)) for name in in_extension)


def test_the_extension_needs_no_cuda_library_to_load() -> None:
    if not sys.platform.startswith("linux"):
        pytest.skip("reads ELF files")
    readelf = shutil.which("readelf")
    if readelf is None:
        pytest.skip("readelf (binutils) is not installed")
    dynamic = subprocess.run([readelf, "-d", _native.__file__], capture_output=True, text=True, check=True).stdout
    libraries = re.findall(r"NEEDED.*\[(.*)\]", dynamic)
    assert libraries
    assert not [name for name in libraries if "cuda" in name or "nvidia" in name]


def test_the_cuda_kernels_hold_code_for_every_architecture_they_name() -> None:
    info = _native.build_info()
    if info["cuda"] is None:
        pytest.skip("built without CUDA: no working nvcc was found, or EDGESEG_CUDA=OFF")
    cuobjdump = shutil.which("cuobjdump") or shutil.which("cuobjdump", path="/usr/local/cuda/bin")
    if cuobjdump is None:
        pytest.skip("cuobjdump (CUDA toolkit) is not installed")
    architectures = info["cuda_architectures"]
    assert isinstance(architectures, list)
    for listing, other_kind in (("-lelf", "-virtual"), ("-lptx", "-real")):
        command = [cuobjdump, listing, _native.__file__]
        files = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        expected = {name.split("-")[0] for name in architectures if not name.endswith(other_kind)}
        assert set(re.findall(r"sm_(\w+)\.", files)) == expected
