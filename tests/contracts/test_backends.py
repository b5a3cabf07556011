"""Every backend through the same cases."""

from __future__ import annotations

import numpy as np
import pytest

from edgeseg.errors import InputError, ModelError
from edgeseg.runtime.registry import open_backend
from edgeseg.spec import ModelSpec


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A checkpoint of a network with fresh weights, 3 classes, input 64x96."""
    torch = pytest.importorskip("torch", reason="the pytorch backend needs torch; pip install 'edgeseg[train]'")
    from edgeseg.models.checkpoint import save_network
    from edgeseg.models.registry import build

    torch.manual_seed(0)
    network = build("fast_scnn", 3)
    path = tmp_path_factory.mktemp("checkpoint") / "model.pt"
    save_network(path, network, ModelSpec("fast_scnn", ("a", "b", "c"), input_size=(64, 96), stride=network.stride))
    return path


@pytest.fixture(params=["tiny_onnx", "tiny_labels_onnx", "checkpoint"], ids=["ort-logits", "ort-labels", "pytorch"])
def artifact(request):
    return request.getfixturevalue(request.param)


@pytest.fixture
def backend(artifact):
    backend = open_backend(artifact)
    yield backend
    backend.close()


def images_for(backend, seed=0):
    height, width = backend.spec.input_size
    return np.random.default_rng(seed).integers(0, 256, (1, height, width, 3), dtype=np.uint8)


def test_output_is_as_the_spec_says(backend):
    spec = backend.spec
    height, width = spec.input_size
    output = backend.infer(images_for(backend))
    if spec.output == "labels":
        assert output.shape == (1, height, width)
        assert output.dtype == np.uint8
        assert output.max() < spec.num_classes
    else:
        assert output.shape == (1, spec.num_classes, -(-height // spec.stride), -(-width // spec.stride))
        assert output.dtype == np.float32
        assert np.isfinite(output).all()


def test_output_depends_on_the_image(backend):
    assert not np.array_equal(backend.infer(images_for(backend, 0)), backend.infer(images_for(backend, 1)))


def test_the_same_image_gives_the_same_output(backend):
    np.testing.assert_array_equal(backend.infer(images_for(backend)), backend.infer(images_for(backend)))


def test_output_belongs_to_the_caller(backend):
    first = backend.infer(images_for(backend, 0))
    kept = first.copy()
    second = backend.infer(images_for(backend, 1))
    np.testing.assert_array_equal(first, kept)
    first[:] = 0
    np.testing.assert_array_equal(second, backend.infer(images_for(backend, 1)))


def test_images_are_left_alone(backend):
    images = images_for(backend)
    images.flags.writeable = False
    kept = images.copy()
    backend.infer(images)
    np.testing.assert_array_equal(images, kept)


def test_images_in_any_memory_layout(backend):
    images = images_for(backend)
    mirrored = images[:, :, ::-1]
    np.testing.assert_array_equal(backend.infer(mirrored), backend.infer(mirrored.copy()))


@pytest.mark.parametrize("threads", [1, 2])
def test_the_number_of_threads_does_not_change_labels(artifact, backend, threads):
    other = open_backend(artifact, threads=threads)
    one, two = backend.infer(images_for(backend)), other.infer(images_for(backend))
    if backend.spec.output == "labels":
        np.testing.assert_array_equal(one, two)
    else:
        np.testing.assert_allclose(one, two, atol=1e-4)
    other.close()


@pytest.mark.parametrize(
    "spoil",
    [
        lambda images: images[0],
        lambda images: images[:0],
        lambda images: images[:, :-1],
        lambda images: images[:, :, :-1],
        lambda images: images[..., :2],
        lambda images: images.astype(np.float32),
        lambda images: images.transpose(0, 3, 1, 2),
    ],
    ids=["no batch", "empty batch", "height", "width", "channels", "dtype", "NCHW"],
)
def test_images_of_another_shape_or_dtype_are_refused(backend, spoil):
    with pytest.raises(InputError, match="uint8 RGB"):
        backend.infer(spoil(images_for(backend)))
    backend.infer(images_for(backend))


def test_closed_is_closed(artifact):
    backend = open_backend(artifact)
    images = images_for(backend)
    backend.close()
    backend.close()
    with pytest.raises(ModelError, match=rf"{artifact.name} is closed"):
        backend.infer(images)


def test_two_of_one_artifact_live_apart(artifact, backend):
    other = open_backend(artifact)
    expected = other.infer(images_for(backend))
    other.close()
    np.testing.assert_array_equal(backend.infer(images_for(backend)), expected)


def test_a_damaged_artifact_is_one_line(artifact, tmp_path):
    whole = artifact.read_bytes()
    damaged = tmp_path / artifact.name
    for content in (b"", b"hello, this is no model", whole[: len(whole) // 2]):
        damaged.write_bytes(content)
        with pytest.raises(ModelError) as caught:
            open_backend(damaged)
        assert artifact.name in str(caught.value)
        assert "\n" not in str(caught.value)
