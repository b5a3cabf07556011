"""What a network takes on this machine; that it is measured at all is tested with ``edgeseg models --measure``."""

from __future__ import annotations

import sys

import pytest

from edgeseg.errors import InputError, MissingDependencyError, ModelError
from edgeseg_export.timing import time_network


def test_refusals():
    with pytest.raises(InputError, match="0 runs"):
        time_network("fast_scnn", 3, (32, 64), runs=0)
    with pytest.raises(ModelError, match="no network 'nonesuch'"):
        time_network("nonesuch", 3, (32, 64))
    with pytest.raises(InputError, match="cannot take images of 68x36"):
        time_network("erfnet", 3, (36, 68))


def test_a_package_that_is_not_installed_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(MissingDependencyError, match="the package onnx is not installed"):
        time_network("fast_scnn", 3, (32, 64))


def test_why_a_network_is_not_in_int8_is_said(monkeypatch):
    from edgeseg.quantize import ptq

    def refuses(*args, **kwargs):
        raise ModelError("its quantizer knows no such operator", "Leave it in float")

    monkeypatch.setattr(ptq, "calibrate_model", refuses)
    times = time_network("fast_scnn", 3, (32, 64), {"width": 0.25}, threads=1, runs=1)
    assert times.fp32_ms > 0
    assert times.int8_ms is None
    assert times.not_int8 == "its quantizer knows no such operator"
