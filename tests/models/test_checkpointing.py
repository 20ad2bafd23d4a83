"""Activation checkpointing: the same numbers, with less memory."""

from __future__ import annotations

import copy
import weakref

import pytest
import torch
from torch import nn

from rescan import catalogue
from rescan.explanation.cam import gradcam
from rescan.models.checkpointing import Chain, checkpoint_blocks, segments
from rescan.models.networks import Network

INPUTS = {
    **dict.fromkeys(("resnet18", "densenet121", "mobilenet_v3_large", "efficientnet_b0", "vgg16"), (2, 3, 64, 64)),
    "vit_b_16": (2, 3, 32, 32),
    "inception_v3": (2, 3, 107, 107),  # batch norm needs more than one cell
    **dict.fromkeys(("resnet10_3d", "efficientnet_b0_3d", "cnn5_3d"), (2, 1, 32, 32, 64)),
}


def step(encoder, images):
    """One training step's output, gradients, and what was drawn at random after it; the state has changed."""
    torch.manual_seed(5)
    encoder.zero_grad(set_to_none=True)
    maps = encoder(images)
    (maps.float() ** 2).mean().backward()
    return maps.detach(), [weight.grad for weight in encoder.parameters()], torch.rand(3)


def twins(name):
    """An encoder, and its copy with checkpointing."""
    torch.manual_seed(0)
    plain = catalogue.resolve("encoder", name)().train()
    saving = copy.deepcopy(plain)
    checkpoint_blocks(saving)
    return plain, saving


@pytest.mark.parametrize("name", sorted(INPUTS))
def test_outputs_gradients_statistics_and_randomness_are_those_without(name):
    plain, saving = twins(name)
    images = torch.randn(*INPUTS[name])
    for _ in range(2):
        expected, found = step(plain, images), step(saving, images)
        for one, other in zip(expected, found):
            torch.testing.assert_close(other, one, rtol=1e-6, atol=1e-6)
    assert list(plain.state_dict()) == list(saving.state_dict())
    for key, value in plain.state_dict().items():
        torch.testing.assert_close(saving.state_dict()[key], value, rtol=1e-6, atol=1e-6, msg=key)
    counts = [value for key, value in saving.state_dict().items() if key.endswith("num_batches_tracked")]
    assert all(value == 2 for value in counts)


def test_activations_are_computed_again_and_not_kept():
    plain, saving = twins("resnet10_3d")
    images = torch.randn(2, 1, 32, 32, 32)
    kept = {}
    for which, encoder in (("plain", plain), ("saving", saving)):
        calls, held = [], []
        layer = encoder.body.layer2[0].conv1
        layer.register_forward_hook(lambda _, __, output, calls=calls: calls.append(output.shape))
        encoder.body.layer2[0].bn2.register_forward_pre_hook(
            lambda _, inputs, held=held: held.append(weakref.ref(inputs[0]))
        )
        maps = encoder(images)
        kept[which] = held[0]() is not None
        assert len(calls) == 1
        maps.mean().backward()
        assert len(calls) == (1 if which == "plain" else 2)
    assert kept == {"plain": True, "saving": False}


def saved_bytes(encoder, images):
    """Bytes of all that the forward pass keeps for the backward pass, each storage once; weights left out."""
    weights = {weight.data_ptr() for weight in encoder.parameters()}
    seen = {}

    def pack(tensor):
        if tensor.data_ptr() not in weights:
            seen[tensor.data_ptr()] = max(seen.get(tensor.data_ptr(), 0), tensor.numel() * tensor.element_size())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        encoder(images)
    return sum(seen.values())


def test_a_segment_of_a_3d_resnet_keeps_far_less_than_the_whole():
    encoder = catalogue.resolve("encoder", "resnet50_3d")().train()
    image = torch.randn(1, 1, 32, 64, 64)
    whole = saved_bytes(encoder, image)
    parts, entering = [], 0
    maps = image
    for segment in segments(encoder.body):
        part = nn.Sequential(*segment)
        parts.append(saved_bytes(part, maps))
        entering += maps.numel() * 4
        maps = part(maps).detach()
    assert max(parts) + entering < 0.5 * whole


@pytest.mark.parametrize("name", ["resnet18", "vit_b_16"])
def test_autocast_is_the_forward_passes(name):
    plain, saving = twins(name)
    images = torch.randn(2, 3, 64, 64)
    found = []
    for encoder in (plain, saving):
        encoder.zero_grad(set_to_none=True)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            maps = encoder(images)
        maps.float().square().mean().backward()
        found.append([weight.grad for weight in encoder.parameters()])
    for one, other in zip(*found):
        torch.testing.assert_close(other, one)


def test_eval_mode_and_frozen_layers_compute_once_and_hooks_see_containers():
    _, saving = twins("resnet18")
    seen = []
    saving.target_layer.register_forward_hook(lambda _, __, output: seen.append(output))
    calls = []
    saving.body.conv1.register_forward_hook(lambda *_: calls.append(1))
    images = torch.randn(2, 3, 64, 64)
    saving.eval()
    maps = saving(images)
    assert seen[0] is maps
    maps.mean().backward()
    saving.body.layer4.train()  # as where the encoder is trained from its last block on
    saving(images).mean().backward()
    assert len(calls) == 2


def test_gradcam_maps_are_those_without():
    maps = []
    for encoder in twins("resnet10_3d"):
        torch.manual_seed(1)
        head = nn.Linear(512, 3)
        nn.init.uniform_(head.weight)  # all evidence is positive
        network = Network(
            encoder, catalogue.resolve("neck", "avg")(512, 1, 1, 1), nn.Identity(), {"classification": head}
        )
        volumes = torch.randn(2, 1, 32, 32, 48)
        maps.append(gradcam(network.eval(), volumes, torch.tensor([0, 2]))[0])
    assert maps[0].amax() > 0
    torch.testing.assert_close(maps[1], maps[0])


def test_segments_are_runs_up_to_a_pooling_and_layers_with_a_structure():
    inner = nn.ModuleDict({"a": nn.Conv2d(2, 2, 1)})
    chain = Chain(
        nn.Sequential(nn.Conv2d(2, 2, 1), nn.ReLU()),
        nn.BatchNorm2d(2),
        nn.MaxPool2d(2),
        nn.Sequential(nn.Conv2d(2, 2, 1)),
        inner,
        nn.ReLU(),
    )
    assert [[type(layer).__name__ for layer in segment] for segment in segments(chain)] == [
        ["Conv2d", "ReLU", "BatchNorm2d", "MaxPool2d"],
        ["Conv2d"],
        ["ModuleDict"],
        ["ReLU"],
    ]
