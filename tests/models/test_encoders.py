"""The encoders: torchvision's layers and numbers, without the head."""

from __future__ import annotations

import pytest
import torch
from monai.networks.nets.senet import SEResNext50
from torch import nn
from torchvision import models
from torchvision.models.vision_transformer import interpolate_embeddings

from rescan import names
from rescan.errors import RescanError

# Documented parameter counts, and the head's share of them by hand: a weight matrix and a bias a layer.
VGG_HEAD = (25_088 * 4096 + 4096) + (4096 * 4096 + 4096) + (4096 * 1000 + 1000)
PUBLISHED = {
    "resnet18": 11_689_512 - (512 * 1000 + 1000),
    "resnet34": 21_797_672 - (512 * 1000 + 1000),
    "resnet50": 25_557_032 - (2048 * 1000 + 1000),
    "resnet101": 44_549_160 - (2048 * 1000 + 1000),
    "resnet152": 60_192_808 - (2048 * 1000 + 1000),
    "densenet121": 7_978_856 - (1024 * 1000 + 1000),
    "densenet169": 14_149_480 - (1664 * 1000 + 1000),
    "vgg16": 138_357_544 - VGG_HEAD,
    "vgg19": 143_667_240 - VGG_HEAD,
    "mobilenet_v3_large": 5_483_032 - (960 * 1280 + 1280) - (1280 * 1000 + 1000),
    # and the auxiliary head: two convolutions with batch norm, and a layer
    "inception_v3": 27_161_264 - (2048 * 1000 + 1000) - (768 * 128 + 2 * 128) - (128 * 768 * 25 + 2 * 768) - 769_000,
    "efficientnet_b0": 5_288_548 - (1280 * 1000 + 1000),
    "efficientnet_b4": 19_341_616 - (1792 * 1000 + 1000),
    "efficientnet_b5": 30_389_784 - (2048 * 1000 + 1000),
    "se_resnext50": 27_559_896 - (2048 * 1000 + 1000),  # 27.56 million
    "vit_b_16": 86_567_656 - (768 * 1000 + 1000),
}
SMALL = ("resnet18", "densenet121", "mobilenet_v3_large", "efficientnet_b0")
CELLS = {"inception_v3": (1, 1), "vit_b_16": (6, 6), "vgg16": (6, 6), "vgg19": (6, 6)}  # of the target, at 96 pixels


@pytest.fixture(scope="module", params=sorted(names.ENCODERS))
def named(request):
    """An encoder of each name, built once."""
    return request.param, names.resolve("encoder", request.param)().eval()


def test_parameters_are_the_published_ones_without_the_head(named):
    name, encoder = named
    if name not in PUBLISHED:
        pytest.skip("no published count")
    assert sum(weight.numel() for weight in encoder.parameters()) == PUBLISHED[name]


def test_features_and_the_target_layer_keep_the_contract_in_a_training_step(named):
    name, encoder = named
    seen = []
    hook = encoder.target_layer.register_forward_hook(lambda _, __, output: seen.append(output.shape))
    maps = encoder.features(torch.rand(2, 3, 96, 96))
    hook.remove()
    assert seen == [(2, encoder.channels, *CELLS.get(name, (3, 3)))]
    assert maps.shape == ((2, encoder.channels, 3, 3) if name.startswith("vgg") else seen[0])
    maps.square().mean().backward()
    gradients = {key: weight.grad for key, weight in encoder.named_parameters()}
    encoder.zero_grad(set_to_none=True)
    assert [key for key, gradient in gradients.items() if gradient is None] == []
    assert all(gradient.isfinite().all() for gradient in gradients.values())
    first = next(key for key, gradient in gradients.items() if gradient.ndim == 4)
    assert gradients[first].abs().max() > 0


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


def adopt(name, reference):
    """Our encoder with the reference's weights."""
    encoder = names.resolve("encoder", name)().eval()
    state = encoder.body.state_dict()
    encoder.body.load_state_dict({key: value for key, value in reference.state_dict().items() if key in state})
    return encoder


@pytest.mark.parametrize("name", SMALL)
def test_the_head_of_torchvision_on_our_features_gives_torchvisions_output(name):
    reference = getattr(models, name)(weights=None).eval()
    encoder = adopt(name, reference)
    images = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        pooled = encoder.features(images).mean((2, 3))
        head = reference.fc if name == "resnet18" else reference.classifier
        torch.testing.assert_close(head(pooled), reference(images), rtol=1e-4, atol=1e-5)


def test_inception_sees_what_its_published_weights_were_trained_on():
    """torchvision builds it with `transform_input` where it loads those weights."""
    reference = models.inception_v3(transform_input=True, aux_logits=False, init_weights=False).eval()
    encoder = adopt("inception_v3", reference)
    images = torch.randn(2, 3, 75, 75)
    with torch.no_grad():
        expected = reference(images)
        torch.testing.assert_close(reference.fc(encoder.features(images).mean((2, 3))), expected, rtol=1e-4, atol=1e-5)


def test_monais_head_on_our_features_gives_monais_output():
    reference = SEResNext50(spatial_dims=2, in_channels=3, num_classes=5).eval()
    encoder = adopt("se_resnext50", reference)
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        pooled = encoder.features(images).mean((2, 3))
        torch.testing.assert_close(reference.last_linear(pooled), reference(images), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("size", [224, 96])
def test_the_grid_is_torchvisions_patch_tokens_with_its_interpolated_positions(size):
    encoder = names.resolve("encoder", "vit_b_16")().eval()
    reference = models.vit_b_16(weights=None, image_size=size).eval()
    state = {**reference.state_dict(), **encoder.body.state_dict()}
    reference.load_state_dict(interpolate_embeddings(size, 16, state))
    tokens = {}
    hook = reference.encoder.register_forward_hook(lambda _, __, output: tokens.update(output=output))
    images = torch.randn(1, 3, size, size)
    with torch.no_grad():
        reference(images)
        found = encoder.features(images)
    hook.remove()
    side = size // 16
    expected = tokens["output"][0, 1:].view(side, side, 768)  # row by row
    torch.testing.assert_close(found[0], expected.permute(2, 0, 1), rtol=1e-4, atol=1e-5)


def test_a_transformer_takes_oblong_images_of_whole_patches_only():
    encoder = names.resolve("encoder", "vit_b_16")().eval()
    with torch.no_grad():
        assert encoder.features(torch.rand(1, 1, 32, 64)).shape == (1, 768, 2, 4)
    with pytest.raises(RescanError, match="images of 100 × 96 pixels are not made of whole patches of 16 × 16; resize"):
        encoder.features(torch.rand(1, 3, 100, 96))


def test_random_weights_follow_from_the_seed():
    states = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        states.append(names.resolve("encoder", "resnet18")().body.conv1.weight)
    assert torch.equal(states[0], states[1])
    assert not torch.equal(states[0], states[2])
