"""Settings: one flat value, whose fields are keys of a YAML file, flags of a verb and arguments in Python alike.

A configuration is a frozen dataclass of :func:`setting` fields that derives from :class:`Settings`. What a field's
type allows is checked here; the command line (:mod:`edgeseg.cli.options`) makes its flags and their help of the fields.
"""

from __future__ import annotations

import dataclasses
import math
import numbers
import os
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, Literal, get_args, get_origin, get_type_hints

from edgeseg.errors import InputError


def setting(default: Any, help: str = "", *, panel: str = "", parse: Callable[[Any, str], Any] | None = None) -> Any:
    """One field.

    Args:
        default: its value where nothing is said; ``...`` where it must be given. A dict is copied for each.
        help: what it is, in words that follow the choices of a Literal.
        panel: the heading of the help it stands under.
        parse: makes a value of what was given, of types that this module does not know; takes it and the beginning of
            a message.
    """
    metadata = {"help": help, "panel": panel, "parse": parse}
    if default is ...:
        return dataclasses.field(metadata=metadata)
    if isinstance(default, dict):
        return dataclasses.field(default_factory=lambda: dict(default), metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


@dataclasses.dataclass(frozen=True)
class Settings:
    """The base of configurations: each field is of its type, or InputError says which is not.

    Attributes:
        OLD_NAMES: values of earlier versions, by the name of their field, and what they are called now.
    """

    OLD_NAMES: ClassVar[Mapping[str, Mapping[str, str]]] = {}

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = self._typed(getattr(self, field.name), field)
            object.__setattr__(self, field.name, value)
            if (choices := choices_of(type(self), field.name)) and value not in choices:
                raise InputError(f"{field.name} is {value!r}", f"Use one of {', '.join(choices)}")

    @classmethod
    def read(cls, path: Path) -> dict[str, Any]:
        """The keys of a YAML file, checked to be fields of this and of their types, to be completed by others.

        Raises:
            InputError: not there, not YAML, an unknown key, or a value of the wrong type.
        """
        from edgeseg.files.documents import read_yaml

        raw = read_yaml(path)
        if not isinstance(raw, dict):
            raise InputError(f"{path} is not a mapping of keys to values", "Write one 'key: value' a line")
        fields = {field.name: field for field in dataclasses.fields(cls)}
        values: dict[str, Any] = {}
        for key, value in cls.renewed(raw).items():
            if key not in fields:
                raise InputError(f"{path}: unknown key {key!r}", f"Allowed are {', '.join(sorted(fields))}")
            values[key] = cls._typed(value, fields[key], f"{path}: ")
        return values

    @classmethod
    def renewed(cls, values: Mapping[str, Any]) -> Mapping[str, Any]:
        """What a file of an earlier version says, by the keys of this one."""
        return values

    def save(self, path: Path) -> None:
        """Write as YAML that :meth:`read` takes, complete or not at all.

        Raises:
            SinkError: the file cannot be written.
        """
        import yaml

        from edgeseg.files.whole import write_whole

        values = dataclasses.asdict(self)
        plain = {name: str(value) if isinstance(value, Path) else value for name, value in values.items()}
        write_whole(path, yaml.safe_dump(plain, sort_keys=False))

    @classmethod
    def _typed(cls, value: Any, field: dataclasses.Field[Any], where: str = "") -> Any:
        """The value as its field keeps it.

        Raises:
            InputError: it is of another kind.
        """
        if (parse := field.metadata["parse"]) is not None:
            return parse(value, f"{where}{field.name}")
        kind = types_of(cls)[field.name]  # type: ignore[arg-type]
        choices = choices_of(cls, field.name)
        if isinstance(value, bool) and choices and "on" in choices:
            return "on" if value else "off"
        if kind is bool and isinstance(value, bool):
            return value
        if kind is int and isinstance(value, numbers.Integral) and not isinstance(value, bool):
            return int(value)
        if kind is float and isinstance(value, numbers.Real) and not isinstance(value, bool) and math.isfinite(value):
            return float(value)
        if Path in get_args(kind):
            if value is None and type(None) in get_args(kind):
                return ""
            if isinstance(value, str | os.PathLike) and "\0" not in str(value):
                return str(value) if type(None) in get_args(kind) else Path(value)
        elif (kind is str or choices) and isinstance(value, str):
            return cls.OLD_NAMES.get(field.name, {}).get(value, value)
        is_path = Path in get_args(kind)
        wanted = {int: "a whole number", float: "a finite number", bool: "true or false"}.get(kind, "text")
        raise InputError(f"{where}{field.name} is {value!r}", f"Give {'a path' if is_path else wanted}")


@cache
def types_of(config: type) -> dict[str, Any]:
    """The types of the fields by their names."""
    return get_type_hints(config)


def choices_of(config: type, name: str) -> tuple[str, ...]:
    """The words that a field of a Literal type can be; none for another."""
    kind = types_of(config)[name]
    return get_args(kind) if get_origin(kind) is Literal else ()
