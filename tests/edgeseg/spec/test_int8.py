"""The levels of INT8."""

from __future__ import annotations

import pytest

from edgeseg.spec.int8 import INT8_LEVELS, INT8_TARGETS


@pytest.mark.parametrize("target", INT8_TARGETS)
@pytest.mark.parametrize(("low", "high"), [(-1.0, 3.0), (0.0, 6.0), (-2.5, 2.5)])
def test_the_ends_of_a_range_are_the_ends_of_the_levels_and_zero_is_a_level(target, low, high):
    levels = INT8_LEVELS[target]
    if levels.is_symmetric:
        low = -high
    scale, zero_point = levels.steps(low, high)
    assert scale * (levels.lowest - zero_point) == pytest.approx(low, abs=scale / 2)
    assert scale * (levels.highest - zero_point) == pytest.approx(high, abs=scale / 2)
    assert levels.lowest <= zero_point <= levels.highest
    assert zero_point == 0 or not levels.is_symmetric


@pytest.mark.parametrize(("target", "greys"), [("cpu", (0, 115, 255)), ("tensorrt", (128, 128, 128))])
def test_the_grey_taken_from_pixels(target, greys):
    assert tuple(INT8_LEVELS[target].grey(mean) for mean in (-3.0, 114.6, 300.0)) == greys
