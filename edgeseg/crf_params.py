"""CrfParams: the parameters of the dense CRF, small enough to travel inside a ModelSpec."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from numbers import Real
from typing import Any

from edgeseg.errors import InputError

MOST_ITERATIONS = 1000
"""Mean field settles within ten or twenty."""


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
        InputError: a sigma that is not above 0, or a value that is not a finite number.
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
        if not isinstance(self.iterations, int) or not 0 <= self.iterations <= MOST_ITERATIONS:
            raise InputError(f"iterations is {self.iterations!r}", f"Give a whole number of 0 to {MOST_ITERATIONS}")
        if self.compatibility is not None:
            object.__setattr__(self, "compatibility", _square(self.compatibility))
        object.__setattr__(self, "more_terms", tuple(self.more_terms))
        for term in self.more_terms:
            if not isinstance(term, (BilateralTerm, SpatialTerm)):
                raise InputError(f"more_terms holds {term!r}", "Give BilateralTerm and SpatialTerm objects")

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
            InputError: an unknown key or a value out of range.
        """
        known = {field.name for field in fields(cls)}
        if unknown := sorted(set(raw) - known):
            raise InputError(f"the CRF has no parameters {unknown}", f"Allowed are {', '.join(sorted(known))}")
        values = dict(raw)
        try:
            values["more_terms"] = tuple(_term(term) for term in raw.get("more_terms", ()))
            return cls(**values)
        except TypeError as error:
            raise InputError(f"the CRF's parameters are malformed ({error})") from None


def spread(value: float | tuple[float, ...], count: int) -> tuple[float, ...]:
    """One number for each of ``count`` axes."""
    return value if isinstance(value, tuple) else (value,) * count


def _term(raw: Mapping[str, Any]) -> BilateralTerm | SpatialTerm:
    return BilateralTerm(**raw) if "sigma_rgb" in raw else SpatialTerm(**raw)


def _normalise(owner: object, name: str, count: int) -> None:
    """Sequences become tuples of floats, numbers floats; all must be finite and above 0."""
    value = getattr(owner, name)
    try:
        value = float(value) if not isinstance(value, Iterable) else tuple(float(part) for part in value)
    except (TypeError, ValueError):
        raise InputError(f"{name} is {value!r}", "Give a number") from None
    parts = spread(value, count)
    if len(parts) != count or not all(math.isfinite(part) and part > 0 for part in parts):
        raise InputError(f"{name} is {value!r}", f"Give one number above 0, or {count} of them")
    object.__setattr__(owner, name, value)


def _normalise_weight(owner: object, name: str) -> None:
    """Any real number, NumPy's too, becomes a float; it must be finite."""
    value = getattr(owner, name)
    if isinstance(value, bool) or not isinstance(value, Real) or not math.isfinite(value):
        raise InputError(f"{name} is {value!r}", "Give a finite number")
    object.__setattr__(owner, name, float(value))


def _square(matrix: Iterable[Iterable[float]]) -> tuple[tuple[float, ...], ...]:
    try:
        rows = tuple(tuple(float(cost) for cost in row) for row in matrix)
    except (TypeError, ValueError):
        raise InputError("compatibility is not a matrix of numbers", "Give (C, C) costs, or None for Potts") from None
    if not rows or any(len(row) != len(rows) for row in rows):
        raise InputError(
            f"compatibility has rows of {sorted({len(row) for row in rows})} numbers, {len(rows)} of them",
            "Give (C, C) costs, or None for Potts",
        )
    if not all(math.isfinite(cost) for row in rows for cost in row):
        raise InputError("compatibility holds a value that is not finite", "Give (C, C) costs, or None for Potts")
    return rows
