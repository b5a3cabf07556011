"""Quantization-aware training: what a run leaves, that it resumes, what is frozen when, and what it refuses."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from quick_training import QUICK

pytest.importorskip("torchao", reason="quantization-aware training needs torchao; pip install 'edgeseg[qat]'")

from edgeseg.data.dataset import Dataset
from edgeseg.errors import InputError, ModelError, SinkError
from edgeseg.installing import pip_install
from edgeseg.models.checkpoint import load_network, load_trusted, save_network
from edgeseg.models.normalise import Normalise
from edgeseg.models.registry import build
from edgeseg.spec import ModelSpec
from edgeseg.train.capture import capture, quantized_tensors
from edgeseg.train.config import TrainConfig
from edgeseg.train.data import SplitTensors
from edgeseg.train.fake_quantize import FakeQuantized
from edgeseg.train.health import DivergedError
from edgeseg.train.loop import Trainer
from edgeseg.train.qat import DEFAULTS, begin, complete, read_learned

NAMES = ("ground", "box", "disc")
SIZE = (64, 96)


@pytest.fixture(scope="module")
def trained(shapes, tmp_path_factory):
    """A float checkpoint that knows the shapes."""
    config = replace(QUICK, data=shapes, output=tmp_path_factory.mktemp("runs") / "float")
    return Trainer(config).run()


def settings(trained, shapes, output, target="cpu", **changes):
    given = {"data": shapes, "output": output, "qat": str(trained.model), "qat_target": target, "epochs": 2}
    quick = {"batch_size": 4, "learning_rate": 1e-3, "loss_stride": 4, "ema_decay": 0.8, "device": "cpu", "threads": 1}
    return TrainConfig(**complete({**given, **quick, **changes}))


@pytest.fixture(scope="module", params=["cpu", "tensorrt"])
def finished(request, trained, shapes, tmp_path_factory):
    """A finished run for each target: its config and what it returned."""
    config = settings(trained, shapes, tmp_path_factory.mktemp("qat") / request.param, request.param)
    return config, Trainer(config).run()


def test_what_is_not_said_comes_from_the_checkpoint(trained, shapes, tmp_path):
    assert complete({"qat": str(trained.model), "epochs": 3}) == {
        **DEFAULTS,
        "qat": str(trained.model),
        "epochs": 3,
        "network": "fast_scnn",
        "network_args": {},
        "height": SIZE[0],
        "width": SIZE[1],
        "fit": "stretch",
        "tile_scale": 1.0,
    }


def test_it_keeps_what_the_network_had_learned(finished, trained):
    assert finished[1].miou > trained.miou - 0.1


def test_it_leaves_a_checkpoint_that_runs_in_float(finished, trained, shapes):
    _, done = finished
    network, spec = load_network(done.model)
    assert spec.class_names == NAMES
    assert spec.precision == "fp32"
    assert spec.metrics["val_miou_rounded"] == done.miou
    assert "val_miou" not in spec.metrics
    assert set(network.state_dict()) == set(load_network(trained.model)[0].state_dict())
    images, labels = torch.utils.data.default_collate(list(SplitTensors(Dataset.load(shapes), "val", SIZE)))
    with torch.no_grad():
        logits = network(Normalise(spec)(images))
    predictions = torch.nn.functional.interpolate(logits, SIZE, mode="bilinear").argmax(dim=1)
    assert (predictions == labels).float().mean() > 0.8


def test_it_leaves_a_range_for_every_tensor_that_is_rounded(finished):
    config, done = finished
    learned = read_learned(done.model)
    assert learned.target == config.qat_target
    graph = capture(load_network(done.model)[0], SIZE).graph
    assert len(learned.ranges) == len(quantized_tensors(graph, config.qat_target)) > 40
    for low, high in learned.ranges:
        assert low <= 0 < high
        if config.qat_target == "tensorrt":
            assert low == -high


class Killed(Exception):  # noqa: N818
    pass


@pytest.mark.parametrize("finished", ["cpu"], indirect=True)
def test_a_killed_run_goes_on_as_if_it_had_not_been(finished, trained, shapes, tmp_path):
    whole, done = finished

    def kill(row):
        raise Killed

    config = replace(whole, output=tmp_path)
    with pytest.raises(Killed):
        Trainer(config).run(on_epoch=kill)
    resumed = Trainer(config).run(resume=True)
    assert resumed.miou == done.miou
    assert read_learned(resumed.model) == read_learned(done.model)
    before, after = (load_trusted(model)["model"] for model in (done.model, resumed.model))
    assert all(torch.equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize(("target", "grey"), [("cpu", 115), ("tensorrt", 128)])
def test_the_input_is_pixels_less_a_grey_and_only_the_border_changes(tmp_path, target, grey):
    """The stem's padding is that grey, so that the outermost rows and columns may differ."""
    path = write_checkpoint(tmp_path / "model.pt", mean=(0.4, 0.45, 0.5), std=(0.2, 0.25, 0.3))
    before, old = load_network(path)
    after, new = begin(config_for(path, qat_target=target))
    assert [255 * value for value in new.mean] == pytest.approx([grey] * 3)
    assert len(set(new.std)) == 1
    pixels = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (2, 3, *SIZE), dtype=np.uint8))
    with torch.no_grad():
        expected = before.learning_to_downsample[0](Normalise(old)(pixels))
        got = after.learning_to_downsample[0](Normalise(new)(pixels))
    assert torch.allclose(expected[:, :, 1:, 1:], got[:, :, 1:, 1:], atol=1e-5)
    assert not torch.allclose(expected, got, atol=1e-3)


