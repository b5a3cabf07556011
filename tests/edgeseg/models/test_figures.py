from __future__ import annotations

import sys

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from edgeseg.errors import InputError, ModelError
from edgeseg.models import registry
from edgeseg.models.backbones.registry import BACKBONES
from edgeseg.models.figures import figures_of
from edgeseg.models.network import count_parameters
from edgeseg.models.registry import build, network_names, published, register_network


@pytest.mark.parametrize("name", ["fast_scnn", "lraspp", "segformer_b0"])
def test_figures_are_those_of_the_network(name):
    figures = figures_of(name, 11, (96, 128))
    network = build(name, 11).eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(torch.zeros(1, 3, 96, 128))
    assert figures.macs == counter.get_total_flops() // 2
    assert figures.parameters == count_parameters(network)
    assert figures.stride == network.stride
    assert (figures.name, figures.num_classes, figures.input_size) == (name, 11, (96, 128))


def test_figures_of_a_network_with_arguments_of_its_own():
    narrow, wide = (figures_of("fast_scnn", 3, (64, 96), {"width": width}) for width in (0.5, 1.0))
    assert narrow.args == {"width": 0.5}
    assert narrow.parameters < wide.parameters
    assert narrow.macs < wide.macs
    assert narrow.peak_activation_bytes < wide.peak_activation_bytes


def test_the_trunk_is_named_if_there_is_one():
    assert figures_of("lraspp", 3, (64, 96)).backbone == "mobilenet_v3_large"
    assert figures_of("image_pyramid", 3, (64, 96), {"network": "lraspp"}).backbone in BACKBONES
    assert figures_of("fast_scnn", 3, (64, 96)).backbone is None


def test_refusals():
    with pytest.raises(InputError, match="cannot take images of 100x100"):
        figures_of("erfnet", 11, (100, 100))
    with pytest.raises(ModelError, match="no network 'nonesuch'"):
        figures_of("nonesuch")


@pytest.mark.parametrize("name", network_names())
def test_each_network_is_of_the_paper_that_its_file_names(name):
    origin = published(name)
    if name.startswith("edgenet"):
        assert origin.paper == ""  # edgeseg's own
        return
    with torch.device("meta"):
        module = sys.modules[type(build(name, 2)).__module__]
    first, *_ = module.__doc__.split("\n\n")
    assert origin.paper.startswith(("arXiv:", "doi:"))
    assert origin.paper in first
    assert str(origin.year) in first


def test_variants_are_of_the_same_paper(monkeypatch):
    monkeypatch.setattr(registry, "_registered", dict(registry._registered))

    @register_network("figures_net", paper="arXiv:1902.04502", year=2019)
    @register_network("figures_net_wide", width=2)
    class FiguresNet:
        def __init__(self, num_classes, *, width=1): ...

    @register_network("figures_other")
    class OtherNet:
        def __init__(self, num_classes): ...

    assert published("figures_net_wide") == published("figures_net") == ("arXiv:1902.04502", 2019)
    assert published("figures_other") == ("", None)
