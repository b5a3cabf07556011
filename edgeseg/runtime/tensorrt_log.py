"""What TensorRT says while it works: its errors, kept for the message of the exception that follows."""

from __future__ import annotations

from typing import Any

from edgeseg.runtime.tensorrt_module import TensorRT


class ErrorLog:
    """The errors that one builder or runtime has logged.

    Attributes:
        logger: TensorRT's ILogger, to be passed to it; keep this log for as long as TensorRT has it.
    """

    def __init__(self, tensorrt: TensorRT) -> None:
        self._errors: list[str] = []
        self.logger = _logger(tensorrt.module, self._errors)

    def clear(self) -> None:
        """Forget what was said so far."""
        self._errors.clear()

    @property
    def out_of_memory(self) -> bool:
        """Whether the GPU had too little of it."""
        return any("out of memory" in text.lower().replace("outof", "out of ") for text in self._errors)

    @property
    def reason(self) -> str:
        """The first error, which is the cause; the others follow from it."""
        return one_line(self._errors[0]) if self._errors else "it does not say why"


def one_line(text: str) -> str:
    """Without what TensorRT-RTX adds to any error where there is no driver."""
    return " ".join(text.split("[checkMacros.cpp", 1)[0].split())[:300]


def _logger(trt: Any, errors: list[str]) -> Any:
    class Logger(trt.ILogger):  # type: ignore[misc]  # a base class known when it runs
        def __init__(self) -> None:
            trt.ILogger.__init__(self)  # not super(): the bindings want to see it called by name

        def log(self, severity: Any, message: str) -> None:
            if severity <= trt.ILogger.Severity.ERROR:
                errors.append(message)

    return Logger()
