"""What a dataset.yaml says, read key by key; a value of the wrong kind is told with the file and the key."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from datetime import date
from pathlib import Path
from typing import Any

from edgeseg.errors import DatasetError
from edgeseg.files.documents import is_printable, read_yaml
from edgeseg.spec.palette import MAX_CLASSES, Rgb


class Description:
    """The keys of a dataset.yaml; none at all of a folder without one, whose format then says the rest.

    Attributes:
        path: the file, or the folder without one: what messages name.
        folder: what paths are relative to.
        values: what the file holds, by key.
    """

    def __init__(self, path: Path, folder: Path, values: dict[str, Any]) -> None:
        self.path = path
        self.folder = folder
        self.values = values

    @classmethod
    def read(cls, path: Path) -> Description:
        """What a file says.

        Raises:
            DatasetError: it cannot be read, or is no mapping.
        """
        description = cls(path, path.parent, {})
        description.values = description.mapping(read_yaml(path, DatasetError), "")
        return description

    @classmethod
    def without_file(cls, folder: Path) -> Description:
        """What is said of a folder without a dataset.yaml: nothing."""
        return cls(folder, folder, {})

    def __contains__(self, key: str) -> bool:
        return key in self.values

    def error(self, what: str, remedy: str) -> DatasetError:
        """The error that names the file."""
        return DatasetError(f"{self.path}: {what}", remedy)

    def check_keys(self, allowed: Iterable[str], required: Iterable[str] = ()) -> None:
        """Raise DatasetError for a key that is unknown or missing."""
        self.mapping(self.values, "", set(required), set(allowed))

    def mapping(
        self,
        value: Any,
        key: str,
        required: AbstractSet[str] | None = None,
        optional: AbstractSet[str] | None = None,
    ) -> dict[str, Any]:
        """A mapping, with no other keys than these where they are given."""
        where = key or "the file"
        if not isinstance(value, dict):
            raise self.error(f"{where} is not a mapping", "Write it as lines of 'key: value'")
        if required is None:
            return value
        allowed = required | (optional or set())
        if unknown := [str(k) for k in value if k not in allowed]:
            raise self.error(f"unknown key {unknown[0]!r:.80} in {where}", f"Allowed are {', '.join(sorted(allowed))}")
        if missing := sorted(required - set(value)):
            raise self.error(f"{where} lacks {missing[0]!r}", "Add it")
        return value

    def sequence(self, value: Any, key: str) -> list[Any]:
        """A list."""
        if not isinstance(value, list):
            raise self.error(f"{key} is not a list", "Write it as [a, b, c]")
        return value

    def whole_number(self, key: str, low: int, high: int) -> int | None:
        """The whole number that a key holds; None where it is left out."""
        value = self.values.get(key)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high):
            raise self.error(f"{key} is {value!r:.80}", f"Use a whole number {low}..{high}")
        return value

    def one_of(self, key: str, choices: Sequence[Any], default: Any) -> Any:
        """The value of a key that has only these."""
        value = self.values.get(key, default)
        if isinstance(value, bool) or not any(value == choice and type(value) is type(choice) for choice in choices):
            *others, last = map(str, choices)
            listed = f"{', '.join(others)} or {last}" if others else last
            raise self.error(f"{key} is {value!r:.80}", f"Use {listed}")
        return value

    def colors(self, count: int) -> tuple[Rgb, ...] | None:
        """One colour for each class; None where they are left out."""
        if "colors" not in self:
            return None
        rows = self.sequence(self.values["colors"], "colors")
        if len(rows) != count:
            raise self.error(f"{count} names but {len(rows)} colors", "Give one colour per class")
        return self.rgb(rows)

    def rgb(self, rows: Sequence[Any]) -> tuple[Rgb, ...]:
        """Colours."""
        for row in rows:
            if (
                not isinstance(row, list)
                or len(row) != 3
                or not all(isinstance(v, int) and not isinstance(v, bool) and 0 <= v <= 255 for v in row)
            ):
                raise self.error(f"colour {row!r:.80}", "Write it as [R, G, B] with values 0..255")
        return tuple((r, g, b) for r, g, b in rows)

    def name(self, value: Any, key: str) -> str:
        """A word or whole number as the name of a class or split; ``1`` becomes ``"1"``."""
        if isinstance(value, bool) or not isinstance(value, str | int):
            kind = "a date" if isinstance(value, date) else f"{value!r:.80}"
            raise self.error(f"{key} holds {kind} where a name must be", 'Write it in quotes: "name"')
        if not is_printable(str(value)):
            raise self.error(f"{key} holds {ascii(value)[:80]}", "Use names of 1 to 200 printable letters")
        return str(value)

    def names(self) -> tuple[str, ...] | None:
        """The classes; None where they are left out."""
        if "names" not in self:
            return None
        return self.checked_names([self.name(name, "names") for name in self.sequence(self.values["names"], "names")])

    def checked_names(self, names: Sequence[str], where: str = "names") -> tuple[str, ...]:
        """Names of classes, where they are as many as can be, and all different and printable.

        Args:
            names: of the classes.
            where: what holds them, for messages.
        """
        twice = next((f", {name!r} more than once" for name in names if names.count(name) > 1), "")
        if not 1 <= len(names) <= MAX_CLASSES or twice:
            raise self.error(f"{where} has {len(names)} entries{twice}", f"Give 1 to {MAX_CLASSES} different names")
        return tuple(self.name(name, where) for name in names)

    def splits(self, required: AbstractSet[str], optional: AbstractSet[str] = frozenset()) -> dict[str, dict[str, Any]]:
        """What is said of each split, by its name; nothing where ``splits`` is left out."""
        if "splits" not in self:
            return {}
        found = {
            self.name(name, "splits"): self.mapping(value, f"splits.{name}", required, optional)
            for name, value in self.mapping(self.values["splits"], "splits").items()
        }
        if not found:
            raise self.error("splits is empty", "Name at least one split")
        return found

    def patterns(self, value: Any, key: str) -> tuple[str, ...]:
        """Patterns of file names, one or a list of them."""
        patterns = [value] if isinstance(value, str) else self.sequence(value, key)
        wrong = [pattern for pattern in patterns if not isinstance(pattern, str) or not is_printable(pattern)]
        if wrong:
            raise self.error(f"{key} holds {wrong[0]!a:.80}", 'Write patterns in quotes: ["a_*"]')
        return tuple(patterns)

    def place(self, value: Any, key: str) -> Path:
        """The path of a file or folder, relative to that of the dataset.yaml."""
        is_name = isinstance(value, str | int) and not isinstance(value, bool)
        if not is_name or not is_printable(str(value), longest=4096):
            raise self.error(f"{key} is {value!a:.80}", "Write the folder's path, in quotes if it is no word")
        return self.folder / str(value)
