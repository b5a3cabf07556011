"""The command line in a process that has everything loaded already: each command runs in a fork of it.

Loading PyTorch takes longer than most commands on small files. As a script this is that process: it reads a line
of JSON for each command, and answers with the number of its process, or with the exit code where that is asked for.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

_LOADED = (
    "edgeseg.video.streaming",
    "edgeseg.runtime.ort.backend",
    "edgeseg.evaluation.evaluate",
    "edgeseg.evaluation.tune_crf",
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


class WarmRun:
    """A command that runs, in a process group of its own; ``pid``, ``poll`` and ``wait`` are those of a Popen."""

    def __init__(self, ask: Callable[[dict[str, Any]], int | None], pid: int) -> None:
        self._ask = ask
        self.pid = pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """The exit code; None while it runs."""
        if self.returncode is None:
            self.returncode = self._ask({"wait": self.pid, "flags": os.WNOHANG})
        return self.returncode

    def wait(self) -> int:
        """The exit code, once it has ended."""
        if self.returncode is None:
            self.returncode = self._ask({"wait": self.pid, "flags": 0})
        assert self.returncode is not None
        return self.returncode


class WarmEdgeseg:
    """``run(words, cwd)`` runs a command to its end, ``start`` does not wait for it; ``close`` ends the process."""

    def __init__(self, scratch: Path) -> None:
        self._scratch = scratch
        self._process = subprocess.Popen(
            [sys.executable, "-I", __file__],
            env={**os.environ, "PYTHONIOENCODING": "utf-8"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            encoding="utf-8",
            start_new_session=True,
        )

    def start(self, words: list[str], cwd: Path, stdout: Path, stderr: Path) -> WarmRun:
        """The command, in the environment of the caller, with its output in files."""
        environment = {**os.environ, "NO_COLOR": "1", "TERM": "dumb", "COLUMNS": "200", "PYTHONIOENCODING": "utf-8"}
        files = {"stdout": str(stdout), "stderr": str(stderr)}
        pid = self._ask({"words": words, "cwd": str(cwd), "environment": environment, **files})
        assert pid is not None
        return WarmRun(self._ask, pid)

    def run(self, words: list[str], cwd: Path) -> CliResult:
        """The same to its end."""
        stdout, stderr = self._scratch / "stdout", self._scratch / "stderr"
        rc = self.start(words, cwd, stdout, stderr).wait()
        return CliResult(rc, stdout.read_text("utf-8"), stderr.read_text("utf-8"))

    def close(self) -> None:
        """End the process: there is nothing to put in order. What it has started ends with it."""
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.communicate()

    def _ask(self, question: dict[str, Any]) -> int | None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        answer: int | None = json.loads(self._process.stdout.readline())
        return answer


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
        question = json.loads(line)
        if "wait" in question:
            ended, status = os.waitpid(question["wait"], question["flags"])
            answer = os.waitstatus_to_exitcode(status) if ended else None
        elif not (answer := os.fork()):
            _end_with(os.getppid())
            code = _become(question)
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)  # to take all of it apart would take half a second
        print(json.dumps(answer), flush=True)


def _end_with(parent: int) -> None:
    """In a session of its own this process, which no signal to the parent's group reaches, ends with the parent."""
    os.setsid()
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
        if os.getppid() != parent:
            os._exit(1)


if __name__ == "__main__":
    _serve()
