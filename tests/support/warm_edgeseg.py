"""The command line in a process that has everything loaded already: each command runs in a fork of it.

Loading PyTorch takes longer than most commands on small files. As a script this is that process: it reads a line
of JSON for each command, and answers with the exit code.
"""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

_LOADED = (
    "edgeseg.video.streaming",
    "edgeseg.runtime.ort",
    "edgeseg.evaluate",
    "edgeseg.tune_crf",
    "edgeseg.video.web.sink",
    "edgeseg.quantize.ptq",
    "edgeseg.train.loop",
    "edgeseg.train.qat",
    "edgeseg_export.onnx",
    "edgeseg_export.qat",
)


class Finished(NamedTuple):
    """What a command left behind."""

    rc: int
    stdout: str
    stderr: str


class WarmEdgeseg:
    """``run(words, cwd)`` runs a command to its end; ``close`` ends the process."""

    def __init__(self, scratch: Path) -> None:
        self._stdout, self._stderr = scratch / "stdout", scratch / "stderr"
        environment = {"NO_COLOR": "1", "TERM": "dumb", "COLUMNS": "200", "PYTHONIOENCODING": "utf-8"}
        self._process = subprocess.Popen(
            [sys.executable, "-I", __file__],
            env={**os.environ, **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            encoding="utf-8",
        )

    def run(self, words: list[str], cwd: Path) -> Finished:
        """The exit code, and what was written."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        order = {"words": words, "cwd": str(cwd), "stdout": str(self._stdout), "stderr": str(self._stderr)}
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        rc = int(self._process.stdout.readline())
        return Finished(rc, self._stdout.read_text("utf-8"), self._stderr.read_text("utf-8"))

    def close(self) -> None:
        """End the process: it has nothing to put in order, and to unload PyTorch and the rest has hung."""
        self._process.kill()
        self._process.communicate()


def _become(order: dict[str, str | list[str]]) -> int:
    """The command, with nothing to read and its output in files; its exit code."""
    from edgeseg.cli import main

    for number, path in ((0, os.devnull), (1, order["stdout"]), (2, order["stderr"])):
        opened = os.open(str(path), os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
        os.dup2(opened, number)
        os.close(opened)
    os.chdir(str(order["cwd"]))
    sys.argv = ["edgeseg", *order["words"]]
    try:
        main()
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def _serve() -> None:
    for module in _LOADED:
        with suppress(ImportError):
            import_module(module)
    gc.freeze()  # what is shared stays shared
    while line := sys.stdin.buffer.raw.readline():  # type: ignore[attr-defined]
        child = os.fork()
        if not child:
            code = _become(json.loads(line))
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)  # to take all of it apart would take half a second
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


if __name__ == "__main__":
    _serve()
