"""Files that are written whole or not at all, by one process at a time, and never over what a run reads."""

from __future__ import annotations

import errno
import os
import re
import secrets
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from edgeseg.errors import SinkError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_LONGEST_NAME = 255
"""Bytes in a file's name: what ext4, btrfs, XFS, APFS and NTFS (in UTF-16 units) allow."""

_DISK_ERRORS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO})

REMEDIES = {
    errno.ENOSPC: "Free some space, or choose another disk",
    errno.EDQUOT: "Free some space, or choose another disk",
    errno.EFBIG: "Choose a disk whose file system takes larger files",
    errno.EACCES: "Choose a place that you may write to",
    errno.EPERM: "Choose a place that you may write to",
    errno.EROFS: "Choose a place that you may write to",
    errno.ENAMETOOLONG: f"Choose a name of at most {_LONGEST_NAME} bytes",
    errno.ENOENT: "Make its folder first",
    errno.ENOTDIR: "Correct the path: a file stands where a folder must be",
    errno.EISDIR: "Choose another name: this is a folder",
    errno.ELOOP: "Correct the links: they lead to each other",
    errno.EIO: "See whether the disk is in order",
}


def cannot_write(path: str | Path, error: OSError, after: str = "") -> SinkError:
    """The error that says why a file cannot be written, with the remedy that fits the reason.

    Args:
        path: the file.
        error: what the operating system said.
        after: how far it came, in words, such as "after 12 frames".
    """
    reason = error.strerror or str(error) or type(error).__name__
    where = f"{path} could not be written {after}" if after else f"{path} cannot be written"
    return SinkError(f"{where} ({reason})", REMEDIES.get(error.errno or 0, "Choose another place"))


@contextmanager
def written_whole(path: str | Path, *, make_folders: bool = False) -> Iterator[Path]:
    """A new file beside ``path`` that takes its place when the block ends well, and is gone when it does not.

    Whether it can be made shows before the work in the block. Each writer has a file of its own, whose name nobody can
    foresee and which is made anew (no link is followed), so that several processes may write one path: the last to end
    wins, whole. The file is on the disk before it takes the place. What a killed process has left is removed.

    Args:
        path: the file to be; a link stays one, and what it points to is replaced.
        make_folders: make the folders above it where they are missing.

    Yields:
        the path to write to; it exists and is empty.

    Raises:
        SinkError: the file cannot be made or written. An ``OSError`` of anything else in the block passes through.
    """
    target = Path(path)
    try:
        target = Path(os.path.realpath(target))
        if make_folders:
            target.parent.mkdir(parents=True, exist_ok=True)
        if target.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(target))
        _remove_abandoned(target)
        part = target.with_name(_part_name(target.name))
        file = os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0), _mode_for(target))
    except OSError as error:
        raise cannot_write(path, error) from None
    try:
        _hold(file)
        yield part
        try:
            _flush(part)
            os.replace(part, target)
            _flush(target.parent)
        except OSError as error:
            raise cannot_write(path, error) from None
    except OSError as error:
        if error.filename not in (str(part), None) or (error.filename is None and error.errno not in _DISK_ERRORS):
            raise
        raise cannot_write(path, error) from None
    finally:
        os.close(file)
        with suppress(OSError):
            part.unlink()


def write_whole(path: str | Path, content: bytes | str, *, make_folders: bool = False) -> None:
    """Write a file in one go, whole or not at all; text as UTF-8.

    Raises:
        SinkError: it cannot be written.
    """
    with written_whole(path, make_folders=make_folders) as part:
        part.write_bytes(content.encode() if isinstance(content, str) else content)


