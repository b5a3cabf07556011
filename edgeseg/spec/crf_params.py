"""CrfParams: the parameters of the dense CRF, small enough to travel inside a ModelSpec."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from numbers import Integral, Real
from typing import Any

from edgeseg.errors import InputError
from edgeseg.spec.palette import MAX_CLASSES

MOST_ITERATIONS = 1000
"""Mean field settles within ten or twenty."""

MOST_TERMS = 14
"""Beside the first two: up to eight of each kind."""

_LARGEST_SIGMA = 1e30
"""Fits 32 bits; wider than any picture long before."""

_LARGEST = 1e9
"""Of a weight or cost: their products stay within 32-bit floats."""


@dataclass(frozen=True)
class BilateralTerm:
    """A Gaussian over position and colour: labels agree where pixels are near and alike.

    Attributes:
        sigma_xy_px: standard deviation in pixels; one number, or (x, y).
        sigma_rgb: in levels of 0..255; one number, or (red, green, blue).
        weight: of the term.
    """

    sigma_xy_px: float | tuple[float, float]
    sigma_rgb: float | tuple[float, float, float]
    weight: float

    def __post_init__(self) -> None:
        _normalise(self, "sigma_xy_px", 2)
        _normalise(self, "sigma_rgb", 3)
        _normalise_weight(self, "weight")

    def row(self) -> tuple[float, ...]:
        """Sigma x, y, red, green, blue, weight."""
        return (*spread(self.sigma_xy_px, 2), *spread(self.sigma_rgb, 3), float(self.weight))


@dataclass(frozen=True)
class SpatialTerm:
    """A Gaussian over position alone: labels agree where pixels are near.

    Attributes:
        sigma_px: standard deviation in pixels; one number, or (x, y).
        weight: of the term.
    """

    sigma_px: float | tuple[float, float]
    weight: float

    def __post_init__(self) -> None:
        _normalise(self, "sigma_px", 2)
        _normalise_weight(self, "weight")

    def row(self) -> tuple[float, ...]:
        """Sigma x, y, weight."""
        return (*spread(self.sigma_px, 2), float(self.weight))


@dataclass(frozen=True)
class CrfParams:
    """One bilateral and one spatial term, as in the paper, and more where asked for.

    The defaults are those of Krähenbühl & Koltun's own demonstration. They suit a coarse network; a good one they
    smooth too much: fit them with ``edgeseg tune-crf``.

    Attributes:
        bilateral_sigma_xy_px: sigma of the bilateral term in pixels; one number, or (x, y).
        bilateral_sigma_rgb: its sigma in levels of 0..255; one number, or (red, green, blue).
        bilateral_weight: its weight; 0 leaves the term out.
        spatial_sigma_px: sigma of the spatial term in pixels; one number, or (x, y).
        spatial_weight: its weight; 0 leaves the term out.
        iterations: of mean-field inference, 0 to 1000.
        compatibility: (C, C) cost of label i beside label j, any nested sequence or array; None for Potts, 1 between
            different labels and 0 between equal ones.
        more_terms: further terms, up to seven of either kind.

    Raises:
        InputError: a sigma that is not above 0, or a value that is not a finite number or too large for 32 bits.
    """

    bilateral_sigma_xy_px: float | tuple[float, float] = 80.0
    bilateral_sigma_rgb: float | tuple[float, float, float] = 13.0
    bilateral_weight: float = 10.0
    spatial_sigma_px: float | tuple[float, float] = 3.0
    spatial_weight: float = 3.0
    iterations: int = 5
    compatibility: tuple[tuple[float, ...], ...] | None = None
    more_terms: tuple[BilateralTerm | SpatialTerm, ...] = ()

    def __post_init__(self) -> None:
        _normalise(self, "bilateral_sigma_xy_px", 2)
        _normalise(self, "bilateral_sigma_rgb", 3)
        _normalise(self, "spatial_sigma_px", 2)
        _normalise_weight(self, "bilateral_weight")
        _normalise_weight(self, "spatial_weight")
        count = self.iterations
        if isinstance(count, bool) or not isinstance(count, Integral) or not 0 <= count <= MOST_ITERATIONS:
            raise InputError(f"iterations is {_shown(count)}", f"Give a whole number of 0 to {MOST_ITERATIONS}")
        object.__setattr__(self, "iterations", int(count))
        if self.compatibility is not None:
            object.__setattr__(self, "compatibility", _square(self.compatibility))
        if not isinstance(self.more_terms, list | tuple) or len(self.more_terms) > MOST_TERMS:
            what = f"more_terms is malformed: {_shown(self.more_terms)}"
            raise InputError(what, f"Give a list of up to {MOST_TERMS} terms")
        object.__setattr__(self, "more_terms", tuple(self.more_terms))
        for term in self.more_terms:
            if not isinstance(term, (BilateralTerm, SpatialTerm)):
                raise InputError(f"more_terms holds {_shown(term)}", "Give BilateralTerm and SpatialTerm objects")

    def check_classes(self, classes: int) -> None:
        """Raise InputError unless there are 2 to 255 classes, and as many as the compatibility is for."""
        if not 2 <= classes <= MAX_CLASSES:
            raise InputError(f"the dense CRF has {classes} classes", f"Use 2 to {MAX_CLASSES}")
        costs = self.compatibility
        if costs is not None and len(costs) != classes:
            raise InputError(f"compatibility is for {len(costs)} classes, not {classes}", "Give (C, C) costs")

    @property
    def bilateral_terms(self) -> tuple[BilateralTerm, ...]:
        """Those with a weight."""
        own = BilateralTerm(self.bilateral_sigma_xy_px, self.bilateral_sigma_rgb, self.bilateral_weight)
        return tuple(t for t in (own, *self.more_terms) if isinstance(t, BilateralTerm) and t.weight)

    @property
    def spatial_terms(self) -> tuple[SpatialTerm, ...]:
        """Those with a weight."""
        own = SpatialTerm(self.spatial_sigma_px, self.spatial_weight)
        return tuple(t for t in (own, *self.more_terms) if isinstance(t, SpatialTerm) and t.weight)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; :meth:`from_dict` takes them back."""
        return asdict(self)

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> CrfParams:
        """From what :meth:`to_dict` gave, or JSON made of it.

        Raises:
            InputError: no mapping, an unknown key, or a value of another type or out of range.
        """
        if not isinstance(raw, Mapping):
            raise InputError(f"the CRF's parameters are {_shown(raw)}", "Give them by their names")
        known = {field.name for field in fields(cls)}
        if unknown := sorted(set(map(str, raw)) - known):
            raise InputError(f"the CRF has no parameters {_shown(unknown)}", f"Allowed are {', '.join(sorted(known))}")
        terms = raw.get("more_terms", ())
        if isinstance(terms, list | tuple):
            terms = tuple(_term(term) for term in terms)
        return cls(**{**raw, "more_terms": terms})


