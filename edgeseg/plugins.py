"""What is found by name and loaded when it is first used: the modules of a package, and what plugs into edgeseg.

Networks, engines, refiners, formats of labels and of data sets, losses, sources and sinks plug in: each is a file that
a name leads to. Another package brings its own by an entry point, and nothing of edgeseg is touched:

    [project.entry-points."edgeseg.networks"]
    my_network = "my_package.my_network"
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import reduce
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, TypeVar

from edgeseg.errors import MissingDependencyError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

Plugin_co = TypeVar("Plugin_co", covariant=True)


def modules_of(package: str) -> Callable[[str], Any]:
    """The ``__getattr__`` of a package; it raises AttributeError for what is no public module of the package."""

    def load(name: str) -> Any:
        if name.isidentifier() and not name.startswith("_") and find_spec(f"{package}.{name}"):
            return import_module(f"{package}.{name}")
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    return load


def load(target: str) -> Any:
    """What ``package.module:attribute`` names, or ``package.module``."""
    module, colon, attributes = target.partition(":")
    return reduce(getattr, attributes.split(".") if colon else [], import_module(module))


class Plugins(Mapping[str, Plugin_co]):
    """One kind of thing that plugs in: names, edgeseg's own first, and what each stands for, imported when asked for.

    Args:
        group: the entry points by which other packages bring theirs, such as ``edgeseg.networks``. A name of edgeseg's
            own cannot be taken.
        own: what edgeseg has, each as :func:`load` takes it.

    Attributes:
        group: as given.
        own_names: edgeseg's own names, in their order.
    """

    def __init__(self, group: str, own: Mapping[str, str]) -> None:
        self.group = group
        self._own = dict(own)
        self.own_names = tuple(own)
        self._others: dict[str, EntryPoint] | None = None

    def __getitem__(self, name: str) -> Plugin_co:
        if name in self._own:
            plugin: Plugin_co = load(self._own[name])
            return plugin
        point = self._brought()[name]
        try:
            plugin = point.load()
        except (ImportError, AttributeError) as error:
            package = point.dist.name if point.dist else point.value
            what = f"{name}, which {package} brings, cannot be loaded ({error})"
            raise MissingDependencyError(what, f"Mend or remove {package}") from error
        return plugin

    def __iter__(self) -> Iterator[str]:
        yield from self._own
        yield from (name for name in self._brought() if name not in self._own)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __contains__(self, name: object) -> bool:
        return name in self._own or name in self._brought()

    def _brought(self) -> dict[str, EntryPoint]:
        if self._others is None:
            from importlib.metadata import entry_points

            self._others = {point.name: point for point in entry_points(group=self.group)}
        return self._others
