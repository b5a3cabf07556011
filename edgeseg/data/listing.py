"""The pictures of a folder with all folders in it, found in one pass; what else lies there is passed over.

Tools lay other files beside pictures. Where a folder is for pictures alone, ``list_images`` tells of what is none.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

from edgeseg.data.image_files import IMAGE_SUFFIXES, natural_order
from edgeseg.errors import DatasetError


def files_below(folder: Path, suffixes: frozenset[str] = IMAGE_SUFFIXES, *, nested: bool = True) -> list[Path]:
    """The files with one of these suffixes, in natural order; hidden ones are passed over. Nothing is opened.

    Args:
        folder: looked into.
        suffixes: in lower case, with their dot.
        nested: look into the folders in it too. Links to folders are not followed there: they may lead in circles.

    Raises:
        DatasetError: not a folder, or one that may not be entered.
    """
    return natural_order(Path(path) for path in _walk(str(folder), suffixes, nested))


def _walk(folder: str, suffixes: frozenset[str], nested: bool) -> Iterator[str]:
    waiting = [folder]
    while waiting:
        here = waiting.pop()
        try:
            with os.scandir(here) as entries:
                for entry in entries:
                    if entry.name.startswith("."):
                        continue
                    if os.path.splitext(entry.name)[1].lower() in suffixes:
                        yield entry.path
                    elif nested and entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
        except ValueError as error:  # a null byte
            raise DatasetError(f"{here!r} is no path ({error})", "Correct it") from None
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ENOTDIR):
                raise DatasetError(f"there is no folder {here}", "Correct the path") from None
            raise DatasetError(
                f"the folder {here} cannot be entered ({error.strerror})", "Allow it to be read"
            ) from None


class PictureFinder:
    """The pictures below a folder, by the names that annotations call them.

    Args:
        folder: listed once, when the first is asked for.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._by_path: dict[str, Path] = {}
        self._by_name: dict[str, list[Path]] = {}

    def find(self, name: str, where: str, *others: str) -> Path:
        """The picture of a name: its path below the folder, or the end of it, or the file's name alone.

        Args:
            name: as it is called; Windows' separators are understood.
            where: what calls it so, for messages.
            others: what it may be called instead.

        Raises:
            DatasetError: it is not there, or several are called so.
        """
        if not self._by_name:
            self._list()
        for called in (name, *others):
            parts = [part for part in called.replace("\\", "/").split("/") if part not in ("", ".")]
            if found := self._by_path.get("/".join(parts)):
                return found
            same = self._by_name.get(parts[-1], []) if parts else []
            ends = [path for path in same if path.parts[-len(parts) :] == tuple(parts)] or same
            if len(ends) == 1:
                return ends[0]
            if ends:
                what = f"{where}: {len(ends)} pictures below {self.folder} are called {parts[-1]}"
                raise DatasetError(what, "Write the path from that folder")
        what = f"{where}: the image {name!r:.200} is not in {self.folder}"
        raise DatasetError(what, "Put it there, or correct the name")

    def _list(self) -> None:
        for path in files_below(self.folder):
            self._by_path[path.relative_to(self.folder).as_posix()] = path
            self._by_name.setdefault(path.name, []).append(path)