def spread(value: float | tuple[float, ...], count: int) -> tuple[float, ...]:
    """One number for each of ``count`` axes."""
    return value if isinstance(value, tuple) else (value,) * count


def _term(raw: Any) -> BilateralTerm | SpatialTerm:
    try:
        return BilateralTerm(**raw) if "sigma_rgb" in raw else SpatialTerm(**raw)
    except TypeError:
        what = f"more_terms is malformed: {_shown(raw)}"
        raise InputError(what, "Give sigma_xy_px, sigma_rgb and weight, or sigma_px and weight") from None


def _normalise(owner: object, name: str, count: int) -> None:
    """Sequences become tuples of floats, numbers floats; all must be finite and above 0."""
    value = getattr(owner, name)
    parts = tuple(value) if isinstance(value, Iterable) and not isinstance(value, str | bytes) else (value,)
    one = not isinstance(value, Iterable)
    if len(parts) != (1 if one else count) or not all(_is_number(part, _LARGEST_SIGMA) and part > 0 for part in parts):
        what = f"{name} is {_shown(value)}"
        raise InputError(what, f"Give one number above 0, or {count} of them, up to {_LARGEST_SIGMA:g}")
    plain = tuple(float(part) for part in parts)
    object.__setattr__(owner, name, plain[0] if one else plain)


def _normalise_weight(owner: object, name: str) -> None:
    """Any real number, NumPy's too, becomes a float; it must be finite."""
    value = getattr(owner, name)
    if not _is_number(value):
        raise InputError(f"{name} is {_shown(value)}", f"Give a finite number, up to {_LARGEST:g}")
    object.__setattr__(owner, name, float(value))


def _is_number(value: Any, largest: float = _LARGEST) -> bool:
    """A real number, NumPy's too, that 32 bits and the sums made of it hold; NaN is none."""
    number: Any = value
    return isinstance(value, Real) and not isinstance(value, bool) and -largest <= number <= largest


def _square(matrix: Any) -> tuple[tuple[float, ...], ...]:
    remedy = "Give (C, C) costs, or None for Potts"
    try:
        rows = tuple(tuple(row) for row in matrix)
    except TypeError:
        raise InputError("compatibility is not a matrix of numbers", remedy) from None
    if not rows or any(len(row) != len(rows) for row in rows):
        lengths = _shown(sorted({len(row) for row in rows}))
        raise InputError(f"compatibility has rows of {lengths} numbers, {len(rows)} of them", remedy)
    if not all(_is_number(cost) for row in rows for cost in row):
        raise InputError(f"compatibility holds a value that is no finite number, up to {_LARGEST:g}", remedy)
    return tuple(tuple(float(cost) for cost in row) for row in rows)


def _shown(value: Any) -> str:
    """A value in a message, not too long."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
