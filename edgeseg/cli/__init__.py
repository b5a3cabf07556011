"""The ``edgeseg`` command: one verb a file, imported lightly here; the heavy parts load when the verb runs.

Exit codes: 0 done; 1 ``doctor`` found something broken, ``data check`` what harms training, ``quantize`` lost too much
accuracy, or the reader of the output went away; 2 the user can mend it (one line says how); 130 and 143 ended by Ctrl-C
or SIGTERM.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from edgeseg import __version__
from edgeseg.cli import standard_streams
from edgeseg.cli.signals import interrupts_once
from edgeseg.errors import DeviceError, EdgesegError, MissingDependencyError, printable
from edgeseg.files.whole import cannot_write
from edgeseg.installing import pip_install

_EXTRAS = {
    "torch": "train",
    "matplotlib": "train",
    "tensorboard": "train",
    "onnx": "quantize",
    "onnxscript": "export",
    "starlette": "web",
    "uvicorn": "web",
    "websockets": "web",
    "prometheus_client": "web",
}
"""The extra that brings a package which only some verbs need."""

VERBS = ("run", "models", "train", "eval", "tune-crf", "export", "quantize", "compare", "data", "doctor")


EXAMPLES = """
edgeseg run --camera 0                      label what a camera sees
edgeseg run street.mp4 --save labelled.mp4  label a video
edgeseg eval model.onnx --data camvid       measure a model
"""


class _Verb(TyperCommand):
    """Ends its help with the examples of the verb's module."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        super().format_help(ctx, formatter)
        _write_examples(self.callback, formatter)


class _Group(TyperGroup):
    """Several verbs; its help ends with the examples of their module."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        super().format_help(ctx, formatter)
        _write_examples(self.callback, formatter)


class _Verbs(_Group):
    """Turns the errors a user can mend into one line and exit code 2; any other is a bug and shows its traceback."""

    def invoke(self, ctx: Any) -> Any:
        try:
            with interrupts_once():
                outcome = super().invoke(ctx)
            _flush()
        except (EdgesegError, ModuleNotFoundError) as error:
            package = (getattr(error, "name", None) or "").partition(".")[0]
            if ctx.params["debug"] or not (isinstance(error, EdgesegError) or package in _EXTRAS):
                raise
            if not isinstance(error, EdgesegError):
                install = pip_install(f"edgeseg[{_EXTRAS[package]}]")
                error = MissingDependencyError(f"the package {package} is not installed", f"Run: {install}")
            raise _told(error) from None
        except MemoryError:
            if ctx.params["debug"]:
                raise
            what = "there is not enough memory for this"
            raise _told(DeviceError(what, "Close other programs, or work on smaller pictures or batches")) from None
        except KeyboardInterrupt:
            print("edgeseg: interrupted", file=sys.stderr)
            raise typer.Exit(130) from None
        except BrokenPipeError:
            # The reader has seen enough (`edgeseg models | head -1`). What is still buffered must not fail at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(1) from None
        return outcome


def _told(error: EdgesegError) -> typer.Exit:
    """Print the line of an error; what names bring along can neither break it nor steer the terminal."""
    print(f"edgeseg: error: {printable(str(error))}", file=sys.stderr)
    return typer.Exit(2)


def _flush() -> None:
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or it would be tried again at exit
        raise cannot_write("standard output", error) from None


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"edgeseg {__version__}")
        raise typer.Exit


def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show an error's traceback; goes before the verb.")] = False,
) -> None:
    """Real-time semantic segmentation for edge devices: train, export, stream."""


def _write_examples(callback: Callable[..., Any] | None, formatter: Any) -> None:
    """Write them line by line; typer's own epilog joins lines, in some versions, and takes brackets for markup."""
    if callback is not None:
        examples: str = sys.modules[callback.__module__].EXAMPLES
        formatter.write(" Examples:\n" + "".join(f"   {line}\n" for line in examples.strip().splitlines()))


def _build(verbs: Sequence[str] = VERBS) -> typer.Typer:
    app = typer.Typer(
        name="edgeseg",
        cls=_Verbs,
        callback=_options,
        add_completion=False,
        no_args_is_help=True,
        rich_markup_mode="rich",
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    _add_verbs(app, __name__, verbs)
    return app


def _add_verbs(app: typer.Typer, package: str, verbs: Sequence[str]) -> None:
    """Add each verb's module of a package, or, where that is a package, the verbs in it as a group."""
    for verb in verbs:
        function = verb.replace("-", "_")
        module = import_module(f"{package}.{function}")
        if hasattr(module, "VERBS"):
            group = typer.Typer(cls=_Group, callback=getattr(module, function), no_args_is_help=True)
            _add_verbs(group, module.__name__, module.VERBS)
            app.add_typer(group, name=verb)
        else:
            app.command(verb, cls=_Verb)(getattr(module, function))


def main() -> None:
    """Run the command line and exit."""
    standard_streams.prepare()
    warnings.filterwarnings(
        "ignore", module="PIL"
    )  # what it guesses of a damaged picture is told as an error, or is none
    asked = next((word for word in sys.argv[1:] if not word.startswith("-")), "")
    _build([asked] if asked in VERBS else VERBS)(prog_name="edgeseg")
