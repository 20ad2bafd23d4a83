"""The core of class activation maps, against captum, MONAI and by hand."""

from __future__ import annotations

import itertools

import pytest
import torch
from captum.attr import LayerAttribution, LayerGradCam
from monai.visualize import GradCAMpp
from torch import nn
from torch.nn import functional

from rescan import catalogue
from rescan.explanation.cam import cells, class_maps, gradcam
from rescan.explanation.cam_formulas import gradcam_plus_plus
from rescan.models.networks import build
from rescan.study import Recipe

CONV = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
SIZE = {1: (40,), 2: (20, 26), 3: (10, 14, 12)}
UPSAMPLING = {1: "linear", 2: "bilinear", 3: "trilinear"}


class Tiny(nn.Module):
    """A small network with two heads; with `inplace`, a ReLU changes the target's output in place."""

    def __init__(self, dimensions, inplace=False):
        super().__init__()
        conv = CONV[dimensions]
        self.first = nn.Sequential(
            conv(1, 4, 3, stride=2), nn.BatchNorm1d(4) if dimensions == 1 else nn.Identity(), nn.ReLU()
        )
        self.target_layer = conv(4, 6, 3)
        self.relu = nn.ReLU(inplace=inplace)
        self.hidden = nn.Linear(6, 8)
        sizes = {"classification": 3, "regression": 1, "ordinal": 2}
        self.heads = nn.ModuleDict({name: nn.Linear(8, size) for name, size in sizes.items()})

    def forward(self, images):
        maps = self.relu(self.target_layer(self.first(images)))
        vectors = torch.relu(self.hidden(maps.flatten(2).mean(2)))
        return {name: head(vectors) for name, head in self.heads.items()}


@pytest.fixture(params=[1, 2, 3], ids=["1D", "2D", "3D"])
def case(request):
    """A network in eval mode and a batch."""
    torch.manual_seed(request.param)
    return Tiny(request.param).eval(), torch.rand(5, 1, *SIZE[request.param])


TARGETS = torch.tensor([0, 2, 1, 1, 0])
SIGNS = torch.tensor([1, -1, 1, 1, -1])


def captums(network, images, targets, head, layer=None):
    """The maps by captum, of a class or of ± the sum of a head's outputs."""
    if head == "classification":
        scores = lambda x: network(x)[head]  # noqa: E731
    else:
        scores, targets = lambda x, signs=targets: network(x)[head].sum(1) * signs, None
    attributions = LayerGradCam(scores, layer or network.target_layer).attribute(
        images, target=targets, relu_attributions=True
    )
    return LayerAttribution.interpolate(attributions, images.shape[2:], UPSAMPLING[images.ndim - 2])[:, 0]


@pytest.mark.parametrize("head", ["classification", "regression", "ordinal"])
def test_equals_captum(case, head):
    network, images = case
    targets = TARGETS if head == "classification" else SIGNS
    expected = captums(network, images, targets, head)
    raw, scaled = gradcam(network, images, targets, head)
    assert raw.shape == scaled.shape == (5, *images.shape[2:])
    assert raw.max() > 0
    torch.testing.assert_close(raw, expected.detach(), rtol=0, atol=1e-5)
    torch.testing.assert_close(raw / raw.max(), expected.detach() / expected.max().item(), rtol=0, atol=1e-5)


def test_a_batch_equals_one_by_one(case):
    network, images = case
    raw, scaled = gradcam(network, images, TARGETS)
    for number in range(len(images)):
        alone = gradcam(network, images[number : number + 1], TARGETS[number : number + 1])
        torch.testing.assert_close(alone[0][0], raw[number], rtol=1e-4, atol=1e-7)
        torch.testing.assert_close(alone[1][0], scaled[number], rtol=1e-4, atol=1e-5)


def test_an_inplace_relu_behind_the_target_changes_nothing():
    torch.manual_seed(0)
    network = Tiny(2).eval()
    inplace = Tiny(2, inplace=True).eval()
    inplace.load_state_dict(network.state_dict())
    images = torch.rand(5, 1, 20, 26)
    for ours, reference in zip(gradcam(inplace, images, TARGETS), gradcam(network, images, TARGETS)):
        assert torch.equal(ours, reference)


def test_frozen_networks_work_under_no_grad_and_no_gradients_stay(case):
    network, images = case
    reference = gradcam(network, images, TARGETS)[0]
    assert all(weight.grad is None for weight in network.parameters())
    network.requires_grad_(False)
    with torch.no_grad():
        raw, scaled = gradcam(network, images, TARGETS)
    assert torch.equal(raw, reference)
    assert not raw.requires_grad
    assert not scaled.requires_grad
    assert not network.target_layer._forward_hooks


def test_nothing_is_kept_of_what_comes_before_the_target(case):
    network, images = case
    tracked = []
    hooks = [
        layer.register_forward_hook(lambda *arguments: tracked.append(arguments[2].requires_grad))
        for layer in (network.first, network.hidden)
    ]
    gradcam(network, images, TARGETS)
    for hook in hooks:
        hook.remove()
    assert tracked == [False, True]
    assert torch.is_grad_enabled()


