"""The encoders: torchvision's layers and numbers, without the head."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torchvision import models

from rescan import names

# torchvision's documented parameter counts, and the head's share of them by hand: a weight matrix and a bias a layer.
TORCHVISION = {
    "resnet18": 11_689_512 - (512 * 1000 + 1000),
    "resnet152": 60_192_808 - (2048 * 1000 + 1000),
    "densenet169": 14_149_480 - (1664 * 1000 + 1000),
    "vgg19": 143_667_240 - (25_088 * 4096 + 4096) - (4096 * 4096 + 4096) - (4096 * 1000 + 1000),
    "mobilenet_v3_large": 5_483_032 - (960 * 1280 + 1280) - (1280 * 1000 + 1000),
}
SMALL = ("resnet18", "densenet169", "mobilenet_v3_large")


@pytest.fixture(scope="module", params=sorted(names.ENCODERS))
def named(request):
    """An encoder of each name, built once."""
    return request.param, names.resolve("encoder", request.param)().eval()


def test_parameters_are_torchvisions_without_the_head(named):
    name, encoder = named
    if name not in TORCHVISION:
        pytest.skip("no published count")
    assert sum(weight.numel() for weight in encoder.parameters()) == TORCHVISION[name]


def test_features_and_the_target_layer_keep_the_contract(named):
    _, encoder = named
    seen = []
    hook = encoder.target_layer.register_forward_hook(lambda _, __, output: seen.append(output.shape))
    with torch.no_grad():
        maps = encoder.features(torch.rand(2, 3, 64, 64))
    hook.remove()
    assert maps.ndim == 4
    assert maps.shape[:2] == (2, encoder.channels)
    (target,) = seen
    assert target[:2] == (2, encoder.channels)
    assert target[2] >= maps.shape[2]


def test_the_state_has_every_weight_once(named):
    _, encoder = named
    assert not [key for key in encoder.state_dict() if "target" in key]


@pytest.mark.parametrize("name", SMALL)
def test_one_channel_equals_a_first_convolution_summed_over_its_channels(name):
    encoder = names.resolve("encoder", name)().eval()
    first = next(layer for layer in encoder.modules() if isinstance(layer, nn.Conv2d))
    gray = torch.rand(2, 1, 64, 64)
    with torch.no_grad():
        ours = {}
        hook = first.register_forward_hook(lambda _, __, output: ours.update(output=output.clone()))
        encoder.features(gray)
        hook.remove()
        summed = nn.functional.conv2d(gray, first.weight.sum(1, keepdim=True), None, first.stride, first.padding)
    torch.testing.assert_close(ours["output"], summed, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", SMALL)
def test_the_head_of_torchvision_on_our_features_gives_torchvisions_output(name):
    reference = getattr(models, name)(weights=None).eval()
    encoder = names.resolve("encoder", name)().eval()
    encoder.body.load_state_dict(
        {key: value for key, value in reference.state_dict().items() if key in encoder.body.state_dict()}
    )
    images = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        pooled = encoder.features(images).mean((2, 3))
        head = reference.fc if name == "resnet18" else reference.classifier
        torch.testing.assert_close(head(pooled), reference(images), rtol=1e-4, atol=1e-5)


def test_random_weights_follow_from_the_seed():
    states = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        states.append(names.resolve("encoder", "resnet18")().body.conv1.weight)
    assert torch.equal(states[0], states[1])
    assert not torch.equal(states[0], states[2])
