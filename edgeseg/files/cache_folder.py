"""Where edgeseg keeps what it has built: a folder that no other user may write to, for it holds programs."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from edgeseg.errors import EdgesegError

_REMEDY = "Set XDG_CACHE_HOME to a folder of your own"


def cache_folder(name: str) -> Path:
    """``edgeseg/NAME`` in ``$XDG_CACHE_HOME`` or ``~/.cache``, made where it is missing, for this user alone.

    Raises:
        EdgesegError: it cannot be made, or belongs to another user.
    """
    try:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        base.mkdir(parents=True, exist_ok=True)
        folder = base / "edgeseg"
        for part in (folder, folder / name):
            part.mkdir(mode=0o700, exist_ok=True)
            _keep_private(part)
    except OSError as error:
        raise EdgesegError(f"the cache {error.filename} cannot be made ({error.strerror})", _REMEDY) from None
    except RuntimeError:  # of Path.home
        raise EdgesegError("there is no home folder to keep the cache in", _REMEDY) from None
    return folder / name


def _keep_private(folder: Path) -> None:
    """Refuse a folder of somebody else's, and take from other users what an earlier umask has left them."""
    if not hasattr(os, "getuid"):  # Windows keeps home folders private
        return
    found = os.stat(folder, follow_symlinks=False)
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise EdgesegError(f"the cache {folder} is a link, or belongs to another user", _REMEDY)
    if found.st_mode & 0o077:
        folder.chmod(0o700)