def test_scaling_is_a_map_of_its_own_and_zero_stays_zero():
    network = Tiny(2).eval()
    with torch.no_grad():
        network.heads["classification"].weight[1] = 0  # class 1 has no evidence anywhere
    raw, scaled = gradcam(network, torch.rand(3, 1, 20, 26), torch.tensor([1, 1, 1]))
    assert torch.equal(scaled, torch.zeros_like(scaled))
    assert torch.equal(raw, scaled)
    raw, scaled = gradcam(network, torch.rand(8, 1, 20, 26), torch.tensor([0, 2] * 4))
    for raw_map, scaled_map in zip(raw, scaled):
        if raw_map.max() > 0:
            assert scaled_map.max() == 1
            torch.testing.assert_close(scaled_map * raw_map.max(), raw_map)
    assert scaled.min() >= 0


def test_a_linear_head_on_the_average_gives_the_class_activation_map():
    """With global average pooling and a linear head, Grad-CAM is ReLU(w · A) / (h w) (Zhou et al. 2016)."""

    class Cam(nn.Module):
        def __init__(self):
            super().__init__()
            self.target_layer = nn.Conv2d(1, 5, 3, padding=1)
            self.head = nn.Linear(5, 2)

        def forward(self, images):
            return {"classification": self.head(self.target_layer(images).mean((2, 3)))}

    network, images = Cam().eval(), torch.rand(2, 1, 8, 8)
    raw, _ = gradcam(network, images, torch.tensor([0, 1]))
    maps = network.target_layer(images)
    expected = torch.relu(torch.einsum("nc,nchw->nhw", network.head.weight, maps)) / 64
    torch.testing.assert_close(raw, expected.detach(), rtol=1e-5, atol=1e-7)


def by_hand(method, activations, gradients):
    """A method's map of one sample, (C, *cells) of float64, cell by cell; S below zero counts as zero."""
    result = torch.zeros(activations.shape[1:], dtype=torch.float64)
    places = list(itertools.product(*map(range, result.shape)))
    for maps, slopes in zip(activations, gradients):
        total, weight = max(0.0, sum(float(maps[place]) for place in places)), 0.0
        for place in places:
            slope = float(slopes[place])
            if method == "gradcam":
                weight += slope / len(places)
            elif method == "gradcam++" and slope > 0:
                weight += slope**2 / (2 * slope**2 + total * slope**3) * slope
        for place in places:
            factor = {"layercam": max(0.0, float(slopes[place])), "hirescam": slopes[place]}.get(method, weight)
            result[place] += factor * maps[place]
    return result.clamp(min=0)


def test_all_methods_by_hand_from_one_pass(case):
    network, images = case
    calls = []
    network.register_forward_hook(lambda *_: calls.append(1))
    found = class_maps(network, images, TARGETS, methods=list(catalogue.CAM_METHODS))
    assert len(calls) == 1
    activations = network.target_layer(network.first(images)).detach().double().requires_grad_()
    behind = Tiny(images.ndim - 2).double().eval()
    behind.load_state_dict(network.state_dict())
    logits = behind.heads["classification"](torch.relu(behind.hidden(torch.relu(activations).flatten(2).mean(2))))
    (gradients,) = torch.autograd.grad(logits.gather(1, TARGETS.view(-1, 1)).sum(), activations)
    different = set()
    for method, (raw, scaled) in found.items():
        maps = torch.stack([by_hand(method, *pair) for pair in zip(activations.detach(), gradients)])
        size, mode = images.shape[2:], UPSAMPLING[images.ndim - 2]
        expected = functional.interpolate(maps[:, None], size=size, mode=mode, align_corners=False)[:, 0].float()
        assert expected.max() > 0
        torch.testing.assert_close(raw, expected, rtol=1e-4, atol=1e-5 * expected.max().item())
        assert 0 <= scaled.min() <= scaled.max() <= 1
        different.add(tuple(expected.flatten().tolist()))
        assert torch.equal(gradcam(network, images, TARGETS, method=method)[0], raw)
    assert len(different) == 4


@pytest.mark.parametrize("cells", [(4,), (2, 3), (2, 2, 3)])
def test_gradcam_plus_plus_is_the_paper_s_from_the_derivatives_of_the_exponential(cells):
    """Equations 5 and 19 for Y = exp(score), its derivatives by autograd; Y itself is left out."""
    torch.manual_seed(0)
    activations = torch.rand(1, 3, *cells, dtype=torch.float64).requires_grad_()
    outcome = ((torch.rand_like(activations) - 0.3) * activations).sum().exp()
    (first,) = torch.autograd.grad(outcome, activations, create_graph=True)
    expected = 0
    for channel in range(3):
        weight, total = 0, activations[0, channel].sum()
        for place in itertools.product(*map(range, cells)):
            at = (0, channel, *place)
            second = torch.autograd.grad(first[at], activations, create_graph=True)[0][at]
            third = torch.autograd.grad(second, activations, retain_graph=True)[0][at]
            weight += second / (2 * second + total * third) * first[at].relu()
        expected += weight * activations[0, channel]
    found = gradcam_plus_plus(activations, first / outcome)
    torch.testing.assert_close(found[0], (expected / outcome).detach(), check_dtype=False, rtol=1e-6, atol=0)


