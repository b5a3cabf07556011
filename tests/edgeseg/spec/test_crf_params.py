from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from edgeseg.errors import InputError
from edgeseg.spec.crf_params import BilateralTerm, CrfParams, SpatialTerm

FULL = CrfParams(
    bilateral_sigma_xy_px=(40, 30),
    bilateral_sigma_rgb=(5, 6, 7),
    bilateral_weight=4,
    spatial_sigma_px=2,
    spatial_weight=1,
    iterations=3,
    compatibility=((0, 1.5), (0.5, 0)),
    more_terms=(BilateralTerm(10, 20, 1), SpatialTerm((8, 9), -0.5)),
)


def test_the_defaults_are_those_of_the_papers_demonstration():
    params = CrfParams()
    assert [term.row() for term in params.bilateral_terms] == [(80, 80, 13, 13, 13, 10)]
    assert [term.row() for term in params.spatial_terms] == [(3, 3, 3)]
    assert (params.iterations, params.compatibility) == (5, None)


def test_terms_of_one_kind_are_gathered_and_one_number_serves_all_axes():
    assert [term.row() for term in FULL.bilateral_terms] == [(40, 30, 5, 6, 7, 4), (10, 10, 20, 20, 20, 1)]
    assert [term.row() for term in FULL.spatial_terms] == [(2, 2, 1), (8, 9, -0.5)]


def test_a_term_of_no_weight_is_left_out():
    params = CrfParams(bilateral_weight=0, spatial_weight=0.0, more_terms=[SpatialTerm(3, 0), SpatialTerm(4, 1)])
    assert params.bilateral_terms == ()
    assert [term.row() for term in params.spatial_terms] == [(4, 4, 1)]


@pytest.mark.parametrize("params", [CrfParams(), FULL])
def test_parameters_survive_json(params):
    assert CrfParams.from_dict(json.loads(json.dumps(params.to_dict()))) == params


def test_what_is_equal_is_equal_however_it_was_written():
    numpy = CrfParams(
        bilateral_sigma_xy_px=np.array([40, 30]),
        bilateral_sigma_rgb=[5, 6, 7],
        bilateral_weight=np.float32(4),
        spatial_sigma_px=np.int64(2),
        spatial_weight=1,
        iterations=3,
        compatibility=np.array([[0, 1.5], [0.5, 0]]),
        more_terms=list(FULL.more_terms),
    )
    assert numpy == FULL
    assert hash(numpy) == hash(FULL)
    json.dumps(numpy.to_dict())


def test_what_is_left_out_of_a_dict_keeps_its_default():
    assert CrfParams.from_dict({"iterations": 2}) == CrfParams(iterations=2)


def test_parameters_do_not_change():
    with pytest.raises(dataclasses.FrozenInstanceError):
        CrfParams().iterations = 3


NAN, INFINITY = float("nan"), float("inf")


@pytest.mark.parametrize(
    "value",
    [0, -1, NAN, INFINITY, 1e300, (3,), (3, 0), (3, NAN), (3, 3, 3, 3), "wide", "33", "333", True, (True,) * 3, None],
)
@pytest.mark.parametrize("name", ["bilateral_sigma_xy_px", "bilateral_sigma_rgb", "spatial_sigma_px"])
def test_sigmas_that_are_not_above_zero_are_refused(name, value):
    with pytest.raises(InputError, match=rf"{name} is .*\. Give (a|one) number"):
        CrfParams(**{name: value})


@pytest.mark.parametrize("value", [NAN, INFINITY, -INFINITY, 1e300, "3", None, True, (3, 3)])
@pytest.mark.parametrize("name", ["bilateral_weight", "spatial_weight"])
def test_weights_that_are_not_finite_numbers_are_refused(name, value):
    with pytest.raises(InputError, match=rf"{name} is .*\. Give a finite number"):
        CrfParams(**{name: value})


@pytest.mark.parametrize("value", [-1, 2.5, "5", None, True, 10**400])
def test_iterations_that_are_no_count_are_refused(value):
    with pytest.raises(InputError, match=r"iterations is .*\. Give a whole number"):
        CrfParams(iterations=value)


@pytest.mark.parametrize(
    "value",
    [
        3,
        (),
        ((0, 1),),
        ((0, 1), (1, 0, 1)),
        ((0, NAN), (1, 0)),
        ((0, INFINITY), (1, 0)),
        (("a", "b"), "cd"),
        ("01", "10"),
        ((0, 1e300), (1, 0)),
        ((0, True), (1, 0)),
    ],
)
def test_a_compatibility_that_is_no_square_of_numbers_is_refused(value):
    with pytest.raises(InputError, match=r"compatibility .*\. Give \(C, C\) costs"):
        CrfParams(compatibility=value)


@pytest.mark.parametrize(
    "make",
    [
        lambda: BilateralTerm(0, 13, 1),
        lambda: BilateralTerm(80, (13, 13), 1),
        lambda: BilateralTerm(80, 13, NAN),
        lambda: SpatialTerm(-3, 1),
        lambda: SpatialTerm(3, INFINITY),
        lambda: CrfParams(more_terms=("bilateral",)),
        lambda: CrfParams(more_terms=({"sigma_px": 3, "weight": 1},)),
    ],
)
def test_terms_that_cannot_be_are_refused(make):
    with pytest.raises(InputError, match="Give"):
        make()


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ({"sigma": 3}, r"no parameters \['sigma'\]\. Allowed are .*bilateral_sigma_rgb"),
        ({"iterations": -1}, "iterations"),
        ({"more_terms": [{"sigma_px": 3}]}, "malformed"),
        ({"more_terms": [{"sigma_px": 3, "weight": 1, "colour": 2}]}, "malformed"),
        ({"more_terms": 3}, "malformed"),
        ({"more_terms": [3]}, "malformed"),
        ({"more_terms": "ab"}, "malformed"),
        ({"more_terms": {"sigma_px": 3}}, "malformed"),
        ({"more_terms": [{"sigma_px": 3, "weight": 1}] * 15}, "malformed"),
        ({"x" * 10_000: 3}, "no parameters"),
        (3, "the CRF's parameters are 3"),
        (None, "the CRF's parameters are None"),
        ([["iterations", 3]], "the CRF's parameters are"),
    ],
)
def test_dicts_that_cannot_be_parameters_are_refused(raw, message):
    with pytest.raises(InputError, match=message) as caught:
        CrfParams.from_dict(raw)
    assert len(str(caught.value)) < 400