def test_a_network_that_reads_its_input_twice_keeps_its_own(tmp_path):
    path = write_checkpoint(tmp_path / "model.pt", "enet")
    assert begin(config_for(path, "enet"))[1] == load_network(path)[1]


def write_checkpoint(path, network="fast_scnn", names=NAMES, **changes):
    torch.manual_seed(0)
    made = build(network, len(names))
    save_network(path, made, ModelSpec(network, names, input_size=SIZE, stride=made.stride, **changes))
    return path


def config_for(path, network="fast_scnn", **changes):
    return TrainConfig(data=path, qat=str(path), network=network, height=SIZE[0], width=SIZE[1], **changes)


def test_what_is_frozen_stays():
    torch.manual_seed(0)
    network = FakeQuantized(build("fast_scnn", 3), "cpu", SIZE)
    images = torch.randn(4, 3, *SIZE)
    network.calibrate([images])

    def moves():
        means = {name: value.clone() for name, value in network.state_dict().items() if name.endswith("running_mean")}
        ranges = network.ranges()
        network(2 * images)
        state = network.state_dict()
        moved = not all(torch.equal(value, state[name]) for name, value in means.items())
        return moved, network.ranges() != ranges

    network.train()
    assert moves() == (True, True)
    network.freeze(statistics=True, ranges=False)
    assert moves() == (False, True)
    network.freeze(statistics=False, ranges=True)
    assert moves() == (True, False)
    network.freeze(statistics=False, ranges=False)
    assert network.eval().training is False
    assert moves() == (False, False)
    assert torch.equal(network(images), network(images))


def test_rounding_shows_and_is_small():
    torch.manual_seed(0)
    plain = build("fast_scnn", 3)
    images = torch.randn(4, 3, *SIZE)
    with torch.no_grad():
        for _ in range(20):
            plain(images)  # for its statistics
        network = FakeQuantized(plain, "tensorrt", SIZE)
        network.calibrate([images])
        expected, got = plain.eval()(images), network.eval()(images)
    assert 0 < (got - expected).abs().mean() < 0.1 * expected.std()


@pytest.mark.parametrize("target", ["cpu", "tensorrt"])
def test_joined_tensors_share_a_range_for_tensorrt_alone(target):
    groups = quantized_tensors(capture(build("fast_scnn", 3).eval(), SIZE).graph, target)
    (joined,) = (group for group in groups if any("cat" in node.name for node in group))
    assert (len(joined) > 1) == (target == "tensorrt")


