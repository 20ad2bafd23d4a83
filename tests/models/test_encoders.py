"""The encoders: torchvision's layers and numbers, without the head."""

from __future__ import annotations

import math

import pytest
import torch
from monai.networks.nets.senet import SEResNext50
from torch import nn
from torchvision import models
from torchvision.models.resnet import BasicBlock
from torchvision.models.vision_transformer import interpolate_embeddings

from rescan import catalogue
from rescan.errors import RescanError
from rescan.models.checkpointing import Chain, segments

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
    "efficientnet_lite0": 4_652_008 - (1280 * 1000 + 1000),
    "efficientnet_b0": 5_288_548 - (1280 * 1000 + 1000),
    "efficientnet_b4": 19_341_616 - (1792 * 1000 + 1000),
    "efficientnet_b5": 30_389_784 - (2048 * 1000 + 1000),
    "se_resnext50": 27_559_896 - (2048 * 1000 + 1000),  # 27.56 million
    "vit_b_16": 86_567_656 - (768 * 1000 + 1000),
}
# Those in 3D and the five-block network, by hand: pairs of channels, times the kernel, and biases and batch norms.
CNN5 = [(1, 8), (8, 16), (16, 32), (32, 64), (64, 128)]
VGG = [(64, 64), (64, 128), (128, 128), (128, 256), *[(256, 256)] * 2, (256, 512), *[(512, 512)] * 5]
PUBLISHED |= {
    "vgg16_3d": sum(a * b * 27 + b for a, b in [(1, 64), *VGG]),
    "cnn5_3d": sum(a * b * 27 + b + 2 * b for a, b in CNN5),
    "cnn5": sum(a * b * 9 + b + 2 * b for a, b in [(3, 8), *CNN5[1:]]),
    "radiograph_cnn": 28_557_697 - (256 * 7 * 7 * 2048 + 2048) - 2049,
}
SMALL = ("resnet18", "densenet121", "mobilenet_v3_large", "efficientnet_b0")
INPUTS = {"inception_v3_3d": (1, 75, 75, 75)}  # the smallest that it takes …
VOLUME, IMAGE = (1, 32, 32, 64), (3, 96, 96)  # … and what others are given
INPUTS["radiograph_cnn"] = (1, 96, 96)
CELLS = {  # of the target then, where it is not a 32nd of the size
    "inception_v3": (1, 1),
    "inception_v3_3d": (1, 1, 1),
    "vit_b_16": (6, 6),
    **dict.fromkeys(("vgg16", "vgg19", "cnn5", "radiograph_cnn"), (6, 6)),
    **dict.fromkeys(("vgg16_3d", "cnn5_3d"), (2, 2, 4)),
    **dict.fromkeys(("resnet10_3d", "resnet18_3d", "resnet50_3d"), (2, 1, 2)),  # the first convolution keeps the depth
}


@pytest.fixture(scope="module", params=sorted(catalogue.ENCODERS))
def named(request):
    """An encoder of each name, built once."""
    return request.param, catalogue.resolve("encoder", request.param)().eval()


def test_parameters_are_the_published_ones_without_the_head(named):
    name, encoder = named
    if name not in PUBLISHED:
        pytest.skip("no published count")
    assert sum(weight.numel() for weight in encoder.parameters()) == PUBLISHED[name]


def test_records_say_which_encoders_have_batch_norm(named):
    name, encoder = named
    found = any(isinstance(layer, torch.nn.modules.batchnorm._BatchNorm) for layer in encoder.modules())
    assert catalogue.ENCODERS[name].batch_norm == found


