"""The norms that stand in for batch norm."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from rescan import catalogue
from rescan.models.norms import InstanceNorm, group_norm, replace, set_momentum


@pytest.mark.parametrize("cells", [(5, 4), (3, 4, 5)])
def test_instance_norm_by_hand_in_training_and_after(cells):
    norm = InstanceNorm(3, eps=1e-3)
    nn.init.uniform_(norm.weight)
    nn.init.uniform_(norm.bias)
    maps = torch.randn(1, 3, *cells) * 4 + 2
    flat = maps.numpy().reshape(3, -1)
    expected = (flat - flat.mean(1, keepdims=True)) / np.sqrt(flat.var(1, keepdims=True) + 1e-3)
    expected = expected * norm.weight.detach().numpy()[:, None] + norm.bias.detach().numpy()[:, None]
    for layer in (norm.train(), norm.eval()):
        np.testing.assert_allclose(layer(maps).detach().numpy().reshape(3, -1), expected, atol=1e-5)
    assert norm(maps[:0]).shape == (0, 3, *cells)


@pytest.mark.parametrize(
    ("channels", "groups"), [(64, 32), (2048, 32), (32, 16), (8, 4), (16, 8), (24, 4), (80, 8), (3, 1)]
)
def test_groups_divide_the_channels_and_hold_two_or_more(channels, groups):
    norm = group_norm(channels)
    assert norm.num_groups == groups
    assert channels % groups == 0
    assert channels // groups >= 2


@pytest.mark.parametrize("norm", ["instance", "group"])
@pytest.mark.parametrize("name", ["cnn5", "resnet10_3d", "efficientnet_b0_3d", "densenet121"])
def test_replace_leaves_no_batch_norm_and_trains_on_a_batch_of_one(name, norm):
    torch.manual_seed(0)
    encoder = catalogue.resolve("encoder", name)()
    before = {key: value.shape for key, value in encoder.state_dict().items()}
    epsilons = [layer.eps for layer in encoder.modules() if isinstance(layer, nn.modules.batchnorm._BatchNorm)]
    replace(encoder, norm)
    assert not any(isinstance(layer, nn.modules.batchnorm._BatchNorm) for layer in encoder.modules())
    put = [layer for layer in encoder.modules() if isinstance(layer, (InstanceNorm, nn.GroupNorm))]
    assert [layer.eps for layer in put] == epsilons
    buffers = ("running_mean", "running_var", "num_batches_tracked")
    assert {key: value.shape for key, value in encoder.state_dict().items()} == {
        key: shape for key, shape in before.items() if not key.endswith(buffers)
    }
    image = torch.rand(1, 3, 64, 64) if encoder.dimensions == 2 else torch.rand(1, 1, 32, 64, 64)
    maps = encoder.train()(image)
    maps.square().mean().backward()
    assert all(weight.grad is not None and weight.grad.isfinite().all() for weight in encoder.parameters())
    if not name.startswith("efficientnet"):  # it drops connections at random in training
        with torch.no_grad():
            torch.testing.assert_close(encoder.eval()(image), maps.detach())


def test_replace_keeps_batch_norm_if_it_is_wanted():
    encoder = catalogue.resolve("encoder", "cnn5")()
    before = [id(layer) for layer in encoder.modules()]
    replace(encoder, "batch")
    assert [id(layer) for layer in encoder.modules()] == before


def test_momentum_is_the_share_of_a_new_batch():
    torch.manual_seed(0)
    maps = torch.rand(8, 3, 4, 4) + 1
    own = catalogue.resolve("encoder", "cnn5")()
    defaults = [layer.momentum for layer in own.modules() if isinstance(layer, nn.BatchNorm2d)]
    set_momentum(own, None)
    assert [layer.momentum for layer in own.modules() if isinstance(layer, nn.BatchNorm2d)] == defaults
    layer = nn.BatchNorm2d(3)
    assert set_momentum(nn.Sequential(layer), 0.25)
    layer.train()(maps)
    np.testing.assert_allclose(layer.running_mean.numpy(), 0.25 * maps.mean((0, 2, 3)).numpy(), rtol=1e-6)
    assert not set_momentum(nn.ReLU(), 0.25)
