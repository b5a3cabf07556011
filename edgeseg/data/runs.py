"""Run lengths as annotation tools write masks: COCO's lists and texts, CVAT's rows, Label Studio's packed bits.

What is wrong with them is a ValueError that says so in a few words; whoever reads the file adds where.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]
"""(H, W) bool."""

_LONGEST = 12
"""Characters of a number in COCO's text: 60 bits."""


def mask_of_runs(counts: NDArray[np.int64], size: tuple[int, int], *, by_columns: bool) -> Mask:
    """The mask whose pixels are, by turns, so many outside and so many inside.

    Args:
        counts: of the runs; the first is outside.
        size: (height, width).
        by_columns: the runs go down the columns, as in COCO, instead of along the rows.

    Raises:
        ValueError: the runs are negative, or not as long as the mask.
    """
    height, width = size
    if counts.size and (int(counts.min()) < 0 or int(counts.max()) > height * width):
        raise ValueError("a run length outside the picture")
    if int(counts.sum()) != height * width:
        raise ValueError(f"runs of {int(counts.sum())} pixels for a mask of {width}x{height}")
    inside = np.repeat(np.arange(counts.size) % 2 == 1, counts)
    return inside.reshape(width, height).T if by_columns else inside.reshape(height, width)


def counts_of_text(text: str) -> NDArray[np.int64]:
    """The run lengths that COCO's compressed text holds.

    Each character has 5 bits of a number and one that says whether it goes on, lowest bits first, from ``0`` on; from
    the fourth number on it is the difference from the number before the last (pycocotools, ``rleFrString``).

    Raises:
        ValueError: another character, or a number that does not end.
    """
    try:
        codes = np.frombuffer(text.encode("ascii"), dtype=np.uint8).astype(np.int64) - 48
    except UnicodeEncodeError:
        raise ValueError("a text that is no run lengths") from None
    if codes.size == 0:
        return codes
    ends = np.flatnonzero(codes & 0x20 == 0)
    if codes.min() < 0 or codes.max() > 63 or ends.size == 0 or ends[-1] != codes.size - 1:
        raise ValueError("a text that is no run lengths")
    starts = np.concatenate([[0], ends[:-1] + 1])
    lengths = ends - starts + 1
    if lengths.max() > _LONGEST:
        raise ValueError("a run length outside the picture")
    place = np.arange(codes.size) - np.repeat(starts, lengths)
    numbers = np.add.reduceat((codes & 0x1F) << (5 * place), starts)
    numbers -= np.where(codes[ends] & 0x10, np.int64(1) << (5 * lengths), 0)
    numbers[1::2] = np.cumsum(numbers[1::2])
    numbers[2::2] = np.cumsum(numbers[2::2])
    return np.asarray(numbers, dtype=np.int64)


def alpha_of_brush(packed: Sequence[int] | NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """(H, W) uint8 opacity of what a brush painted in Label Studio.

    The bits are those of thi.ng/rle-pack: 32 of the number of values, 5 of a value's width, four times 4 of the widths
    that run lengths may have; then runs of one value, or that many values each for itself. The values are R, G, B, A.

    Args:
        packed: bytes.
        size: (height, width).

    Raises:
        ValueError: they are of another size, are no bytes, or end early.
    """
    data = np.asarray(packed)
    if data.dtype.kind not in "iu" or data.ndim != 1 or data.size == 0 or data.min() < 0 or data.max() > 255:
        raise ValueError("a brush mask that is no list of bytes")
    bits = _Bits(data.astype(np.uint8))
    count, width = bits.number(32), bits.number(5) + 1
    if count != size[0] * size[1] * 4:
        raise ValueError(f"a brush mask of {count // 4} pixels for a picture of {size[1]}x{size[0]}")
    if width != 8:
        raise ValueError(f"a brush mask of {width}-bit values")
    widths = [bits.number(4) + 1 for _ in range(4)]
    values = np.empty(count, dtype=np.uint8)
    done = 0
    while done < count:
        same = bits.number(1)
        end = min(done + 1 + bits.number(widths[bits.number(2)]), count)
        values[done:end] = bits.number(8) if same else bits.octets(end - done)
        done = end
    return np.ascontiguousarray(values.reshape(*size, 4)[..., 3])


class _Bits:
    """A row of bits, read from its beginning."""

    def __init__(self, data: NDArray[np.uint8]) -> None:
        self._data = data.tobytes()
        self._at = 0

    def number(self, bits: int) -> int:
        end = self._at + bits
        if end > 8 * len(self._data):
            raise ValueError("a brush mask that ends early")
        here = int.from_bytes(self._data[self._at // 8 : (end + 7) // 8], "big")
        self._at = end
        return here >> (-end % 8) & ((1 << bits) - 1)

    def octets(self, count: int) -> NDArray[np.uint8]:
        end = self._at + 8 * count
        if end > 8 * len(self._data):
            raise ValueError("a brush mask that ends early")
        first, shift = divmod(self._at, 8)
        here = np.frombuffer(self._data, dtype=np.uint8)[first : (end + 7) // 8]
        self._at = end
        return np.packbits(np.unpackbits(here)[shift : shift + 8 * count])
