"""The image files of a folder or a pattern: which they are, and in what order they come."""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Callable, Iterable, Sequence
from fnmatch import fnmatch
from functools import lru_cache
from glob import glob
from importlib.util import find_spec
from pathlib import Path

from edgeseg.errors import DatasetError, MissingDependencyError
from edgeseg.installing import pip_install

HEIF_SUFFIXES = frozenset({".heic", ".heif", ".hif"})
IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".avif"}) | HEIF_SUFFIXES
LABEL_SUFFIXES = frozenset({".png", ".bmp", ".tif", ".tiff", ".webp"})

MOVE_OUT = "Move it out of the folder"

_DIGITS = re.compile(r"([0-9]+)")


def natural_order(paths: Iterable[Path]) -> list[Path]:
    """The paths in the order people count in: ``frame_2`` before ``frame_10``, folder by folder."""
    folders: dict[tuple[str, ...], list[list[tuple[int, str]]]] = {}

    def key(path: Path) -> tuple[list[list[tuple[int, str]]], tuple[str, ...]]:
        *above, name = parts = path.parts or ("",)
        folder = folders.get(parts[:-1])
        if folder is None:  # taken apart once for all files in it
            folder = folders[parts[:-1]] = [_natural(part) for part in above]
        return [*folder, _natural(name)], parts

    return sorted(paths, key=key)


@lru_cache(maxsize=1024)  # of the folders above thousands of files
def _natural(name: str) -> list[tuple[int, str]]:
    """Text and numbers by turns; a number's own digits settle nothing but ties (``1`` and ``01``)."""
    parts = _DIGITS.split(name)
    return [(int(part), "") if index % 2 else (0, part) for index, part in enumerate(parts)]


def list_images(
    folder: Path, suffixes: frozenset[str] = IMAGE_SUFFIXES, *, include: Sequence[str] = ("*",), remedy: str = MOVE_OUT
) -> list[Path]:
    """The image files of a folder in natural order; folders in it and hidden files are passed over.

    Args:
        folder: looked into, but not into the folders in it.
        suffixes: of the files that are meant.
        include: patterns of file names; other files are passed over, be they images or not.
        remedy: what to do where a file is no image.

    Raises:
        DatasetError: not a folder, one that may not be entered, no image in it, or something that is no image: another
            kind of file, a pipe, or a link that leads nowhere.
    """
    files, folders = _entries(folder)
    chosen = [path for path in files if any(fnmatch(path.name, pattern) for pattern in include)]
    check_images(chosen, f"{folder} holds ", remedy, suffixes)
    if not files:
        if folders:
            raise DatasetError(f"{folder} holds folders, but no image", f"Name one of them, such as {folders[0]}")
        raise DatasetError(f"the folder {folder} is empty", "Correct the path, or put images into it")
    if not chosen:
        raise DatasetError(f"no images in {folder} match {list(include)}", "Correct 'include'")
    return chosen


def _entries(folder: Path) -> tuple[list[Path], list[Path]]:
    """What is in a folder but folders, and its folders; hidden ones left out."""
    files: list[Path] = []
    folders: list[Path] = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if not entry.name.startswith("."):
                    (folders if _leads_to_folder(entry) else files).append(Path(entry.path))
    except ValueError as error:  # a null byte
        raise DatasetError(f"{str(folder)!r} is no path ({error})", "Correct it") from None
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR):
            raise DatasetError(f"there is no folder {folder}", "Correct the path") from None
        raise DatasetError(f"the folder {folder} cannot be entered ({error.strerror})", _remedy(error)) from None
    return natural_order(files), natural_order(folders)


def _leads_to_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # links that lead to each other, told of as files
        return False


def match_images(pattern: str) -> list[Path]:
    """The image files that a glob pattern matches, in natural order; ``**`` goes through folders.

    Raises:
        DatasetError: one that is no image, or a link that leads nowhere. No match is an empty list.
    """
    try:
        found = [Path(name) for name in glob(pattern, recursive=True)]
    except (ValueError, re.error) as error:
        raise DatasetError(f"{pattern!r} is no pattern ({error})", "Correct it") from None
    files = natural_order(path for path in found if not os.path.isdir(path))
    check_images(files, f"{pattern} matches ", "Narrow the pattern: 'DIR/*.png'")
    return files


def check_images(files: Sequence[Path], where: str, remedy: str, suffixes: frozenset[str] = IMAGE_SUFFIXES) -> None:
    """Raise unless all of these are image files that can be read, as far as their names and kinds tell.

    Args:
        files: to check.
        where: what a message says before the file.
        remedy: what to do where a file is no image.
        suffixes: of the files that are meant.

    Raises:
        DatasetError: one that is no image, no file, or a link that leads nowhere.
        MissingDependencyError: one is HEIC, and pillow-heif is not installed.
    """
    for file in files:
        _check_file(file, suffixes, f"{where}{file.name if where.endswith('holds ') else file}", remedy)
    heif = next((file for file in files if file.suffix.lower() in HEIF_SUFFIXES), None)
    if heif is not None and find_spec("pillow_heif") is None:
        raise MissingDependencyError(f"{heif} is a HEIC picture, which needs pillow-heif", how_to_read_heif())


def index_by_stem(paths: Sequence[Path], stem_of: Callable[[Path], str] = lambda path: path.stem) -> dict[str, Path]:
    """Paths by file stem, or what stands for it; a DatasetError where two share one."""
    by_stem: dict[str, Path] = {}
    for path in paths:
        if (stem := stem_of(path)) in by_stem:
            raise DatasetError(f"{by_stem[stem]} and {path.name} share one stem", "Keep one of them")
        by_stem[stem] = path
    return by_stem


def _check_file(path: Path, suffixes: frozenset[str], where: str, remedy: str) -> None:
    """Raise DatasetError unless this is a file, or a link to one, with one of the suffixes."""
    if path.suffix.lower() not in suffixes:
        raise DatasetError(f"{where}, which is not an image ({_named(suffixes)})", remedy)
    try:
        mode = os.stat(path).st_mode
    except OSError as error:
        if path.is_symlink() and error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
            raise DatasetError(f"{where}, a link to {os.readlink(path)}, which is not there", "Mend it") from None
        raise DatasetError(f"{where}, which cannot be read ({error.strerror})", _remedy(error)) from None
    if not stat.S_ISREG(mode):
        raise DatasetError(f"{where}, which is not a file", remedy)


def _named(suffixes: frozenset[str]) -> str:
    return " ".join(sorted(suffixes))


def _remedy(error: OSError) -> str:
    return "Allow it to be read" if error.errno in (errno.EACCES, errno.EPERM) else "Correct the path"


def how_to_read_heif() -> str:
    """The remedy where pillow-heif is missing."""
    return f"Run: {pip_install('pillow-heif')}, or save it as JPEG"
