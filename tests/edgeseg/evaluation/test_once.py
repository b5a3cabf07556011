"""How often a measurement runs the network and counts pixels: no more than its figures need."""

from __future__ import annotations

import pytest
from counting import calls_of

from edgeseg.data.dataset import Dataset
from edgeseg.evaluation.evaluate import evaluate
from edgeseg.evaluation.metrics import ConfusionMatrix
from edgeseg.evaluation.parity import compare
from edgeseg.evaluation.tune_crf import tune_crf
from edgeseg.runtime.registry import open_backend
from edgeseg.segmenter import Segmenter

COUNT, UPDATE = ConfusionMatrix.of.__func__, ConfusionMatrix.update


class Counting:
    """A real backend, and how many images went through it."""

    def __init__(self, path):
        self._backend = open_backend(path, threads=1)
        self.spec, self.max_batch, self.images = self._backend.spec, self._backend.max_batch, 0

    def infer(self, images):
        self.images += len(images)
        return self._backend.infer(images)

    def close(self):
        self._backend.close()


@pytest.fixture
def backend(convnet):
    backend = Counting(convnet)
    yield backend
    backend.close()


@pytest.fixture
def dataset(convnet_data):
    """With 6 images in ``train`` and 4 in ``val``."""
    return Dataset.load(convnet_data)


def test_an_evaluation_runs_and_counts_each_image_once(backend, dataset):
    with calls_of(COUNT, UPDATE) as called:
        assert evaluate(Segmenter(backend, 1), dataset, "val").images == 4
    assert backend.images == 4
    assert called == [COUNT.__qualname__, *[UPDATE.__qualname__] * 4]


def test_tuning_runs_the_network_once_however_many_trials(backend, dataset):
    with calls_of(COUNT) as called:
        tune_crf(backend, dataset, "train", trials=3, threads=1)
    assert backend.images == 6
    assert len(called) == 1 + 3  # the network alone, and each trial


def test_a_comparison_runs_each_side_once_an_image_and_once_to_warm_up(backend, convnet, dataset):
    other = Counting(convnet)
    parity = compare(backend, other, map(dataset.read, dataset.split("val").samples()), 1)
    assert (backend.images, other.images) == (1 + 4, 1 + 4)
    assert parity.specs == (backend.spec, other.spec)
    other.close()
