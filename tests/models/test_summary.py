"""The layers of a network and their parameters."""

from __future__ import annotations

import json

import pytest
import torch
from network_cases import RESNET18, SHAPES, count, recipe

from rescan.models.networks import build
from rescan.models.summary import summary
from rescan.training.precision import place


def test_summary_lists_every_layer_once_and_changes_nothing(resnet18):
    resnet18.encoder.requires_grad_(False)
    resnet18.encoder.body.bn1.eval()
    try:
        before = json.dumps({key: value.sum().item() for key, value in resnet18.state_dict().items()})
        listed = summary(resnet18, (3, 64, 64))
        assert json.dumps({key: value.sum().item() for key, value in resnet18.state_dict().items()}) == before
        assert not resnet18.encoder.body.bn1.training
        assert resnet18.encoder.body.bn1 is not None
        assert resnet18.training
    finally:
        resnet18.encoder.requires_grad_(True)
        resnet18.train()
    layers = listed.layers
    assert [row.layer for row in layers] == [
        *("conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3", "layer4"),
        *("neck", "hidden.0", "hidden.1", "heads.classification.0"),
    ]
    first = {"layer": "conv1", "type": "Conv2d", "output": [64, 32, 32], "parameters": 9408, "trainable": 0}
    assert layers[0].model_dump() == first
    assert listed.total == sum(row.parameters for row in layers) == RESNET18 + 512 * 10 + 10 + 33
    assert listed.trainable == 512 * 10 + 10 + 33
    assert layers[-1].output == [3]


@pytest.mark.parametrize(
    ("encoder", "first"),
    [
        ("densenet169", "features.conv0"),
        ("mobilenet_v3_large", "features.0"),
        ("efficientnet_b0", "features.0"),
        ("inception_v3", "transform_input"),
        ("se_resnext50", "layer0"),
        ("vit_b_16", "tokens"),
        ("efficientnet_b0_3d", "stem"),
        ("inception_v3_3d", "conv_1a"),
    ],
)
def test_summary_leaves_no_parameter_out(encoder, first):
    shape = SHAPES.get(encoder, (1, 96, 96))
    network = build(recipe(encoder), 2, shape)
    listed = summary(network, shape)
    assert listed.layers[0].layer == first
    assert listed.total == sum(row.parameters for row in listed.layers) == count(network)
    assert len(listed.layers) > 5 or encoder == "vit_b_16"


def test_a_network_laid_out_as_in_training_is_summarized():
    """Channels last, in which torch 1.12 convolves no empty batch."""
    network = build(recipe("efficientnet_lite0"), 2, (1, 96, 96))
    before = summary(network, (1, 96, 96))
    place(network, torch.device("cpu"), dimensions=2)
    assert summary(network, (1, 96, 96)) == before
