"""What a network takes on this machine; that it is measured at all is tested with ``edgeseg models --measure``."""

from __future__ import annotations

import sys

import pytest
from torch import nn

from edgeseg.errors import InputError, MissingDependencyError, ModelError
from edgeseg.models import registry
from edgeseg.models.network import Features, Network
from edgeseg.quantize import ptq
from edgeseg_export.timing import medians_ms, time_network


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
    monkeypatch.setattr(registry, "_registered", dict(registry._registered))

    @registry.register_network("timed_net")
    class TimedNet(Network):
        stride = 1
        tap_channels = ()

        def __init__(self, num_classes):
            super().__init__()
            self.classify = nn.Conv2d(3, num_classes, 1)

        def features(self, images):
            return Features(self.classify(images), ())

    def refuses(*args, **kwargs):
        raise ModelError("the quantizer does not know it", "Leave it in float")

    monkeypatch.setattr(ptq, "calibrate_model", refuses)
    times = time_network("timed_net", 3, (32, 64), threads=1, runs=1)
    assert times.fp32_ms > 0
    assert times.int8_ms is None
    assert times.not_int8 == "the quantizer does not know it"


def test_what_is_timed_in_turns_is_timed_as_often_and_warmed_up_once():
    called = []
    ms = medians_ms([lambda: called.append("a"), lambda: called.append("b")], runs=2)
    assert called == ["a", "b"] * 3
    assert len(ms) == 2
