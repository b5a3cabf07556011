"""Files that are written whole or not at all, by one process at a time, and never over what a run reads."""

from __future__ import annotations

import atexit
import errno
import os
import re
import secrets
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
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
def written_whole(path: str | Path, *, make_folders: bool = False, durable: bool = True) -> Iterator[Path]:
    """A new file beside ``path`` that takes its place when the block ends well, and is gone when it does not.

    Whether it can be made shows before the work in the block. Each writer has a file of its own, whose name nobody can
    foresee and which is made anew (no link is followed), so that several processes may write one path: the last to end
    wins, whole. The file is on the disk before it takes the place. What a killed process has left is removed. A
    KeyboardInterrupt may come at any moment: between two steps of this function too, the new file is gone, at the
    latest when the process ends.

    Args:
        path: the file to be; a link stays one, and what it points to is replaced.
        make_folders: make the folders above it where they are missing.
        durable: wait until it is on the disk, and remove what killed processes have left of it. False for one of many
            files, such as a frame's: still whole, but what a power cut takes of it is lost.

    Yields:
        the path to write to; it exists and is empty.

    Raises:
        SinkError: the file cannot be made or written. An ``OSError`` of anything else in the block passes through.
    """
    target = Path(path)
    with ExitStack() as parts:
        try:
            target = Path(os.path.realpath(target))
            if make_folders:
                target.parent.mkdir(parents=True, exist_ok=True)
            if target.is_dir():
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(target))
            if durable:
                remove_abandoned(target.parent, re.escape(_shortened(target.name, 24)))
            part = parts.enter_context(_part_of(target))
        except OSError as error:
            raise cannot_write(path, error) from None
        try:
            yield part
            try:
                if durable:
                    _flush(part)
                os.replace(part, target)
                if durable:
                    _flush(target.parent)
            except OSError as error:
                raise cannot_write(path, error) from None
        except OSError as error:
            if error.filename not in (str(part), None) or (error.filename is None and error.errno not in _DISK_ERRORS):
                raise
            raise cannot_write(path, error) from None


def write_whole(path: str | Path, content: bytes | str, *, make_folders: bool = False) -> None:
    """Write a file in one go, whole or not at all; text as UTF-8.

    Raises:
        SinkError: it cannot be written.
    """
    with written_whole(path, make_folders=make_folders) as part:
        part.write_bytes(content.encode() if isinstance(content, str) else content)


def remove_abandoned(folder: str | Path, name_form: str) -> None:
    """Remove from a folder what ``written_whole`` left of files when its process was killed; no living one's.

    Args:
        folder: where to look.
        name_form: regular expression of the files' names.
    """
    if fcntl is None:
        return
    form = re.compile(rf"\.(?:{name_form})\.[0-9a-f]{{16}}\.part")
    with suppress(OSError):
        for found in [entry.path for entry in os.scandir(folder) if form.fullmatch(entry.name)]:
            with suppress(OSError):
                file = os.open(found, os.O_RDWR | os.O_NOFOLLOW)
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    os.unlink(found)
                finally:
                    os.close(file)


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
    there: dict[tuple[int, int], str | Path] = {}
    holding: dict[tuple[int, int], str | Path] = {}
    missing = []
    for given in inputs:
        if (identity := _identity(given)) is None:
            missing.append(given)
            continue
        there.setdefault(identity, given)
        if (parent := _identity(Path(given).parent)) is not None:
            holding.setdefault(parent, given)
    for output in outputs:
        if not _is_regular(output):
            continue
        identity = _identity(output)
        same = there.get(identity) if identity else next((given for given in missing if same_file(output, given)), None)
        if same is not None:
            what = f"{output} is read by this run as well" if str(output) == str(same) else f"{output} is {same}"
            raise SinkError(f"{what}, which would be lost", "Write to another place")
        if identity in holding:
            lost = holding[identity]
            raise SinkError(f"{lost} lies in {output}, where this run would write", "Write to a folder of its own")


def keep_distinct(outputs: Iterable[str | Path]) -> None:
    """Refuse to write two outputs into one file or folder; pipes and devices, such as ``/dev/null``, take several.

    Raises:
        SinkError: two that are one, with both named.
    """
    known: list[str | Path] = []
    for output in filter(_is_regular, outputs):
        for other in known:
            if same_file(output, other):
                what = f"{output} is named twice" if str(output) == str(other) else f"{output} is {other}"
                raise SinkError(f"{what} as an output of this run", "Give each output a place of its own")
        known.append(output)


def check_writable(path: str | Path, *, folder: bool = False) -> None:
    """See whether a file can be written there, or a folder filled; leaves nothing, and changes nothing there.

    Pipes and devices are taken as they are: to open a pipe and close it again would tell its reader that this was all.

    Args:
        path: there or not; the folder above it exists.
        folder: whether it is one, or is to be one.

    Raises:
        SinkError: it cannot be written, with the reason.
    """
    target = Path(path)
    try:
        if not target.parent.exists():
            raise SinkError(f"there is no folder {target.parent} for {target.name}", "Make it first")
        if target.is_dir() and folder:
            target = target / _part_name("")
        elif folder and target.exists():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(target))
        is_new = not target.exists()
        if is_new or target.is_file() or target.is_dir():
            os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666))
        if is_new:
            Path(os.path.realpath(target)).unlink()
    except OSError as error:
        raise cannot_write(path, error) from None


def _is_regular(path: str | Path) -> bool:
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return True  # not there yet
    return stat.S_ISREG(mode) or stat.S_ISDIR(mode)


def _identity(path: str | Path) -> tuple[int, int] | None:
    with suppress(OSError, ValueError):
        status = os.stat(path)
        return status.st_dev, status.st_ino
    return None


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


_parts: dict[Path, int] = {}
"""What is being written now, and the process that does: a fork has its parent's as well."""


@contextmanager
def _part_of(target: Path) -> Iterator[Path]:
    """A new file beside the target, held for as long as this process lives, and gone in the end."""
    part = target.with_name(_part_name(target.name))
    _parts[part] = os.getpid()
    try:
        file = os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0), _mode_for(target))
        try:
            _hold(file)
            yield part
        finally:
            os.close(file)
    finally:
        _remove(part)


def _remove(part: Path) -> None:
    with suppress(OSError):
        part.unlink()
    _parts.pop(part, None)


@atexit.register
def _remove_parts() -> None:
    """Remove what a KeyboardInterrupt has left where it fell between two steps above."""
    for part in [part for part, process in _parts.items() if process == os.getpid()]:
        _remove(part)


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
