"""Flags from the fields of a configuration, so that no default, choice or word of help stands twice."""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Optional, TypeVar, get_args, get_origin, get_type_hints

import typer

from edgeseg.settings import SettingError, Settings, choices_of, kinds_of

ConfigFile = Annotated[
    Path | None, typer.Option("--config", help="A YAML file with any of these settings; flags win over it.")
]

_Config = TypeVar("_Config", bound=Settings)


def with_settings(config: type[Settings]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a verb a flag for each field of a configuration, beside its own parameters.

    The verb takes those that were given, and no others, as keyword arguments.
    """

    def decorate(verb: Callable[..., None]) -> Callable[..., None]:
        hints = {name: _annotated(hint) for name, hint in get_type_hints(verb, include_extras=True).items()}
        own = [one for one in inspect.signature(verb).parameters.values() if one.kind is not one.VAR_KEYWORD]
        names = [field.name for field in dataclasses.fields(config)]

        @functools.wraps(verb)
        def command(**values: Any) -> None:
            verb(**{name: value for name, value in values.items() if name not in names or value not in (None, [], ())})

        parameters = [_flag(config, field) for field in dataclasses.fields(config)]
        parameters += [one.replace(annotation=hints[one.name]) for one in own]
        command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        command.__annotations__ = {one.name: one.annotation for one in parameters} | {"return": None}
        return command

    return decorate


def _annotated(hint: Any) -> Any:
    """What stands in the source: Python 3.10 makes Optional of whatever has None for its default."""
    inside = [one for one in get_args(hint) if get_origin(one) is Annotated]
    return inside[0] if inside and get_origin(hint) is not Annotated else hint


def completed(
    config: type[_Config], file: Path | None, flags: Mapping[str, Any], context: typer.Context | None = None
) -> dict[str, Any]:
    """The settings of a file, and over them those of the environment, and over them the flags.

    Args:
        config: whose they are.
        file: the YAML, if there is one.
        flags: what :func:`with_settings` gave.
        context: the verb's, where some can come from the environment.

    Raises:
        InputError: the file cannot be used.
    """
    around = {name: value for name, value in flags.items() if context is not None and is_around(context, name)}
    typed = {name: value for name, value in flags.items() if name not in around}
    return config.merged(config.read(file) if file is not None else {}, around, typed)


def is_around(context: typer.Context, name: str) -> bool:
    """Whether a parameter comes from the environment, and does not stand on the command line itself."""
    return comes_from(context, name, "ENVIRONMENT")


def comes_from(context: typer.Context, name: str, place: str) -> bool:
    """Whether a parameter comes from there: ``COMMANDLINE``, ``ENVIRONMENT`` or ``DEFAULT``."""
    return getattr(context.get_parameter_source(name), "name", "") == place


@contextmanager
def told_as_flags(names: Mapping[str, str]) -> Iterator[None]:
    """A block whose errors speak of settings as flags, but for those that are called otherwise here."""
    try:
        yield
    except SettingError as error:
        raise error.told(lambda name: names.get(name, _flag_name(name))) from None


def words_of(config: type[Settings], name: str) -> str:
    """The help of one field, for a verb that shares that one alone."""
    (words,) = (field.metadata["help"] for field in dataclasses.fields(config) if field.name == name)
    return f"{words}."


def _flag_name(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _flag(config: type[Settings], field: dataclasses.Field[Any]) -> inspect.Parameter:
    meta = field.metadata
    said: dict[str, Any] = {
        "help": _help(config, field),
        "show_default": False,
        "rich_help_panel": meta["panel"] or None,
    }
    said["metavar"] = "|".join(choices_of(config, field.name)) or meta["metavar"]
    option = typer.Argument(**said) if meta["argument"] else typer.Option(**said, envvar=meta["envvar"])
    return inspect.Parameter(
        field.name,
        inspect.Parameter.KEYWORD_ONLY,
        default=None,
        annotation=Annotated[Optional[_read_as(config, field)], option],  # noqa: UP045 - a type that is a variable
    )


def _read_as(config: type[Settings], field: dataclasses.Field[Any]) -> Any:
    """The type that the command line reads a flag as."""
    if field.metadata["flag"] is not None:
        return field.metadata["flag"]
    kinds = kinds_of(config, field.name)
    if tuple in kinds:
        return list[str]
    if Path in kinds and str in kinds and type(None) in kinds:
        return str
    return next((kind for kind in (bool, int, float, Path) if kind in kinds), str)


def _help(config: type[Settings], field: dataclasses.Field[Any]) -> str:
    words, meta = field.metadata["help"], field.metadata
    if meta["most"] is not None:
        words += f", {meta['least'] or 0} to {meta['most']}"
    if any(field.default is nothing for nothing in (dataclasses.MISSING, None, False)) or field.default in ("", ()):
        return f"{words}." if words else ""
    shown = "yes" if field.default is True else field.default
    # rich would take brackets around words for markup and drop them, and shows the escape before a number
    bracket = "[" if isinstance(shown, int | float) else "\\["
    return f"{words} {bracket}{shown}].".lstrip()