def test_features_and_the_target_layer_keep_the_contract_in_a_training_step(named):
    name, encoder = named
    seen = []
    shape = INPUTS.get(name, IMAGE if encoder.dimensions == 2 else VOLUME)
    hook = encoder.target_layer.register_forward_hook(lambda _, __, output: seen.append(output.shape))
    maps = encoder.features(torch.rand(2, *shape))
    hook.remove()
    cells = tuple(size // 32 for size in shape[1:])
    assert seen == [(2, encoder.channels, *CELLS.get(name, cells))]
    assert maps.shape == ((2, encoder.channels, *cells) if name.startswith(("vgg", "cnn5", "radiograph")) else seen[0])
    assert encoder.cells(shape) == maps.shape[2:]
    maps.square().mean().backward()
    gradients = {key: weight.grad for key, weight in encoder.named_parameters()}
    encoder.zero_grad(set_to_none=True)
    assert [key for key, gradient in gradients.items() if gradient is None] == []
    assert all(gradient.isfinite().all() for gradient in gradients.values())
    first = next(key for key, gradient in gradients.items() if gradient.ndim >= 4)
    assert gradients[first].abs().max() > 0


def test_the_blocks_of_the_catalogue_are_there_from_the_finest_maps_to_the_target(named):
    name, encoder = named
    modules = [encoder.body.get_submodule(path) for path in catalogue.ENCODERS[name].layers.values()]
    seen = []
    hooks = [module.register_forward_hook(lambda _, __, output: seen.append(output.shape)) for module in modules]
    with torch.no_grad():
        encoder.features(torch.empty(0, *INPUTS.get(name, IMAGE if encoder.dimensions == 2 else VOLUME)))
    for hook in hooks:
        hook.remove()
    assert modules[-1] is encoder.target_layer
    assert len(seen) == len(modules)  # in the order of the forward pass
    cells = [math.prod(shape[2:]) for shape in seen]
    assert cells == sorted(cells, reverse=True)
    assert len(set(cells)) == len(cells) or name == "radiograph_cnn"  # whose blocks are the study's


def test_the_state_has_every_weight_once(named):
    _, encoder = named
    assert not [key for key in encoder.state_dict() if "target" in key]


BLOCKS = {
    "radiograph_cnn": 6,
    **{f"resnet{depth}": 5 for depth in (18, 34, 50, 101, 152)},  # the stem, and four stages of residual blocks
    **{f"resnet{depth}_3d": 5 for depth in (10, 18, 50)},
    "se_resnext50": 5,
    **dict.fromkeys(("vgg16", "vgg16_3d"), 13),
    "vgg19": 16,
    **dict.fromkeys(("densenet121", "densenet169"), 8),  # the stem, four dense blocks, three transitions
    **dict.fromkeys(("inception_v3", "inception_v3_3d"), 16),
    **{f"efficientnet_{size}": 9 for size in ("b0", "b4", "b5", "b0_3d")},
    "efficientnet_lite0": 18,  # the stem, sixteen blocks, the last convolution
    "mobilenet_v3_large": 17,
    **dict.fromkeys(("cnn5", "cnn5_3d"), 5),
    "vit_b_16": 13,  # the patches, twelve layers
}


def test_blocks_hold_each_weight_once(named):
    name, encoder = named
    assert encoder.dimensions == (3 if catalogue.ENCODERS[name].dimensions == 3 else 2)
    assert len(encoder.blocks) == BLOCKS[name]
    assert all(any(list(layer.parameters()) for layer in block) for block in encoder.blocks)
    held = [id(weight) for block in encoder.blocks for layer in block for weight in layer.parameters()]
    assert len(held) == len(set(held))
    beside = [key for key, weight in encoder.named_parameters() if id(weight) not in held]
    assert beside == (["body.class_token", "body.encoder.pos_embedding"] if name == "vit_b_16" else [])


def test_what_checkpointing_cuts_begins_with_no_layer_that_works_in_place(named):
    _, encoder = named
    for module in encoder.modules():
        if isinstance(module, Chain):
            cut = segments(module)
            assert [weight for part in cut for layer in part for weight in layer.parameters()] == list(
                module.parameters()
            )
            first = [next(layer for layer in part[0].modules() if not list(layer.children())) for part in cut]
            assert not any(getattr(layer, "inplace", False) for layer in first)


def cubed(network):
    """The number of weights of a 2D network but its head, if its square kernels were cubes and it took one channel."""
    total = 0
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            height, width = layer.kernel_size
            size = layer.weight.numel() * (height if height == width else 1)
            total += size // 3 if layer.in_channels == 3 else size
            total += 0 if layer.bias is None else layer.bias.numel()
        elif isinstance(layer, nn.BatchNorm2d):
            total += 2 * layer.num_features
    return total


def inception_splits():
    """The weights that a third axis adds to InceptionV3: a convolution more a pair of 1 × 7 and 7 × 1, and its norm."""
    pairs = [128] * 3 + [160] * 6 + [192] * 4
    return sum(channels * channels * 7 + 2 * channels for channels in pairs)


@pytest.mark.parametrize(
    ("name", "network", "more"),
    [
        ("resnet10_3d", lambda: models.ResNet(BasicBlock, [1, 1, 1, 1]), 0),
        ("resnet18_3d", lambda: models.resnet18(weights=None), 0),
        ("resnet50_3d", lambda: models.resnet50(weights=None), 0),
        ("vgg16_3d", lambda: models.vgg16(weights=None).features, 0),
        ("efficientnet_b0_3d", lambda: models.efficientnet_b0(weights=None), 0),
        (
            "inception_v3_3d",
            lambda: models.inception_v3(weights=None, aux_logits=False, init_weights=False),
            inception_splits(),
        ),
    ],
)
def test_a_network_carried_to_3d_has_the_2d_ones_weights_with_cubes_for_squares(name, network, more):
    encoder = catalogue.resolve("encoder", name)()
    assert sum(weight.numel() for weight in encoder.parameters()) == cubed(network()) + more


@pytest.mark.parametrize(
    ("name", "flat", "size"), [("inception_v3_3d", "inception_v3", 107), ("vgg16_3d", "vgg16", 64)]
)
def test_a_network_carried_to_3d_has_the_2d_ones_maps_layer_by_layer(name, flat, size):
    def shapes(encoder):
        seen = []
        for _, layer in encoder.layers():
            layer.register_forward_hook(lambda _, __, output: seen.append(tuple(output.shape)))
        encoder.cells((1, *[size] * encoder.dimensions))
        return seen

    deep, wide = (shapes(catalogue.resolve("encoder", each)()) for each in (name, flat))
    wide = wide[-len(deep) :]  # the 2D InceptionV3 begins with an input transform
    assert deep == [(*shape, shape[-1]) for shape in wide]


def test_a_first_convolution_of_a_3d_resnet_keeps_the_depth():
    encoder = catalogue.resolve("encoder", "resnet10_3d")()
    first = dict(encoder.layers())["conv1"]
    assert (first.kernel_size, first.stride, first.in_channels) == ((7, 7, 7), (1, 2, 2), 1)
    assert encoder.cells((1, 256, 192, 192)) == (16, 6, 6)


@pytest.mark.parametrize("name", ["vgg16_3d", "inception_v3_3d"])
def test_random_weights_keep_the_size_of_the_signal(name):
    encoder = catalogue.resolve("encoder", name)()
    for layer in encoder.modules():
        if isinstance(layer, nn.Conv3d) and layer.weight.numel() > 10_000:
            fan_out = layer.out_channels * math.prod(layer.kernel_size)
            assert layer.weight.std().item() == pytest.approx((2 / fan_out) ** 0.5, rel=0.1)
            assert layer.bias is None or not layer.bias.any()


@pytest.mark.parametrize("name", SMALL)
def test_one_channel_equals_a_first_convolution_summed_over_its_channels(name):
    encoder = catalogue.resolve("encoder", name)().eval()
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
    encoder = catalogue.resolve("encoder", name)().eval()
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
    encoder = catalogue.resolve("encoder", "vit_b_16")().eval()
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
    encoder = catalogue.resolve("encoder", "vit_b_16")().eval()
    with torch.no_grad():
        assert encoder.features(torch.rand(1, 1, 32, 64)).shape == (1, 768, 2, 4)
    with pytest.raises(RescanError, match="images of 100 × 96 pixels are not made of whole patches of 16 × 16; resize"):
        encoder.features(torch.rand(1, 3, 100, 96))


def test_random_weights_follow_from_the_seed():
    states = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        states.append(catalogue.resolve("encoder", "resnet18")().body.conv1.weight)
    assert torch.equal(states[0], states[1])
    assert not torch.equal(states[0], states[2])
