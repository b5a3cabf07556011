"""Whatever Python hands to the extension is checked before it is used: every array of every function, every number."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgeseg import _native

Array = NDArray[Any]
TERM = np.array([[20, 20, 13, 13, 13, 4]], np.float32)
SPATIAL = np.array([[3, 3, 3]], np.float32)


def crf_arguments(**change: Any) -> dict[str, Any]:
    return {
        "height": 6,
        "width": 7,
        "classes": 3,
        "bilateral": TERM,
        "spatial": SPATIAL,
        "compatibility": (1 - np.eye(3)).astype(np.float32),
        "iterations": 1,
        "accurate": False,
    } | change


def run_crf(probabilities: Array, image: Array, labels: Array | None, marginals: Array | None) -> None:
    crf = _native.DenseCrf(**crf_arguments())
    crf.run(probabilities, image, labels=labels, marginals=marginals)


def build(image: Array) -> None:
    _native.BilateralFilter(6, 7, 2, TERM, False).build(image)


def apply(values: Array, out: Array) -> None:
    filters = _native.BilateralFilter(6, 7, 2, TERM, False)
    filters.build(np.zeros((6, 7, 3), np.uint8))
    filters.apply(values, out)


def arguments_that_fit() -> dict[str, tuple[Callable[..., Any], dict[str, Any]]]:
    """Each function of the extension that takes arrays, and what it takes gladly."""
    image = np.full((6, 7, 3), 9, np.uint8)
    return {
        "upsample_argmax": (
            _native.upsample_argmax,
            {
                "logits": np.ones((2, 3, 3, 4), np.float32),
                "height": 6,
                "width": 7,
                "threads": 2,
                "out": np.zeros((2, 6, 7), np.uint8),
            },
        ),
        "overlay": (
            _native.overlay,
            {
                "image": image,
                "labels": np.ones((6, 7), np.uint8),
                "colors": np.ones((256, 3), np.uint8),
                "opacity": 0.5,
                "threads": 2,
                "out": np.zeros((6, 7, 3), np.uint8),
            },
        ),
        "DenseCrf": (_native.DenseCrf, crf_arguments(threads=2)),
        "DenseCrf.run": (
            run_crf,
            {
                "probabilities": np.full((3, 6, 7), 1 / 3, np.float32),
                "image": image,
                "labels": np.zeros((6, 7), np.uint8),
                "marginals": np.zeros((3, 6, 7), np.float32),
            },
        ),
        "BilateralFilter": (
            _native.BilateralFilter,
            {"height": 6, "width": 7, "channels": 2, "term": TERM, "accurate": False, "threads": 2},
        ),
        "BilateralFilter.build": (build, {"image": image}),
        "BilateralFilter.apply": (
            apply,
            {"values": np.ones((2, 6, 7), np.float32), "out": np.zeros((2, 6, 7), np.float32)},
        ),
    }


def misaligned(array: Array) -> Array:
    """A copy one byte beside where its values belong."""
    moved = np.zeros(array.nbytes + 64, np.uint8)
    start = 1 - moved.ctypes.data % 16 + 16
    view = moved[start : start + array.nbytes].view(array.dtype).reshape(array.shape)
    view[:] = array
    return view


def strided(array: Array) -> Array:
    return np.repeat(array, 2, axis=-1)[..., ::2]


def backwards(array: Array) -> Array:
    return array[::-1] if array.shape[0] > 1 else array[..., ::-1]


def foreign_bytes(array: Array) -> Array:
    return array.astype(array.dtype.newbyteorder())


def emptied(array: Array) -> Array:
    """Without columns: no rows at all are an answer for the terms of a CRF."""
    return array[..., :0]


def one_axis_more(array: Array) -> Array:
    return array[None]


def longer(array: Array) -> Array:
    return np.ascontiguousarray(np.repeat(array, 2, axis=-1))


def other_kind(array: Array) -> Array:
    return array.astype(np.int16)


CASES = [(function, name) for function, (_, arguments) in arguments_that_fit().items() for name in arguments]
ARRAYS = [
    (function, name) for function, name in CASES if isinstance(arguments_that_fit()[function][1][name], np.ndarray)
]
FLOATS = [case for case in ARRAYS if arguments_that_fit()[case[0]][1][case[1]].dtype == np.float32]
NUMBERS = [
    (function, name)
    for function, name in CASES
    if name in {"height", "width", "channels", "classes", "threads", "iterations"}
]
FREE = {("upsample_argmax", "logits", longer)}
"""What is another argument, and not a wrong one."""


def test_every_function_that_takes_arguments_is_tried_here() -> None:
    known = {name.split(".")[0] for name in arguments_that_fit()}
    without = {"available_cores", "jpeg_damage", "has_int8_dot_product", "build_info", "dense_crf_isa"}
    there = {name for name, value in vars(_native).items() if callable(value) and not name.startswith("_")}
    assert known | without == there


@pytest.mark.parametrize("function", arguments_that_fit())
def test_what_fits_is_taken(function: str) -> None:
    call, arguments = arguments_that_fit()[function]
    call(**arguments)


@pytest.mark.parametrize(
    "spoil", [misaligned, strided, backwards, foreign_bytes, emptied, one_axis_more, longer, other_kind]
)
@pytest.mark.parametrize(("function", "name"), ARRAYS)
def test_an_array_that_does_not_fit_is_refused(function: str, name: str, spoil: Callable[[Array], Array]) -> None:
    call, arguments = arguments_that_fit()[function]
    array = arguments[name]
    if (function, name, spoil) in FREE or (array.dtype == np.uint8 and spoil in (misaligned, foreign_bytes)):
        return  # bytes have no alignment and no order
    with pytest.raises((ValueError, TypeError)) as caught:
        call(**(arguments | {name: spoil(array)}))
    if isinstance(caught.value, ValueError):
        assert name in str(caught.value)


@pytest.mark.parametrize(("function", "name"), FLOATS)
def test_a_misaligned_array_is_told_apart(function: str, name: str) -> None:
    call, arguments = arguments_that_fit()[function]
    with pytest.raises(ValueError, match=f"{name} must be .* not aligned"):
        call(**(arguments | {name: misaligned(arguments[name])}))


@pytest.mark.parametrize(("function", "name"), [case for case in ARRAYS if case[1] in {"out", "labels", "marginals"}])
def test_what_is_written_to_must_be_writable(function: str, name: str) -> None:
    if (function, name) == ("overlay", "labels"):
        return  # read
    call, arguments = arguments_that_fit()[function]
    arguments[name].flags.writeable = False
    with pytest.raises(ValueError, match=f"{name} must be .*writable"):
        call(**arguments)


@pytest.mark.parametrize("value", [0, -1, -(2**31), 2**31 - 1, 2**31, 2**63, 2**64 + 3, 2.5, float("nan"), "7", None])
@pytest.mark.parametrize(("function", "name"), NUMBERS)
def test_a_number_out_of_range_is_refused(function: str, name: str, value: object) -> None:
    call, arguments = arguments_that_fit()[function]
    if name in {"threads", "iterations"} and value in (0, 2**31 - 1):
        return  # all cores, more threads than there is work for, no iteration: all of them mean something
    with pytest.raises((ValueError, TypeError)):
        call(**(arguments | {name: value}))


@pytest.mark.parametrize("channels", [0, -1, 256, 2**31 - 1])
def test_channels_are_checked_before_anything_is_made_of_them(channels: int) -> None:
    with pytest.raises(ValueError, match="channels must be from 1 to 255"):
        _native.BilateralFilter(6, 7, channels, TERM, False)


def test_a_filter_that_was_not_built_says_so() -> None:
    filters = _native.BilateralFilter(6, 7, 2, TERM, False)
    with pytest.raises(ValueError, match="build the filter"):
        filters.apply(np.ones((2, 6, 7), np.float32), np.zeros((2, 6, 7), np.float32))


def test_what_memory_is_too_small_for_spoils_nothing(run_python: Any) -> None:
    """The memory of one picture is refused, the next one is refined as if nothing had been."""
    done = run_python("""
