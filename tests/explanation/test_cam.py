"""The Grad-CAM core, against captum and by hand."""

from __future__ import annotations

import pytest
import torch
from captum.attr import LayerAttribution, LayerGradCam
from torch import nn

from rescan.explanation.cam import cells, gradcam
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