def test_what_cannot_be_begun_with_is_refused(finished, shapes, shapes_rgb, trained, tmp_path):
    path = write_checkpoint(tmp_path / "other.pt", names=("a", "b", "c"))
    with pytest.raises(InputError, match=r"other\.pt has other classes than .*Pass the data it was trained on"):
        Trainer(replace(config_for(path), data=shapes))
    with pytest.raises(InputError, match=r"is a fast_scnn, not a enet\. Leave out network"):
        begin(config_for(path, "enet"))
    with pytest.raises(InputError, match=r"takes images of 96x64\. Leave out height and width"):
        begin(replace(config_for(path), height=32))
    with pytest.raises(ModelError, match=r"has been trained for INT8 already, for (cpu|tensorrt)\. Pass the check"):
        complete({"qat": str(finished[1].model)})
    (tmp_path / "text.pt").write_text("hello")
    with pytest.raises(ModelError, match="is not a checkpoint"):
        complete({"qat": str(tmp_path / "text.pt")})
    with pytest.raises(ModelError, match="there is no checkpoint"):
        complete({"qat": str(tmp_path / "gone.pt")})


def test_a_checkpoint_whose_ranges_are_damaged(finished, tmp_path):
    state = load_trusted(finished[1].model)
    for broken in ({"target": "cpu"}, {"target": "gpu", "ranges": []}, {"target": "cpu", "ranges": [1.0]}, "cpu"):
        torch.save({**state, "qat": broken}, tmp_path / "model.pt")
        with pytest.raises(ModelError, match=r"the ranges in .*model\.pt cannot be read"):
            read_learned(tmp_path / "model.pt")


def test_without_torchao_the_remedy_is_named(run_python, trained, shapes, tmp_path):
    arguments = ["edgeseg", "train", "--qat", trained.model, "--data", shapes, "--output", tmp_path / "x"]
    done = run_python(f"""
import sys
sys.modules["torchao"] = None
sys.argv = {[str(argument) for argument in arguments]!r}
import edgeseg.cli
edgeseg.cli.main()
""")
    assert (done.rc, done.stdout) == (2, "")
    assert done.stderr.startswith("edgeseg: error: the package torchao ")
    assert done.stderr.endswith(f"Run: {pip_install('edgeseg[qat]')}.\n")
    assert not (tmp_path / "x").exists()


def test_plain_training_does_without_torchao(run_python):
    done = run_python("""
import sys
import edgeseg.train.loop
print("torchao" in sys.modules)
""")
    assert done.stdout == "False\n"


def test_importing_the_rounding_leaves_loggers_alone_and_says_nothing(run_python):
    done = run_python("""
import logging
names = ("torchao", "torch.utils._pytree")
logging.getLogger("torchao").setLevel(logging.INFO)
before = [logging.getLogger(name).level for name in names]
import edgeseg.train.fake_quantize
assert [logging.getLogger(name).level for name in names] == before
""")
    assert (done.rc, done.stdout, done.stderr) == (0, "", "")


def test_a_loss_that_is_no_number_ends_it_and_keeps_nothing(trained, shapes, tmp_path):
    config = settings(trained, shapes, tmp_path / "run", learning_rate=1e30, warmup_epochs=0)
    with pytest.raises(DivergedError, match=r"epoch 1.*with a learning_rate below 1e\+30\.$") as caught:
        Trainer(config).run()
    assert "\n" not in str(caught.value)
    assert not list((tmp_path / "run").glob("*.pt"))


def test_its_output_does_not_replace_what_it_begins_with(trained, shapes):
    with pytest.raises(SinkError, match=r"model\.pt is read by this run as well, which would be lost"):
        Trainer(settings(trained, shapes, trained.model.parent))


@pytest.mark.parametrize("limits", [(0.0, 0.0), (1.0, 2.0), (float("nan"), 1.0), (-1.0, float("inf")), (3.0, -1.0)])
def test_ranges_that_are_none_are_refused(finished, tmp_path, limits):
    state = load_trusted(finished[1].model)
    state["qat"]["ranges"][5] = limits
    torch.save(state, tmp_path / "model.pt")
    with pytest.raises(ModelError, match=r"the ranges in .*model\.pt cannot be read"):
        read_learned(tmp_path / "model.pt")


def test_a_network_that_overflows_has_no_ranges_to_begin_with(shapes, tmp_path):
    write_checkpoint(tmp_path / "model.pt")
    state = load_trusted(tmp_path / "model.pt")
    state["model"]["learning_to_downsample.0.1.weight"].fill_(3e38)
    torch.save(state, tmp_path / "model.pt")
    with pytest.raises(ModelError, match=r"model\.pt does not return finite numbers for the training images"):
        Trainer(replace(config_for(tmp_path / "model.pt"), data=shapes, output=tmp_path / "run", batch_size=4))