import resource
import numpy as np
from edgeseg import _native

rng = np.random.default_rng(0)
term = np.array([[1, 1, 2, 2, 2, 4]], np.float32)  # narrow: noise has a vertex of its own for every corner
flat = np.zeros((480, 640, 3), np.uint8)
noise = rng.integers(0, 256, flat.shape, dtype=np.uint8)
values = rng.random((40, 480, 640), np.float32)
values /= values.sum(axis=0)
labels, before, after = (np.zeros((480, 640), np.uint8) for _ in range(3))
out, again = np.zeros_like(values), np.zeros_like(values)

def limited(action):
    used = int(open("/proc/self/statm").read().split()[0]) * 4096
    resource.setrlimit(resource.RLIMIT_AS, (used + 100_000_000, resource.RLIM_INFINITY))
    try:
        action()
        print("enough")
    except MemoryError:
        print("refused")
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

crf = _native.DenseCrf(480, 640, 40, term, np.zeros((0, 3), np.float32), None, 1, False, 1)
crf.run(values, flat, labels=before)
limited(lambda: crf.run(values, noise, labels=labels))
crf.run(values, flat, labels=after)
print((before == after).all())

filters = _native.BilateralFilter(480, 640, 40, term, False, 1)
filters.build(flat)
filters.apply(values, out)
limited(lambda: filters.build(noise))
try:
    filters.apply(values, again)
except ValueError as error:
    print(error)
filters.build(flat)
filters.apply(values, again)
print(np.allclose(out, again))
""")
    assert done.stdout.splitlines() == ["refused", "True", "refused", "build the filter for an image first", "True"], (
        done
    )
