"""Networks by name.

Each file registers its own by the decorator :func:`register_network`, with its variants, and is imported when one of
their names is asked for.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from edgeseg.errors import InputError, ModelError
from edgeseg.plugins import Plugins

if TYPE_CHECKING:
    from edgeseg.models.network import Network

Made = TypeVar("Made", bound="Callable[..., Network]")

FAMILIES = Plugins[ModuleType](
    "edgeseg.networks",
    {
        "fast_scnn": "edgeseg.models.fast_scnn",
        "enet": "edgeseg.models.enet",
        "edgenet": "edgeseg.models.edgenet",
        "erfnet": "edgeseg.models.erfnet",
        "espnetv2": "edgeseg.models.espnetv2",
        "contextnet": "edgeseg.models.contextnet",
        "cgnet": "edgeseg.models.cgnet",
        "dabnet": "edgeseg.models.dabnet",
        "lednet": "edgeseg.models.lednet",
        "fcn": "edgeseg.models.fcn",
        "segnet": "edgeseg.models.segnet",
        "deconvnet": "edgeseg.models.deconvnet",
        "unet": "edgeseg.models.unet",
        "deeplab_v1": "edgeseg.models.deeplab_v1",
        "deeplab_v2": "edgeseg.models.deeplab_v2",
        "hed": "edgeseg.models.hed",
        "deeplab_v3": "edgeseg.models.deeplab_v3",
        "deeplab_v3_plus": "edgeseg.models.deeplab_v3_plus",
        "pspnet": "edgeseg.models.pspnet",
        "gcn": "edgeseg.models.gcn",
        "encnet": "edgeseg.models.encnet",
        "lraspp": "edgeseg.models.lraspp",
        "hrnet": "edgeseg.models.hrnet",
        "segformer": "edgeseg.models.segformer",
        "image_pyramid": "edgeseg.models.image_pyramid",
        "bisenet_v2": "edgeseg.models.bisenet_v2",
        "stdc1": "edgeseg.models.stdc",
        "ddrnet": "edgeseg.models.ddrnet",
        "pidnet": "edgeseg.models.pidnet",
        "regseg": "edgeseg.models.regseg",
        "pp_liteseg": "edgeseg.models.pp_liteseg",
        "letnet": "edgeseg.models.letnet",
    },
)
"""The files. What one registers is called as it is here, or begins with that and an underscore."""


class Publication(NamedTuple):
    """Where a network was published.

    Attributes:
        paper: ``arXiv:1902.04502``, say, or ``doi:…``; "" where there is none.
        year: as it is cited; None where there is none.
    """

    paper: str = ""
    year: int | None = None


@dataclass(frozen=True)
class _Entry:
    make: Callable[..., Network]
    args: Mapping[str, Any]
    published: Publication


_registered: dict[str, _Entry] = {}


def register_network(name: str, *, paper: str = "", year: int | None = None, **args: Any) -> Callable[[Made], Made]:
    """Give a network a name, by which commands, configurations and artifacts know it.

    @register_network("edge_net", paper="arXiv:1902.04502", year=2019)
    @register_network("edge_net_small", width=0.5)
    class EdgeNet(Network):
        def __init__(self, num_classes: int, *, width: float = 1.0) -> None: ...

    Args:
        name: begins with the name that its file has in :data:`FAMILIES`.
        paper, year: see :class:`Publication`; variants of one network need not repeat them.
        args: what this variant is made with, where it is not told otherwise.

    Returns:
        A decorator of what takes the number of classes, and arguments by name, and makes the network. What has
        ``**network_args`` is around another network, and passes them on to :func:`build`, which tells unknown ones.
    """

    def register(make: Made) -> Made:
        if name in _registered:
            raise ValueError(f"two networks are called {name!r}")
        _registered[name] = _Entry(make, args, Publication(paper, year))
        return make

    return register


def network_names() -> list[str]:
    """Every network, in the order of :data:`FAMILIES`; imports them all, and PyTorch with them."""
    for family in FAMILIES:
        FAMILIES[family]
    ours = [name for family in FAMILIES for name in _registered if _is_of(name, family)]
    return list(dict.fromkeys([*ours, *_registered]))  # others were registered by hand


def build(name: str, num_classes: int, args: Mapping[str, Any] | None = None) -> Network:
    """The network of that name with fresh weights.

    Args:
        name: one of :func:`network_names`.
        num_classes: 1 to 255.
        args: arguments of the network's own, such as its width.

    Raises:
        ModelError: no network has that name.
        InputError: another number of classes, or an argument that the network does not take.
    """
    from edgeseg.spec.palette import MAX_CLASSES

    entry = _load(name)
    if not 1 <= num_classes <= MAX_CLASSES:
        raise InputError(f"a network of {num_classes} classes", f"Use 1 to {MAX_CLASSES}")
    given = {**entry.args, **(args or {})}
    takes = list(arguments_of(name))
    unknown = sorted(set(given) - set(takes))
    if unknown and not any(parameter.kind is parameter.VAR_KEYWORD for parameter in _parameters(entry)):
        remedy = f"Use {', '.join(takes)}" if takes else "Leave them out"
        raise InputError(f"{name} takes no argument {', '.join(unknown)}", remedy)
    try:
        return entry.make(num_classes, **given)
    except (TypeError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{name} cannot be made with {dict(given)} ({error})", "Correct its arguments") from error


def arguments_of(name: str) -> dict[str, Any]:
    """The arguments that a network takes beside the number of classes, and what they are where nothing is said.

    One around another network takes that one's as well, which are not among these.

    Raises:
        ModelError: no network has that name.
    """
    entry = _load(name)
    named = (parameter for parameter in _parameters(entry) if parameter.kind is not parameter.VAR_KEYWORD)
    return {parameter.name: entry.args.get(parameter.name, parameter.default) for parameter in named}


def published(name: str) -> Publication:
    """Where a network was published, or the one that it is a variant of.

    Raises:
        ModelError: no network has that name.
    """
    entry = _load(name)
    known = (other.published for other in (entry, *_registered.values()) if other.make is entry.make)
    return next((one for one in known if one != Publication()), Publication())


def _parameters(entry: _Entry) -> list[inspect.Parameter]:
    """What is given to it beside the number of classes."""
    return list(inspect.signature(entry.make).parameters.values())[1:]


def _load(name: str) -> _Entry:
    for family in FAMILIES:
        if _is_of(name, family):
            FAMILIES[family]
    if name not in _registered:
        raise ModelError(f"there is no network {name!r}", f"Use one of {', '.join(network_names())}")
    return _registered[name]


def _is_of(name: str, family: str) -> bool:
    return name == family or name.startswith(f"{family}_")
