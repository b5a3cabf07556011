from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from edgeseg.errors import InputError
from edgeseg.evaluation.parity import compare, probe_images
from edgeseg.runtime.postprocess import to_labels
from edgeseg.runtime.registry import open_backend


def probes(size=(64, 96)):
    return [(image, None) for image in probe_images(size)]


def tampered(artifact, path, change):
    """A copy of the artifact whose largest weight tensor is ``change(it)``."""
    model = onnx.load(artifact)
    weight = max(model.graph.initializer, key=lambda tensor: int(np.prod(tensor.dims)))
    weight.CopyFrom(numpy_helper.from_array(change(numpy_helper.to_array(weight)).astype(np.float32), weight.name))
    onnx.save(model, path)
    return path


@pytest.mark.parametrize(
    "change", [lambda w: w * 1.05, lambda w: -w, lambda w: w * np.nan], ids=["scaled", "negated", "NaN"]
)
def test_other_weights_do_not_pass(checkpoint_of, artifact_of, tmp_path, change):
    artifact = tampered(artifact_of("fast_scnn", "logits"), tmp_path / "tampered.onnx", change)
    parity = compare(open_backend(checkpoint_of("fast_scnn")), open_backend(artifact), probes())
    assert not parity.holds()


def test_other_weights_do_not_pass_as_labels_either(artifact_of, tmp_path):
    artifact = tampered(artifact_of("fast_scnn", "labels"), tmp_path / "tampered.onnx", lambda w: -w)
    reference = open_backend(artifact_of("fast_scnn", "labels"))
    assert not compare(reference, open_backend(artifact), probes()).holds()


def test_an_artifact_equals_itself(artifact_of):
    backend = open_backend(artifact_of("fast_scnn", "logits"), threads=1)
    parity = compare(backend, backend, probes())
    assert parity.holds()
    assert (parity.max_abs_logit_difference, parity.mean_abs_logit_difference, parity.label_agreement) == (0, 0, 1)
    assert parity.max_abs_logit > 0


def test_artifacts_of_other_classes_are_not_compared(artifact_of, tiny_onnx):
    with pytest.raises(InputError, match="differ in their classes"):
        compare(open_backend(artifact_of("fast_scnn", "logits")), open_backend(tiny_onnx), probes())


def test_accuracy_is_that_of_the_images_with_a_truth(artifact_of):
    backend = open_backend(artifact_of("fast_scnn", "logits"), threads=1)
    images = [image for image, _ in probes()]
    truths = [to_labels(backend.infer(image[None]), (64, 96)) for image in images]
    parity = compare(backend, backend, list(zip(images, truths, strict=True)))
    assert parity.miou == (1, 1)
    assert min(*parity.infer_ms, *parity.frame_ms) > 0
    assert all(np.isnan(compare(backend, backend, probes()).miou))


def test_images_of_another_size_are_compared_at_their_own(artifact_of):
    logits, labels = (open_backend(artifact_of("fast_scnn", output), threads=1) for output in ("logits", "labels"))
    parity = compare(logits, labels, [(image, np.zeros((100, 90), np.uint8)) for image in probe_images((100, 90))])
    assert 0.9 < parity.label_agreement < 1
    assert np.isnan(parity.max_abs_logit_difference)


def test_no_images_is_no_comparison(tiny_onnx):
    with pytest.raises(InputError, match="no images to compare"):
        compare(open_backend(tiny_onnx), open_backend(tiny_onnx), [])


def test_probe_images_are_dark_and_bright_smooth_and_noisy_and_the_same_each_time():
    images = probe_images((40, 56))
    assert all(image.shape == (40, 56, 3) and image.dtype == np.uint8 for image in images)
    assert all(np.array_equal(a, b) for a, b in zip(images, probe_images((40, 56)), strict=True))
    means = [image.mean() for image in images]
    assert min(means) < 60
    assert max(means) > 150
    roughness = [np.abs(np.diff(image.astype(int), axis=1)).mean() for image in images]
    assert max(roughness) > 4 * min(roughness)
