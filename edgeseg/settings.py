"""Settings: one flat value, whose fields are keys of a YAML file, flags of a verb and arguments in Python alike.

A configuration is a frozen dataclass of :func:`setting` fields that derives from :class:`Settings`. What a field's
type allows is checked here; the command line (:mod:`edgeseg.cli.options`) makes its flags and their help of the fields.
"""

from __future__ import annotations

import dataclasses
import math
import numbers
import os
import re
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, ClassVar, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from edgeseg.errors import InputError

_Config = TypeVar("_Config", bound="Settings")


class SettingError(InputError):
    """Settings that do not go together.

    Args:
        what, remedy: as of every error, with the names of settings in braces: "{segment_secs} belongs to {save}".
    """

    def __init__(self, what: str, remedy: str) -> None:
        self._message = what, remedy
        super().__init__(*self._named(str))

    def told(self, name: Callable[[str], str]) -> InputError:
        """The same for readers who call each setting what ``name`` makes of its name, as flags on the command line."""
        return InputError(*self._named(name))

    def _named(self, name: Callable[[str], str]) -> Iterator[str]:
        return (re.sub(r"\{(\w+)\}", lambda found: name(found[1]), text) for text in self._message)


def setting(
    default: Any,
    help: str = "",
    *,
    panel: str = "",
    metavar: str | None = None,
    envvar: str | None = None,
    argument: bool = False,
    flag: Any = None,
    parse: Callable[[Any, str], Any] | None = None,
    least: float | None = None,
    above: float | None = None,
    most: float | None = None,
    secret: bool = False,
    saved: bool = True,
) -> Any:
    """One field.

    Args:
        default: its value where nothing is said; ``...`` where it must be given. A dict is copied for each.
        help: what it is, in words.
        panel: the heading of the help it stands under.
        metavar: what the help calls its value.
        envvar: an environment variable that gives it to the command line where no flag does.
        argument: whether it is the command line's argument, and no flag.
        flag: the type that the command line reads it as, where that is not plain from the field's.
        parse: makes a value of what was given, of types that this module does not know; takes it and the beginning of
            a message.
        least, most: of a number, both allowed.
        above: a number is more than this.
        secret: it may hold passwords: neither ``repr`` nor a message shows it.
        saved: whether :meth:`Settings.to_yaml` writes it.
    """
    metadata = {key: value for key, value in locals().items() if key != "default"}
    if default is ...:
        return dataclasses.field(metadata=metadata, repr=not secret)
    if isinstance(default, dict):
        return dataclasses.field(default_factory=lambda: dict(default), metadata=metadata, repr=not secret)
    return dataclasses.field(default=default, metadata=metadata, repr=not secret)


@dataclasses.dataclass(frozen=True)
class Settings:
    """The base of configurations: each field is of its type and within its bounds, or InputError says which is not.

    Fields may be numbers, truth values, texts, paths, words of a Literal, tuples of texts, and any of these or None.

    Attributes:
        OLD_NAMES: values of earlier versions, by the name of their field, and what they are called now.
        ALTERNATIVES: fields of which one may be given, with what is wrong where it is more, and the remedy.
    """

    OLD_NAMES: ClassVar[Mapping[str, Mapping[str, str]]] = {}
    ALTERNATIVES: ClassVar[Mapping[tuple[str, ...], tuple[str, str]]] = {}

    def __post_init__(self) -> None:
        fields = {field.name: field for field in dataclasses.fields(self)}
        for name, field in fields.items():
            object.__setattr__(self, name, self._typed(getattr(self, name), field))
        for names, (what, remedy) in self.ALTERNATIVES.items():
            given = [f"{{{name}}}" for name in names if getattr(self, name) != fields[name].default]
            if len(given) > 1:
                raise SettingError(f"{' and '.join(given)} each {what}", remedy)

    @classmethod
    def read(cls, path: Path) -> dict[str, Any]:
        """The keys of a YAML file, checked to be fields of this and of their types, to be completed by others.

        Raises:
            InputError: not there, not YAML, an unknown key, or a value of the wrong type or out of bounds.
        """
        from edgeseg.files.documents import read_yaml

        fields = {field.name: field for field in dataclasses.fields(cls)}
        secret = _has_secrets(cls)
        raw = read_yaml(path, secret=secret)
        if not isinstance(raw, dict):
            raise InputError(f"{path} is not a mapping of keys to values", "Write one 'key: value' a line")
        values: dict[str, Any] = {}
        for key, value in cls.renewed(raw).items():
            if key not in fields:
                shown = f" {key!r}" if not secret or re.fullmatch(r"[a-z_-]{1,40}", str(key)) else ""
                raise InputError(f"{path}: unknown key{shown}", f"Allowed are {', '.join(sorted(fields))}")
            values[key] = cls._typed(value, fields[key], f"{path}: ")
        return values

    @classmethod
    def renewed(cls, values: Mapping[str, Any]) -> Mapping[str, Any]:
        """What a file of an earlier version says, by the keys of this one."""
        return values

    @classmethod
    def load(cls: type[_Config], path: Path | str) -> _Config:
        """What a YAML file says, and the defaults for all that it leaves out; raises as :meth:`read`."""
        return cls(**cls.read(Path(path)))

    @classmethod
    def merged(cls, *layers: Mapping[str, Any]) -> dict[str, Any]:
        """The values of all layers; later ones win, also over those that ``ALTERNATIVES`` has beside them."""
        values: dict[str, Any] = {}
        for layer in layers:
            groups = [names for names in cls.ALTERNATIVES if not layer.keys().isdisjoint(names)]
            values = {key: value for key, value in values.items() if not any(key in names for names in groups)}
            values.update(layer)
        return values

    def to_yaml(self) -> str:
        """As YAML that :meth:`read` takes, without what is not to be saved."""
        import yaml

        names = [field.name for field in dataclasses.fields(self) if field.metadata["saved"]]
        return yaml.safe_dump({name: _plain(getattr(self, name)) for name in names}, sort_keys=False)

    def write(self, path: Path) -> None:
        """Write :meth:`to_yaml`, complete or not at all.

        Raises:
            SinkError: the file cannot be written.
        """
        from edgeseg.files.whole import write_whole

        write_whole(path, self.to_yaml())

    @classmethod
    def _typed(cls, value: Any, field: dataclasses.Field[Any], where: str = "") -> Any:
        """The value as its field keeps it.

        Raises:
            InputError: it is of another kind, none of the choices, or out of bounds.
        """
        name, kinds = field.name, kinds_of(cls, field.name)
        if value is None and NoneType in kinds:
            return field.default
        if (parse := field.metadata["parse"]) is not None:
            return parse(value, f"{where}{name}")
        is_shown = not field.metadata["secret"] and (not _has_secrets(cls) or _is_plain(value))
        shown = f"{where}{name} is {repr(value) if is_shown else 'not what it can be'}"
        choices = choices_of(cls, name)
        if isinstance(value, bool) and "on" in choices:
            value = "on" if value else "off"
        elif isinstance(value, str):
            value = cls.OLD_NAMES.get(name, {}).get(value, value)
        typed = _of_kind(value, (str,) if choices else kinds)
        if typed is None:
            raise InputError(shown, f"Give {_in_words(kinds)}")
        if choices and typed not in choices:
            raise InputError(shown, f"Use one of {', '.join(choices)}")
        if (remedy := _out_of_bounds(typed, field.metadata)) is not None:
            raise InputError(shown, remedy)
        return typed


