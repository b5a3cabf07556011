"""Soft labels: what a model says of each class at each pixel, kept in a folder, a file for each picture.

folder/
  soft_labels.json        the classes, and the size of each array
  NAME.npz                ``nats``: (C, h, w) uint8, minus the logarithm of the probability in steps of 1/16

A step of 1/16 changes a probability by 3 % at most, and the last one, 255, is a probability of 1e-7: a byte for each
class and pixel is enough to be taught by. (C, h, w) are those of the model's logits, whatever size the picture has.
"""

from __future__ import annotations

import io
import json
import math
import os
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgeseg.errors import DatasetError, SinkError
from edgeseg.files.documents import is_printable, read_json
from edgeseg.files.whole import write_whole
from edgeseg.spec.palette import MAX_CLASSES

MANIFEST = "soft_labels.json"
STEPS_PER_NAT = 16

_FORMAT = 1
_MEMBER = "nats.npy"
_HEADER_BYTES = 1 << 12
"""More than NumPy writes before the values of an array."""

_ARCHIVE_BYTES = 1 << 16
"""More than an archive of one array takes beside it."""

_MOST_VALUES = 1 << 28
"""Of one picture: 20 classes at 4096x3072."""

_AGAIN = "Write them again: edgeseg data predict"


@dataclass(frozen=True)
class SoftLabels:
    """A folder of them.

    Attributes:
        folder: where they lie.
        class_names: one for each channel.
        size: (height, width) of each array.
        origin: the model that said so, in words.
    """

    folder: Path
    class_names: tuple[str, ...]
    size: tuple[int, int]
    origin: str = ""

    @classmethod
    def open(cls, folder: str | Path) -> SoftLabels:
        """The folder, whose manifest alone is read.

        Raises:
            DatasetError: there is no manifest, or one that cannot be used.
        """
        path = Path(folder) / MANIFEST
        if not os.path.exists(path):
            raise DatasetError(f"there are no soft labels in {folder} (no {MANIFEST})", _AGAIN)
        raw = read_json(path, DatasetError)
        if not isinstance(raw, dict) or raw.get("format") != _FORMAT:
            raise DatasetError(f"{path} is no list of soft labels that this edgeseg reads", _AGAIN)
        names, size, origin = raw.get("class_names"), raw.get("size"), raw.get("origin", "")
        if (
            not isinstance(names, list)
            or not 1 <= len(names) <= MAX_CLASSES
            or not all(isinstance(name, str) and is_printable(name) for name in names)
            or len(set(names)) != len(names)
            or not isinstance(size, list)
            or len(size) != 2
            or not all(isinstance(side, int) and not isinstance(side, bool) and side > 0 for side in size)
            or len(names) * size[0] * size[1] > _MOST_VALUES
            or not isinstance(origin, str)
        ):
            raise DatasetError(f"{path} does not say classes and a size that can be used", _AGAIN)
        return cls(Path(folder), tuple(names), (size[0], size[1]), origin)

    def begin(self) -> None:
        """Write the manifest, and make the folder where it is missing.

        Raises:
            SinkError: it cannot be written, or there are soft labels of other classes, another size or origin.
            DatasetError: there is a manifest that cannot be read.
        """
        if os.path.lexists(self.folder / MANIFEST) and SoftLabels.open(self.folder) != self:
            raise SinkError(f"{self.folder} holds soft labels of another model", "Write to a new folder")
        values = {"format": _FORMAT, "class_names": self.class_names, "size": self.size, "origin": self.origin}
        write_whole(self.folder / MANIFEST, json.dumps(values, indent=1) + "\n", make_folders=True)

    def path(self, name: str) -> Path:
        """The file of the picture of that name."""
        return self.folder / f"{name}.npz"

    def write(self, name: str, logits: NDArray[np.float32]) -> int:
        """Keep what a model says of a picture, whole or not at all.

        Args:
            name: the picture's, without its suffix.
            logits: (C, h, w).

        Returns:
            bytes of the file.

        Raises:
            SinkError: it cannot be written.
        """
        content = io.BytesIO()
        np.savez_compressed(content, nats=to_nats(logits))
        write_whole(self.path(name), content.getvalue())
        return len(content.getvalue())

    def read(self, name: str) -> NDArray[np.uint8]:
        """(C, h, w) uint8 of a picture, of the folder's classes and size.

        Raises:
            DatasetError: not there, damaged, of another size, or larger than it may be.
        """
        path = self.path(name)
        shape = (len(self.class_names), *self.size)
        try:
            values = _read(path, shape)
        except FileNotFoundError:
            raise DatasetError(f"{self.folder} has no soft labels of {name}", _AGAIN) from None
        except OSError as error:
            raise DatasetError(f"{path} cannot be read ({error.strerror})", _AGAIN) from None
        except MemoryError:
            raise
        except Exception as error:  # of what zipfile, zlib and NumPy make of damage
            reason = " ".join(str(error).split())[:80] or type(error).__name__
            raise DatasetError(f"{path} is not a file of soft labels or is damaged ({reason})", _AGAIN) from None
        return values


def to_nats(logits: NDArray[np.float32]) -> NDArray[np.uint8]:
    """(C, h, w) logits as minus the logarithm of the probability, in steps of 1/16, at most 255."""
    shifted = logits - logits.max(axis=0, keepdims=True)
    log_sum = np.log(np.exp(shifted).sum(axis=0, keepdims=True))
    return np.asarray(np.clip(np.rint((log_sum - shifted) * STEPS_PER_NAT), 0, 255), dtype=np.uint8)


def _read(path: Path, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """The one array of an archive: plain bytes, of which no more is unpacked than the array may have."""
    count = math.prod(shape)
    if not os.path.isfile(path) and os.path.exists(path):  # a pipe would be waited for
        raise ValueError("not a file")
    if os.path.getsize(path) > 2 * count + _ARCHIVE_BYTES:
        raise ValueError("larger than its classes and size allow")
    with zipfile.ZipFile(path) as archive, archive.open(_MEMBER) as member:
        content = member.read(count + _HEADER_BYTES + 1)
    stream = io.BytesIO(content)
    if np.lib.format.read_magic(stream) != (1, 0):
        raise ValueError("an array of another version")
    found, is_transposed, dtype = np.lib.format.read_array_header_1_0(stream)
    if dtype != np.uint8 or found != shape or is_transposed or len(content) - stream.tell() != count:
        raise ValueError(f"{dtype} of {found}, where uint8 of {shape} is wanted")
    return np.array(np.frombuffer(content, np.uint8, count, stream.tell()).reshape(shape))
