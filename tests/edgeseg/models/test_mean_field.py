from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from edgeseg.errors import InputError
from edgeseg.models.blocks import resize
from edgeseg.models.mean_field import MeanField
from edgeseg.refine.crf import DenseCrf
from edgeseg.spec.crf_params import CrfParams, SpatialTerm

CLASSES = 3
SIZE = (14, 18)
PARAMS = CrfParams(
    bilateral_sigma_xy_px=8, bilateral_sigma_rgb=40, bilateral_weight=4, spatial_sigma_px=1.5, spatial_weight=2,
    iterations=3, compatibility=((0, 1, 0.5), (1, 0, 0.8), (0.7, 1.2, 0)),
)  # fmt: skip


def case(seed: int = 0) -> tuple[Tensor, Tensor]:
    """Logits and a picture of two tones with a little noise."""
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(1, CLASSES, *SIZE, generator=generator)
    picture = 80 * (torch.arange(SIZE[1]) > 9).float() + 60 + 6 * torch.randn(3, *SIZE, generator=generator)
    return logits, picture.clamp(0, 255).to(torch.uint8).unsqueeze(0)


def exact(logits: Tensor, image: Tensor, bilateral_weight: Tensor, spatial_weight: Tensor, costs: Tensor) -> Tensor:
    """Mean field over all pairs of pixels, in the precision of the logits."""
    y, x = torch.meshgrid(*(torch.arange(n, dtype=logits.dtype) for n in SIZE), indexing="ij")
    where = torch.stack([x, y], dim=-1).reshape(-1, 2)
    color = image[0].permute(1, 2, 0).reshape(-1, 3).to(logits.dtype)

    def kernel(*features: Tensor) -> Tensor:
        points = torch.cat(features, dim=1)
        k = torch.exp(-0.5 * (points.unsqueeze(0) - points.unsqueeze(1)).square().sum(-1))
        norm = k.sum(1).rsqrt()
        return norm.unsqueeze(1) * k * norm

    sigma_xy, sigma_rgb, sigma_px = (
        float(s) for s in (PARAMS.bilateral_sigma_xy_px, PARAMS.bilateral_sigma_rgb, PARAMS.spatial_sigma_px)
    )
    kernels = (
        (bilateral_weight, kernel(where / sigma_xy, color / sigma_rgb)),
        (spatial_weight, kernel(where / sigma_px)),
    )
    unaries = logits.log_softmax(dim=1)[0].reshape(CLASSES, -1)
    refined = unaries
    for _ in range(PARAMS.iterations):
        q = refined.softmax(dim=0)
        refined = unaries - costs @ sum(weight * q @ k for weight, k in kernels)
    return refined.reshape(1, CLASSES, *SIZE)


def exact_gradients(logits: Tensor, image: Tensor, direction: Tensor) -> list[Tensor]:
    inputs = [
        logits.double().requires_grad_(),
        torch.tensor(4.0, dtype=torch.double, requires_grad=True),
        torch.tensor(2.0, dtype=torch.double, requires_grad=True),
        torch.tensor(PARAMS.compatibility, dtype=torch.double, requires_grad=True),
    ]
    marginals = exact(inputs[0], image, *inputs[1:]).softmax(dim=1)
    return list(torch.autograd.grad((marginals * direction).sum(), inputs))


def layer_gradients(layer: MeanField, logits: Tensor, image: Tensor, direction: Tensor) -> list[Tensor]:
    logits = logits.clone().requires_grad_()
    loss = (layer(logits, image).softmax(dim=1) * direction).sum()
    return list(torch.autograd.grad(loss, [logits, layer.bilateral_weight, layer.spatial_weight, layer.compatibility]))


def test_the_exact_version_has_right_gradients():
    logits, image = case()
    small = logits.double()
    weights = torch.tensor([4.0, 2.0], dtype=torch.double, requires_grad=True)
    costs = torch.tensor(PARAMS.compatibility, dtype=torch.double, requires_grad=True)
    probe = torch.randn(small.shape, dtype=torch.double, generator=torch.Generator().manual_seed(1))

    def scalar(weights: Tensor, costs: Tensor) -> Tensor:
        return (exact(small, image, weights[0], weights[1], costs).softmax(dim=1) * probe).sum()

    assert torch.autograd.gradcheck(scalar, (weights, costs))


def test_it_computes_what_the_exact_version_computes():
    logits, image = case()
    ours = MeanField(CLASSES, PARAMS, accurate=True)(logits, image).softmax(dim=1)
    costs = torch.tensor(PARAMS.compatibility)
    theirs = exact(logits, image, torch.tensor(4.0), torch.tensor(2.0), costs).softmax(dim=1)
    assert (ours - theirs).abs().mean() < 0.01
    assert (logits.softmax(dim=1) - theirs).abs().mean() > 0.1  # and that is not nothing


def test_its_gradients_are_those_of_the_exact_version():
    logits, image = case()
    direction = torch.randn(logits.shape, generator=torch.Generator().manual_seed(1))
    ours = layer_gradients(MeanField(CLASSES, PARAMS, accurate=True), logits, image, direction)
    theirs = exact_gradients(logits, image, direction)
    for mine, right in zip(ours, theirs, strict=True):
        assert torch.linalg.norm(mine - right) < 0.1 * torch.linalg.norm(right)