@pytest.mark.parametrize("dimensions", [2, 3])
def test_of_pooling_and_one_linear_layer_monai_agrees_and_hirescam_is_gradcam(dimensions):
    """There the gradients are the same in every cell; elsewhere MONAI's sum of A · G³ is not the paper's."""

    class Pooled(nn.Module):
        def __init__(self):
            super().__init__()
            self.target_layer = nn.Sequential(CONV[dimensions](1, 5, 3), nn.ReLU())
            self.head = nn.Linear(5, 2)

        def forward(self, images):
            return {"classification": self.head(self.target_layer(images).flatten(2).mean(2))}

    class Logits(nn.Module):
        def __init__(self, network):
            super().__init__()
            self.network = network

        def forward(self, images):
            return self.network(images)["classification"]

    torch.manual_seed(0)
    network, images = Pooled().eval(), torch.rand(1, 1, *[8] * dimensions)
    found = class_maps(network, images, torch.tensor([1]), methods=["gradcam++", "gradcam", "hirescam"])
    theirs = GradCAMpp(Logits(network), "network.target_layer").compute_map(images, class_idx=1)
    mode = UPSAMPLING[dimensions]
    expected = functional.interpolate(theirs.detach(), size=images.shape[2:], mode=mode, align_corners=False)[:, 0]
    assert expected.max() > 0
    torch.testing.assert_close(found["gradcam++"][1], expected / expected.max(), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found["hirescam"][0], found["gradcam"][0], rtol=1e-5, atol=1e-7)


SMALL_2D = [
    ("resnet18", (1, 64, 64), {"layer4": (2, 2), "layer2": (8, 8)}),
    ("densenet121", (1, 64, 64), {"denseblock4": (2, 2), "denseblock3": (4, 4)}),
    ("mobilenet_v3_large", (1, 64, 64), {"features.16": (2, 2)}),
    ("vit_b_16", (1, 64, 64), {"encoder.ln": (4, 4)}),
]
SMALL_3D = [
    ("resnet10_3d", (1, 32, 48, 40), {"layer4": (2, 2, 2), "layer2": (8, 6, 5)}),
    ("cnn5_3d", (1, 32, 48, 40), {"block5": (2, 3, 2), "block3": (8, 12, 10)}),
    ("efficientnet_b0_3d", (1, 32, 48, 40), {"head": (1, 1, 1), "features.4": (2, 3, 2)}),
]


@pytest.mark.parametrize(("encoder", "shape", "grids"), SMALL_2D + SMALL_3D)
def test_equals_captum_on_our_networks(encoder, shape, grids):
    torch.manual_seed(0)
    losses = {"classification": "cross_entropy", "regression": "mse", "ordinal": "binary_cross_entropy"}
    heads = {"classification": {}, "regression": {"hidden": [5], "limit": 4.5}, "ordinal": {}}
    described = {
        "preparation": "p",
        "network": {"encoder": encoder, "weights": "none", "hidden": [7], "heads": heads},
        "stages": {"main": {"epochs": 1, "optimizer": "adam", "losses": losses}},
    }
    recipe = Recipe.model_validate(described)
    network = build(recipe, 3, shape).eval()
    images = torch.randn(2, *shape)
    for name, grid in grids.items():
        layer, highest = network.encoder.body.get_submodule(recipe.network.layers[name]), 0.0
        for head in heads:
            targets = torch.tensor([0, 2] if head == "classification" else [1, -1])
            expected = captums(network, images, targets, head, layer).detach()
            raw, _ = gradcam(network, images, targets, head, layer)
            torch.testing.assert_close(raw, expected, rtol=1e-3, atol=1e-3 * expected.max().item())
            highest = max(highest, raw.max().item())
        assert highest > 0
        assert cells(network, images, layer) == grid


def test_no_place_speaks_both_for_a_higher_and_for_a_lower_grade(case):
    network, images = case
    higher, _ = gradcam(network, images, torch.ones(5, dtype=torch.int64), "ordinal")
    lower, _ = gradcam(network, images, -torch.ones(5, dtype=torch.int64), "ordinal")
    assert higher.max() > 0 or lower.max() > 0
    # Of each cell of the map before it is upsampled, one of the two is zero; the corners are such cells.
    corner = (slice(None), *[0] * (images.ndim - 2))
    assert (torch.minimum(higher[corner], lower[corner]) == 0).all()


def test_training_mode_is_refused_and_the_hook_goes_when_the_network_fails():
    network = Tiny(2)
    with pytest.raises(ValueError, match="eval mode"):
        gradcam(network, torch.rand(1, 1, 20, 26), torch.tensor([0]))
    network.eval()
    with pytest.raises(KeyError):
        gradcam(network, torch.rand(1, 1, 20, 26), torch.tensor([0]), head="none")
    assert not network.target_layer._forward_hooks
