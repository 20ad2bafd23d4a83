"""The network that is described by blocks: the handout's layers and parameters, residual blocks, gray images only."""

import pytest
import torch
from torch.nn import functional

from rescan.errors import RescanError
from rescan.models import networks
from rescan.models.radiograph_cnn import HANDOUT, Residual, radiograph_cnn
from rescan.models.summary import summary
from rescan.study import Block, EncoderSettings, Recipe, Settings
from rescan.study.file import load

STAGES = {"main": {"steps": 3, "optimizer": {"name": "sgd"}, "losses": {"binary": "binary_cross_entropy"}}}


def recipe(**network):
    network = {
        "encoder": "radiograph_cnn",
        "weights": "none",
        "neck": {"name": "flatten", "dropout": 0.5},
        "hidden": [2048],
        "dropout": 0.5,
        "heads": {"binary": {}},
        **network,
    }
    return Recipe.model_validate({"preparation": "x", "network": network, "stages": STAGES})


def test_the_handout_s_network_has_its_layers_and_parameters():
    network = networks.build(recipe(), 2, (1, 227, 227))
    assert sum(parameter.numel() for parameter in network.parameters()) == 28_557_697
    layers = summary(network, (1, 227, 227)).layers
    assert [(row.layer, row.output) for row in layers[:6]] == [
        ("block1", [64, 57, 57]),
        ("block2", [128, 14, 14]),
        ("block3", [256, 14, 14]),
        ("block4", [384, 14, 14]),
        ("block5", [256, 14, 14]),
        ("block6", [256, 7, 7]),
    ]
    assert [type(layer).__name__ for layer in network.neck.modules()][-1] == "Dropout"
    assert [type(layer).__name__ for layer in network.hidden] == ["Linear", "ReLU", "Dropout"]
    assert network(torch.rand(2, 1, 227, 227))["binary"].shape == (2, 1)


def test_the_study_s_baseline_is_that_network():
    study = load("studies/mura.yaml", Settings("full"))
    network = networks.build(study.arms["baseline"], 2, (1, 227, 227))
    assert sum(parameter.numel() for parameter in network.parameters()) == 28_557_697
    assert tuple(study.arms["baseline"].network.blocks) == HANDOUT


@pytest.mark.parametrize(
    ("inputs", "block"), [(5, Block(maps=5, residual=True)), (3, Block(maps=5, stride=2, kernel=5))]
)
def test_a_residual_block_is_the_formula(inputs, block):
    """ReLU(conv(ReLU(conv(X))) + X), X through a 1 × 1 convolution where its shape changes."""
    layer = Residual(inputs, block)
    maps = torch.randn(2, inputs, 9, 9)
    first = functional.conv2d(maps, layer.conv1.weight, layer.conv1.bias, block.stride, block.kernel // 2)
    second = functional.conv2d(first.clamp(min=0), layer.conv2.weight, layer.conv2.bias, 1, block.kernel // 2)
    same = inputs == block.maps and block.stride == 1
    shortcut = maps if same else functional.conv2d(maps, layer.shortcut.weight, layer.shortcut.bias, block.stride)
    torch.testing.assert_close(layer(maps), (second + shortcut).clamp(min=0))
    assert same == (len(list(layer.shortcut.parameters())) == 0)


def test_the_target_is_before_the_last_pooling_and_rgb_is_refused():
    encoder = radiograph_cnn([Block(maps=4), Block(maps=6, residual=True, pool=2)])
    seen = []
    layers = EncoderSettings(encoder="radiograph_cnn", blocks=[{"maps": 4}, {"maps": 6}]).layers
    assert list(layers) == ["block1", "block2"]
    assert encoder.body.get_submodule(layers["block2"]) is encoder.target_layer
    encoder.target_layer.register_forward_hook(lambda _, __, output: seen.append(output.shape))
    assert encoder.features(torch.rand(1, 1, 16, 16)).shape == (1, 6, 8, 8)
    assert seen == [(1, 6, 16, 16)]
    with pytest.raises(RescanError, match="takes gray images; add channels: gray"):
        networks.build(recipe(), 2, (3, 227, 227))
    with pytest.raises(ValueError, match="kernel must be odd"):
        Block(kernel=4, maps=3)
    with pytest.raises(ValueError, match="resnet18 has no blocks"):
        recipe(encoder="resnet18", blocks=[{"maps": 3}])
