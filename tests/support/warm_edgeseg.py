"""The command line in a process that has everything loaded already: each command runs in a fork of it.

Loading PyTorch takes longer than most commands on small files. As a script this is that process: it reads a line
of JSON for each command, and answers with the exit code.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

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


class CliResult(NamedTuple):
    """What a command left behind: its exit code, and all that it wrote."""

    rc: int
    stdout: str
    stderr: str


class WarmEdgeseg:
    """``run(words, cwd)`` runs a command to its end; ``close`` ends the process."""

    def __init__(self, scratch: Path) -> None:
        self._stdout, self._stderr = scratch / "stdout", scratch / "stderr"
        self._process = subprocess.Popen(
            [sys.executable, "-I", __file__],
            env={**os.environ, "PYTHONIOENCODING": "utf-8"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            encoding="utf-8",
            start_new_session=True,
        )

    def run(self, words: list[str], cwd: Path) -> CliResult:
        """The command, in the environment of the caller."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        environment = {**os.environ, "NO_COLOR": "1", "TERM": "dumb", "COLUMNS": "200", "PYTHONIOENCODING": "utf-8"}
        files = {"stdout": str(self._stdout), "stderr": str(self._stderr)}
        order = {"words": words, "cwd": str(cwd), "environment": environment, **files}
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        rc = int(self._process.stdout.readline())
        return CliResult(rc, self._stdout.read_text("utf-8"), self._stderr.read_text("utf-8"))

    def close(self) -> None:
        """End the process, and a command that runs: there is nothing to put in order."""
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.communicate()


def _become(order: dict[str, Any]) -> int:
    """The command, with nothing to read and its output in files; its exit code."""
    from edgeseg.__main__ import main

    for number, path in ((0, os.devnull), (1, order["stdout"]), (2, order["stderr"])):
        opened = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
        os.dup2(opened, number)
        os.close(opened)
    os.chdir(order["cwd"])
    os.environ.clear()
    os.environ.update(order["environment"])
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
