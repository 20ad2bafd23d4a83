"""Autoencoders over the encoders' names."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors import safe_open
from sample_files import model_header
from torch import nn

from rescan import catalogue
from rescan.models.autoencoders import Autoencoder, doublings
from rescan.models.model_files import load_encoder_weights, save
from rescan.models.networks import build
from rescan.models.norms import InstanceNorm, replace
from rescan.study import Recipe

SHAPES = {2: (3, 96, 112), 3: (1, 90, 80, 85)}  # odd ones, and not of one length, but for transformers


@pytest.mark.parametrize("name", sorted(catalogue.ENCODERS))
def test_every_encoder_has_a_decoder_to_its_inputs_shape(name):
    encoder = catalogue.resolve("encoder", name)()
    shape = (encoder.inputs, *SHAPES[encoder.dimensions][1:])
    autoencoder = Autoencoder(encoder, shape)
    assert all(module.training for module in autoencoder.modules())
    with torch.no_grad():
        assert autoencoder.eval()(torch.empty(0, *shape)).shape == (0, *shape)
    widths = [layer.out_channels for layer in autoencoder.decoder if isinstance(layer, (nn.Conv2d, nn.Conv3d))]
    assert widths[0] == min(encoder.channels, 256)
    assert widths[-1] == shape[0]
    assert all(narrow == max(wide // 2, 16) for wide, narrow in zip(widths[:-1], widths[1:-1]))


@pytest.mark.parametrize(
    ("start", "end", "sizes"),
    [
        ((3, 3), (96, 96), [(6, 6), (12, 12), (24, 24), (48, 48), (96, 96)]),
        ((16, 6, 6), (256, 192, 192), [(32, 12, 12), (64, 24, 24), (128, 48, 48), (256, 96, 96), (256, 192, 192)]),
        ((2, 1), (5, 3), [(4, 2), (5, 3)]),
        ((4, 4), (4, 4), [(4, 4)]),
    ],
)
def test_doublings_end_at_the_inputs_size(start, end, sizes):
    assert doublings(start, end) == sizes


@pytest.mark.parametrize(
    ("name", "norm", "batch"), [("cnn5_3d", "instance", 1), ("resnet10_3d", "group", 1), ("cnn5", "batch", 3)]
)
def test_training_lowers_the_error(name, norm, batch):
    torch.manual_seed(0)
    encoder = catalogue.resolve("encoder", name)()
    replace(encoder, norm)
    shape = (1, *[64] * encoder.dimensions) if norm == "instance" else (1, *[32] * encoder.dimensions)
    autoencoder = Autoencoder(encoder, shape, norm=norm)
    kinds = {"batch": nn.modules.batchnorm._BatchNorm, "instance": InstanceNorm, "group": nn.GroupNorm}
    norms = [layer for layer in autoencoder.decoder if isinstance(layer, tuple(kinds.values()))]
    assert norms
    assert all(isinstance(layer, kinds[norm]) for layer in norms)
    images = torch.rand(batch, *shape)
    images = nn.functional.interpolate(images[(..., *[slice(4)] * encoder.dimensions)], size=shape[1:])
    optimizer = torch.optim.Adam(autoencoder.parameters(), lr=3e-3)
    errors = []
    for _ in range(12):
        optimizer.zero_grad()
        made = autoencoder(images)
        assert made.shape == images.shape
        error = nn.functional.mse_loss(made, images)
        error.backward()
        optimizer.step()
        errors.append(error.item())
    assert all(weight.grad is not None for weight in autoencoder.parameters())
    assert errors[-1] < 0.5 * errors[0]


@pytest.mark.parametrize(("encoder", "norm"), [("cnn5_3d", "group"), ("resnet18", "batch")])
def test_a_saved_encoder_starts_an_arms_network(tmp_path, encoder, norm):
    described = {
        "preparation": "small",
        "network": {"encoder": encoder, "weights": "none", "norm": norm},
        "stages": {"main": {"epochs": 1, "optimizer": "adam"}},
    }
    shape = (1, 32, 32, 32) if encoder.endswith("3d") else (1, 32, 32)
    pretrained, network = (build(Recipe.model_validate(described), 2, shape) for _ in range(2))
    header = model_header(Recipe.model_validate(described), "ab", shape)
    save(tmp_path / "encoder.safetensors", pretrained.encoder.body, header)
    with safe_open(str(tmp_path / "encoder.safetensors"), "pt") as stored:
        written = json.loads(stored.metadata()["rescan"])
    assert len(written.pop("checksum")) == 32
    assert written == header.model_dump(mode="json")
    image = torch.rand(1, *shape)
    with torch.no_grad():
        wanted = pretrained.eval().encoder(image)
        assert not torch.equal(network.eval().encoder(image), wanted)
        load_encoder_weights(network, tmp_path / "encoder.safetensors")
        torch.testing.assert_close(network.encoder(image), wanted)
