from __future__ import annotations

import numpy as np
import pytest

from edgeseg.errors import InputError
from edgeseg.runtime.augmented import AugmentedBackend
from edgeseg.spec import ModelSpec

SPEC = ModelSpec("any", ("dark", "bright"), input_size=(64, 96), stride=4)


class Brightness:
    """A backend whose logits are how bright every fourth pixel is; it counts the pictures it sees of each size."""

    max_batch = 2

    def __init__(self, spec: ModelSpec = SPEC, lean: float = 0.0) -> None:
        self.spec = spec
        self.seen: list[tuple[int, ...]] = []
        self.lean = lean

    def infer(self, images):
        return self.infer_any(images)

    def infer_any(self, images):
        self.seen.append(images.shape)
        bright = images[:, 1::4, 1::4, 0].astype(np.float32) / 255
        right = np.linspace(0, self.lean, bright.shape[2], dtype=np.float32)
        return np.stack([1 - bright, bright + right], axis=1)

    def close(self):
        pass


class OneSize:
    """A backend of an engine that was built for one size."""

    max_batch = 1
    spec = SPEC

    def infer(self, images):
        return Brightness().infer(images)

    def close(self):
        pass


def halves(left=0, right=255):
    image = np.full((1, 64, 96, 3), left, np.uint8)
    image[:, :, 48:] = right
    return image


def probabilities(logits):
    return np.exp(logits) / np.exp(logits).sum(1, keepdims=True)


def test_sizes_are_factors_of_the_models_and_the_answer_is_on_its_grid():
    inner = Brightness()
    found = AugmentedBackend(inner, (0.5, 1, 1.5), flip=True).infer(halves())
    assert sorted(inner.seen) == sorted(2 * [(1, 32, 64, 3), (1, 64, 96, 3), (1, 96, 160, 3)])
    assert found.shape == (1, 2, 16, 24)
    assert found.dtype == np.float32
    np.testing.assert_allclose(np.exp(found).sum(1), 1, rtol=1e-5)
    assert (found.argmax(1)[0, :, :11] == 0).all()
    assert (found.argmax(1)[0, :, 13:] == 1).all()


def test_the_mirror_image_takes_out_what_leans_to_a_side():
    image = halves(100, 100)
    leaning = AugmentedBackend(Brightness(lean=2.0)).infer(image)
    upright = AugmentedBackend(Brightness(lean=2.0), flip=True).infer(image)
    assert leaning[0, 1, 0, -1] - leaning[0, 1, 0, 0] > 0.3
    np.testing.assert_allclose(upright, upright[..., ::-1], atol=1e-6)
    mean = (probabilities(leaning) + probabilities(leaning)[..., ::-1]) / 2
    np.testing.assert_allclose(np.exp(upright), mean, atol=1e-6)


@pytest.mark.parametrize(
    ("inner", "scales", "message"),
    [
        (OneSize(), (1, 1.5), "this engine takes pictures of one size. Leave out scales"),
        (Brightness(), (), "scales are none"),
        (Brightness(), (9,), "scales are 9. Give numbers of 0.25 to 4"),
        (Brightness(), (float("nan"),), "scales are nan"),
        (Brightness(ModelSpec("any", ("a", "b"), output="labels")), (1,), "need a model that returns logits"),
    ],
)
def test_what_cannot_be_done_is_told(inner, scales, message):
    with pytest.raises(InputError) as caught:
        AugmentedBackend(inner, scales, flip=True)
    assert message in str(caught.value)


def test_an_engine_of_one_size_can_be_mirrored():
    assert AugmentedBackend(OneSize(), flip=True).infer(halves()).shape == (1, 2, 16, 24)