@contextmanager
def locked(path: str | Path, waiting: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Keep other processes that lock this path waiting until the block ends; a killed process holds nothing.

    For work whose result the second process can use: it looks again for the result once it has the lock. The lock is a
    hidden file beside ``path``, which stays. Where the file system knows no locks nobody waits.

    Args:
        path: what is locked.
        waiting: called before this waits for another process; not where it need not.

    Raises:
        SinkError: the hidden file cannot be made.
    """
    target = Path(path)
    try:
        file = os.open(
            target.with_name(f".{_shortened(target.name, 6)}.lock"),
            os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0),
            0o600,
        )
    except OSError as error:
        raise cannot_write(target, error) from None
    try:
        if fcntl is not None:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                waiting()
                with suppress(OSError):
                    fcntl.flock(file, fcntl.LOCK_EX)
            except OSError:  # of a file system that knows none
                pass
        yield
    finally:
        os.close(file)


def same_file(one: str | Path, other: str | Path) -> bool:
    """Whether two paths lead to one file or folder, there or not, through links, other spellings and upper case."""
    one, other = Path(one), Path(other)
    with suppress(OSError):
        return os.path.samefile(one, other)
    # At least one of them is not there yet: the same folder, and the same name in it.
    ones, others = (Path(os.path.realpath(path)) for path in (one, other))
    if ones.name != others.name and not (ones.name.lower() == others.name.lower() and _ignores_case(ones.parent)):
        return False
    with suppress(OSError):
        return os.path.samefile(ones.parent, others.parent)
    return ones.parent == others.parent


def keep_apart(outputs: Iterable[str | Path], inputs: Iterable[str | Path]) -> None:
    """Refuse to write over, or among, what is read.

    An output must not be an input, lie in the place of one, or be a folder in which inputs lie. What is not there
    yet, and what is no file or folder, such as a pipe or ``/dev/null``, may be named as both.

    Args:
        outputs: files or folders that will be written.
        inputs: files or folders that are read in the same run: sources, labels, models, configurations.

    Raises:
        SinkError: an output that is an input, with both named.
    """
    known = list(inputs)
    for output in outputs:
        if not _is_regular(output):
            continue
        for given in known:
            if same_file(output, given):
                what = f"{output} is read by this run as well" if str(output) == str(given) else f"{output} is {given}"
                raise SinkError(f"{what}, which would be lost", "Write to another place")
            if os.path.isdir(output) and same_file(output, Path(given).parent):
                raise SinkError(f"{given} lies in {output}, where this run would write", "Write to a folder of its own")


def _is_regular(path: str | Path) -> bool:
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return True  # not there yet
    return stat.S_ISREG(mode) or stat.S_ISDIR(mode)


def _ignores_case(folder: Path) -> bool:
    other = folder.with_name(folder.name.swapcase())
    if other.name == folder.name:
        return False
    with suppress(OSError):
        return os.path.samefile(folder, other)
    return False


def _shortened(name: str, room: int) -> str:
    """The name cut so that ``room`` bytes more make a file name still."""
    return os.fsdecode(os.fsencode(name)[: _LONGEST_NAME - room])


def _part_name(name: str) -> str:
    return f".{_shortened(name, 24)}.{secrets.token_hex(8)}.part"


def _mode_for(target: Path) -> int:
    with suppress(OSError):
        return stat.S_IMODE(target.stat().st_mode)
    return 0o666


def _hold(file: int) -> None:
    """Mark a part as being written, for as long as this process lives."""
    if fcntl is not None:
        with suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _remove_abandoned(target: Path) -> None:
    """Remove the parts of this path that no living process writes."""
    if fcntl is None:
        return
    form = re.compile(rf"\.{re.escape(_shortened(target.name, 24))}\.[0-9a-f]{{16}}\.part")
    with suppress(OSError):
        for found in [entry.path for entry in os.scandir(target.parent) if form.fullmatch(entry.name)]:
            with suppress(OSError):
                file = os.open(found, os.O_RDWR | os.O_NOFOLLOW)
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    os.unlink(found)
                finally:
                    os.close(file)


def _flush(path: Path) -> None:
    """Ask that a file, or a folder's list of names, be on the disk; some file systems cannot do folders."""
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    except OSError:
        if not path.is_dir():
            raise
    finally:
        os.close(file)