@pytest.mark.parametrize("accurate", [False, True])
def test_its_gradients_are_its_own_slopes(accurate):
    logits, image = case()
    generator = torch.Generator().manual_seed(2)
    direction = torch.randn(logits.shape, generator=generator)
    step = torch.randn(logits.shape, generator=generator)
    layer = MeanField(CLASSES, PARAMS, accurate=accurate)
    slope = (layer_gradients(layer, logits, image, direction)[0] * step).sum()

    def loss(at: Tensor) -> float:
        with torch.no_grad():
            return float((layer(at, image).softmax(dim=1) * direction).sum())

    assert (loss(logits + 0.01 * step) - loss(logits - 0.01 * step)) / 0.02 == pytest.approx(float(slope), rel=0.01)


@pytest.mark.parametrize("accurate", [False, True])
def test_gradients_into_the_network_and_the_kernels_are_finite_differences(accurate):
    """In float64, along a random direction of each parameter, from the loss through all iterations."""
    torch.manual_seed(0)
    _, image = case()
    truth = (torch.arange(SIZE[1]) > 9).long().expand(1, *SIZE)
    network = nn.Sequential(nn.Conv2d(3, 8, 3, 2, padding=1), nn.Tanh(), nn.Conv2d(8, CLASSES, 1)).double()
    layer = MeanField(CLASSES, PARAMS, accurate=accurate).double()

    def loss() -> Tensor:
        logits = resize(network(image.double() / 255), SIZE)
        return nn.functional.cross_entropy(layer(logits, image), truth)

    parameters = [*network.parameters(), *layer.parameters()]
    assert len(parameters) == 7
    gradients = torch.autograd.grad(loss(), parameters)
    for parameter, gradient in zip(parameters, gradients, strict=True):
        step = torch.randn_like(parameter)
        step *= 0.003 / step.norm()
        losses = []
        for sign in (1, -2):
            with torch.no_grad():
                parameter.add_(sign * step)
                losses.append(loss().item())
        with torch.no_grad():
            parameter.add_(step)
        slope = (gradient * step).sum().item()
        assert abs(slope) > 1e-5
        assert (losses[0] - losses[1]) / 2 == pytest.approx(slope, rel=2e-3)


def test_the_runtime_gives_the_same_with_the_learned_parameters():
    logits, image = case()
    layer = MeanField(CLASSES, PARAMS)
    with torch.no_grad():
        layer.bilateral_weight.fill_(3.0)
        layer.compatibility[0, 1] = 1.5
        trained = layer(logits, image).softmax(dim=1)[0]
    crf = DenseCrf(*SIZE, CLASSES, layer.to_params())
    picture = np.ascontiguousarray(image[0].permute(1, 2, 0).numpy())
    run = crf.marginals(logits.softmax(dim=1)[0].numpy(), picture)
    np.testing.assert_allclose(run, trained.numpy(), atol=2e-3)


def test_it_learns_to_trust_the_picture():
    """The truth follows the picture's edge, the logits are noise around it: the bilateral weight has to grow."""
    torch.manual_seed(0)
    _, image = case()
    truth = (torch.arange(SIZE[1]) > 9).long().expand(1, *SIZE)
    logits = torch.randn(1, CLASSES, *SIZE) + torch.nn.functional.one_hot(truth, CLASSES).movedim(-1, 1)
    layer = MeanField(CLASSES, CrfParams(8, 40, 0.1, 1.5, 0.1, iterations=3))
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.1)
    losses = []
    for _ in range(40):
        loss = torch.nn.functional.cross_entropy(layer(logits, image), truth)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]
    assert layer.bilateral_weight > 1


def test_each_image_of_a_batch_is_by_itself():
    (first, image_1), (second, image_2) = case(0), case(1)
    layer = MeanField(CLASSES, PARAMS)
    both = layer(torch.cat([first, second]), torch.cat([image_1, image_2]))
    torch.testing.assert_close(both, torch.cat([layer(first, image_1), layer(second, image_2)]))


def test_what_does_not_fit_is_said():
    logits, image = case()
    layer = MeanField(CLASSES)
    with pytest.raises(InputError, match="images have shape"):
        layer(logits, image.float())
    with pytest.raises(InputError, match="images have shape"):
        layer(logits, image[:, :, 1:])
    with pytest.raises(InputError, match="5 classes"):
        layer(torch.zeros(1, 5, *SIZE), image)
    with pytest.raises(InputError, match="3 classes, not 4"):
        MeanField(4, PARAMS)
    with pytest.raises(InputError, match="one bilateral and one spatial"):
        MeanField(3, CrfParams(more_terms=(SpatialTerm(2, 1),)))


@pytest.mark.parametrize("classes", [-1, 0, 1, 256])
def test_one_class_or_none_is_nothing_to_refine(classes):
    with pytest.raises(InputError, match=rf"the dense CRF has {classes} classes\. Use 2 to 255"):
        MeanField(classes)
