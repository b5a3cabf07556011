"""A network trained through a dense CRF: both learn, the model carries the CRF, and a run that was stopped goes on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from quick_training import QUICK

from edgeseg.data.dataset import Dataset
from edgeseg.errors import InputError
from edgeseg.evaluation.evaluate import evaluate
from edgeseg.models.checkpoint import load_network, save_network
from edgeseg.models.registry import build
from edgeseg.segmenter import Segmenter
from edgeseg.spec import ModelSpec
from edgeseg.spec.crf_params import CrfParams
from edgeseg.train.config import TrainConfig
from edgeseg.train.loop import Trainer

FITTED = CrfParams(12, 30, 2, 1.5, 1, iterations=2)


@pytest.fixture(scope="module")
def recipe(shapes, tmp_path_factory):
    """A run that begins with a network and a CRF that was fitted to it."""
    folder = tmp_path_factory.mktemp("crf")
    torch.manual_seed(1)
    names, args = ("ground", "box", "disc"), {"width": 0.5}
    spec = ModelSpec("fast_scnn", names, input_size=(64, 96), stride=8, crf=FITTED, network_args=args)
    save_network(folder / "fitted.pt", build("fast_scnn", 3, args), spec)
    changes = {"network_args": args, "init": folder / "fitted.pt", "crf_rnn": True}
    return replace(QUICK, data=shapes, output=folder / "run", **changes)


@pytest.fixture(scope="module")
def finished(recipe):
    rows = []
    return Trainer(recipe).run(on_epoch=rows.append), rows


def test_network_and_crf_learn_together(finished):
    trained, rows = finished
    assert rows[-1]["train_loss"] < 0.5 * rows[0]["train_loss"]
    assert trained.miou > 0.6  # labelling everything as ground would reach 0.27
    learned = load_network(trained.model)[1].crf
    for name in ("bilateral_sigma_xy_px", "bilateral_sigma_rgb", "spatial_sigma_px", "iterations"):
        assert getattr(learned, name) == getattr(FITTED, name)
    assert learned.bilateral_weight != FITTED.bilateral_weight
    assert learned.spatial_weight != FITTED.spatial_weight
    assert all(learned.compatibility[i][j] != float(i != j) for i in range(3) for j in range(3))


def test_the_figure_of_its_model_is_the_one_that_eval_finds_with_the_crf(finished, shapes):
    trained, rows = finished
    figures = {}
    for refine in ("crf", None):
        with Segmenter.open(trained.model, refine=refine or "none", threads=1) as segmenter:
            figures[refine] = evaluate(segmenter, Dataset.load(shapes), "val").confusion.miou()
            metrics = segmenter.spec.metrics
    assert metrics["val_miou_crf"] == pytest.approx(figures["crf"], abs=1e-6)
    assert "val_miou" not in metrics
    assert trained.miou == rows[-1]["val_miou"] == metrics["val_miou_crf"]
    assert figures["crf"] != pytest.approx(figures[None], abs=1e-4)


def test_a_run_that_was_stopped_goes_on_with_its_crf(recipe, tmp_path):
    begin = tmp_path / "begin.pt"
    begin.write_bytes(Path(recipe.init).read_bytes())
    config = replace(recipe, init=begin, epochs=2, eval_every=1, output=tmp_path / "stopped")
    whole = Trainer(replace(config, output=tmp_path / "whole")).run()

    class StopError(Exception):
        pass

    def stop(row):
        raise StopError

    with pytest.raises(StopError):
        Trainer(config).run(on_epoch=stop)
    begin.unlink()
    resumed = Trainer(config).run(resume=True)
    (one, one_spec), (other, other_spec) = load_network(whole.model), load_network(resumed.model)
    assert one_spec.crf == other_spec.crf
    assert all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True))


def test_a_crf_of_other_pixels_is_not_taken(recipe):
    trainer = Trainer(replace(recipe, height=32, width=64, output=recipe.folder.parent / "small"))
    trainer.begin()
    assert trainer.crf == replace(CrfParams(), compatibility=((0, 1, 1), (1, 0, 1), (1, 1, 0)))
    trainer = Trainer(replace(recipe, output=recipe.folder.parent / "same"))
    trainer.begin()
    assert replace(trainer.crf, compatibility=None) == FITTED


def test_its_weights_do_not_decay_and_learn_at_a_rate_of_their_own(recipe):
    learner = Trainer(recipe).learner
    (group,) = (one for one in learner.optimizer.param_groups if one["params"][0] is learner.crf.layer.bilateral_weight)
    assert len(group["params"]) == 3
    assert group["weight_decay"] == 0
    learner.set_rate(0.01)
    assert group["lr"] == 0.1


@pytest.mark.parametrize("changes", [{"qat": "model.pt"}, {"compile": "on"}])
def test_what_it_does_not_go_with_is_told(changes):
    with pytest.raises(InputError, match=r"crf_rnn trains a CRF .*Leave out qat and compile"):
        TrainConfig(data="x", crf_rnn=True, **changes)
