"""Which engines this user has built on this machine. An engine is a program: loading a stranger's runs it.

The SHA-256 of each engine that edgeseg builds is noted in the cache folder, which no other user may write to.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path

from edgeseg.errors import EdgesegError, ModelError
from edgeseg.files.cache_folder import cache_folder


def note_built(engine_sha256: str) -> bool:
    """Note that an engine was built here; False where the cache folder cannot be written to."""
    with suppress(EdgesegError, OSError):
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
        file = os.open(_notes(), flags, 0o600)
        try:
            os.write(file, f"{engine_sha256}\n".encode())  # at once: several processes may do so
        finally:
            os.close(file)
        return True
    return False


def was_built_here(engine_sha256: str) -> bool:
    """Whether :func:`note_built` was told of it by this user on this machine."""
    with suppress(EdgesegError, OSError, ValueError):
        notes = _notes()
        found = os.stat(notes, follow_symlinks=False)
        own = not hasattr(os, "getuid") or (found.st_uid == os.getuid() and not found.st_mode & 0o022)
        return stat.S_ISREG(found.st_mode) and own and engine_sha256 in notes.read_text("ascii").split()
    return False


def check_trusted(engine: Path, engine_sha256: str, trust_engine: bool, rebuild: str) -> None:
    """Raise ModelError unless an engine was built here, or the caller vouches for it.

    Args:
        engine: its path, for the message.
        engine_sha256: of the bytes that will be loaded.
        trust_engine: whether the caller does.
        rebuild: the sentence that says how to build it here.
    """
    if not trust_engine and not was_built_here(engine_sha256):
        raise ModelError(
            f"{engine} was not built by you on this machine, and an engine is a program, which could do anything",
            f"{rebuild}. Or, where you know who built it, set trust_engine",
        )


def _notes() -> Path:
    return cache_folder("engines") / "built-here"
