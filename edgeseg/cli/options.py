"""Flags from the fields of a configuration, so that no default, choice or word of help stands twice."""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Optional, get_args, get_type_hints

import typer

from edgeseg.settings import choices_of, types_of


def with_settings(config: type) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a verb a flag for each field of a configuration, beside its own parameters.

    The verb takes those that were given, and no others, as keyword arguments.

    Args:
        config: a dataclass that derives from :class:`edgeseg.settings.Settings`.
    """

    def decorate(verb: Callable[..., None]) -> Callable[..., None]:
        hints = get_type_hints(verb, include_extras=True)
        own = [one for one in inspect.signature(verb).parameters.values() if one.kind is not one.VAR_KEYWORD]
        names = [field.name for field in dataclasses.fields(config)]

        @functools.wraps(verb)
        def command(**values: Any) -> None:
            verb(**{name: value for name, value in values.items() if name not in names or value is not None})

        parameters = [_flag(config, field) for field in dataclasses.fields(config)]
        parameters += [one.replace(annotation=hints[one.name]) for one in own]
        command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        command.__annotations__ = {one.name: one.annotation for one in parameters} | {"return": None}
        return command

    return decorate


def _flag(config: type, field: dataclasses.Field[Any]) -> inspect.Parameter:
    kind = types_of(config)[field.name]
    if kind not in (int, float, bool):
        kind = Path if Path in get_args(kind) and type(None) not in get_args(kind) else str
    option = typer.Option(help=_help(config, field), rich_help_panel=field.metadata["panel"] or None)
    return inspect.Parameter(
        field.name,
        inspect.Parameter.KEYWORD_ONLY,
        default=None,
        annotation=Annotated[Optional[kind], option],  # noqa: UP045 - a type that is a variable
    )


def _help(config: type, field: dataclasses.Field[Any]) -> str:
    choices, words = choices_of(config, field.name), field.metadata["help"]
    if choices:
        listed = " or ".join((", ".join(choices[:-1]), choices[-1]))
        words = f"{listed}: {words[0].lower()}{words[1:]}" if words else listed
    if field.default in (dataclasses.MISSING, ""):
        return f"{words}." if words else ""
    # rich would take brackets around words for markup and drop them, and shows the escape before a number
    bracket = "[" if isinstance(field.default, int | float) else "\\["
    return f"{words} {bracket}{field.default}]."