def _has_secrets(config: type[Settings]) -> bool:
    return any(field.metadata["secret"] for field in dataclasses.fields(config))


def _is_plain(value: Any) -> bool:
    """Whether it is a number or a word too short for a token: people put passwords under other keys by mistake."""
    return (
        value is None
        or isinstance(value, numbers.Real)
        or bool(isinstance(value, str) and re.fullmatch(r"[\w.-]{1,15}", value))
    )


def _of_kind(value: Any, kinds: tuple[Any, ...]) -> Any:
    """The value as one of these kinds; None where it is none of them."""
    if bool in kinds and isinstance(value, bool):
        return value
    if int in kinds and isinstance(value, numbers.Integral) and not isinstance(value, bool):
        return int(value)
    if float in kinds and isinstance(value, numbers.Real) and not isinstance(value, bool) and math.isfinite(value):
        return float(value)
    if tuple in kinds:
        several = [value] if isinstance(value, str) else value
        if isinstance(several, list | tuple) and all(isinstance(one, str) for one in several):
            return tuple(several)
    if Path in kinds and isinstance(value, str | os.PathLike) and "\0" not in str(value):
        is_text = str in kinds and NoneType in kinds  # what may also be a name, or nothing, is kept as text
        return str(value) if is_text else Path(value)
    return value if str in kinds and isinstance(value, str) and Path not in kinds else None


def _in_words(kinds: tuple[Any, ...]) -> str:
    words = {Path: "a path", tuple: "a text, or a list of some", int: "a whole number", float: "a finite number"}
    words[bool] = "true or false"
    return next((text for kind, text in words.items() if kind in kinds), "text")


def _out_of_bounds(value: Any, bounds: Mapping[str, Any]) -> str | None:
    """What to give instead; None where it is within them."""
    least, above, most = (bounds[name] for name in ("least", "above", "most"))
    if above is not None and not value > above:
        return "Give a positive number" if above == 0 else f"Give more than {above}"
    if least is not None and not value >= least:
        return "Give 0 or a positive number" if least == 0 else f"Give {least} or more"
    if most is not None and not value <= most:
        return f"Give at most {most}"
    return None


def _plain(value: Any) -> Any:
    """The value as YAML knows it."""
    if isinstance(value, Path):
        return str(value)
    return list(value) if isinstance(value, tuple) else value


@cache
def types_of(config: type) -> dict[str, Any]:
    """The types of the fields by their names."""
    return get_type_hints(config)


def kinds_of(config: type, name: str) -> tuple[Any, ...]:
    """The types that a field can be of, one for each of a union; tuple for a tuple of texts."""
    kind = types_of(config)[name]
    kinds = get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)
    return tuple(get_origin(one) if get_origin(one) is tuple else one for one in kinds)


def choices_of(config: type, name: str) -> tuple[str, ...]:
    """The words that a field of a Literal type can be; none for another."""
    return next((get_args(kind) for kind in kinds_of(config, name) if get_origin(kind) is Literal), ())
