"""What TensorRT says while it works: its errors, kept for the message of the exception that follows."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from edgeseg.runtime.tensorrt.module import TensorRT

_MOST_ERRORS = 1000
"""To keep: the first is the one that is told."""


class ErrorLog:
    """The errors that one builder or runtime has logged.

    TensorRT logs on the thread that called it. A thread that calls :meth:`clear` before its calls finds the errors of
    these alone: those of another thread, which works with another execution context of the same engine, neither show
    nor are forgotten. What is logged on other threads, TensorRT's own among them, is found by all.

    Attributes:
        logger: TensorRT's ILogger, to be passed to it; keep this log for as long as TensorRT has it.
    """

    def __init__(self, tensorrt: TensorRT) -> None:
        self._own = threading.local()
        self._shared: list[str] = []
        self.logger = _logger(tensorrt.module, self._note)

    def clear(self) -> None:
        """Forget what was logged so far, but for what belongs to other threads' calls."""
        self._own.errors, self._own.since = [], len(self._shared)

    @property
    def out_of_memory(self) -> bool:
        """Whether the GPU had too little of it."""
        return any("out of memory" in text.lower().replace("outof", "out of ") for text in self._found())

    @property
    def reason(self) -> str:
        """The first error, which is the cause; the others follow from it."""
        errors = self._found()
        return one_line(errors[0]) if errors else "it does not say why"

    def _found(self) -> list[str]:
        return getattr(self._own, "errors", None) or self._shared[getattr(self._own, "since", 0) :]

    def _note(self, message: str) -> None:
        errors: list[str] = getattr(self._own, "errors", self._shared)
        if len(errors) < _MOST_ERRORS:
            errors.append(message)


def one_line(text: str) -> str:
    """Without what TensorRT-RTX adds to any error where there is no driver, or what would steer a terminal."""
    text = " ".join(text.split("[checkMacros.cpp", 1)[0].split())[:300]
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def _logger(trt: Any, note: Callable[[str], None]) -> Any:
    class Logger(trt.ILogger):  # type: ignore[misc]  # a base class known when it runs
        def __init__(self) -> None:
            trt.ILogger.__init__(self)  # not super(): the bindings want to see it called by name

        def log(self, severity: Any, message: str) -> None:
            if severity <= trt.ILogger.Severity.ERROR:
                note(message)

    return Logger()
