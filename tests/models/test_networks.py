"""The network: its size, and what of it is trained."""

from __future__ import annotations

import pytest
import torch
from network_cases import RESNET18, SHAPES, count, header_of, recipe

from rescan import catalogue
from rescan.errors import RescanError
from rescan.models import networks
from rescan.models.model_files import load, save
from rescan.models.networks import build, set_trainable, set_training
from rescan.models.summary import summary
from rescan.study import FromBlock, Recipe

# Of the encoder's maps at these sizes, or at 96 pixels, where all others have 3 × 3.
CELLS = {
    "inception_v3": 1,
    "vit_b_16": 36,
    **dict.fromkeys(("resnet10_3d", "resnet18_3d", "resnet50_3d"), 2 * 2 * 2),
    **dict.fromkeys(("vgg16_3d", "efficientnet_b0_3d", "cnn5_3d"), 1 * 2 * 2),
    "inception_v3_3d": 1,
}


@pytest.mark.parametrize(
    ("encoder", "neck", "pooled"),
    [*((name, "flatten", CELLS.get(name, 9)) for name in sorted(catalogue.ENCODERS)), ("resnet18", "avg+max", 2)],
)
def test_heads_by_formula(encoder, neck, pooled):
    shape = SHAPES.get(encoder, (1 if catalogue.ENCODERS[encoder].from_blocks else 3, 96, 96))
    network = build(recipe(encoder, neck=neck, hidden=[20], dropout=0.5), 4, shape)
    features = network.encoder.channels * pooled
    assert count(network) - count(network.encoder) == features * 20 + 20 + 20 * 4 + 4
    network.eval()
    with torch.no_grad():
        outputs = network(torch.rand(1, *shape))
    assert list(outputs) == ["classification"]
    assert outputs["classification"].shape == (1, 4)
    assert network.target_layer is network.encoder.target_layer


def test_the_papers_vgg19_head_on_256_pixels_has_33_million_parameters():
    network = build(recipe("vgg19", neck="flatten", hidden=[1000]), 4, (3, 256, 256))
    assert network.hidden[0].in_features == 512 * 8 * 8
    assert count(network) - count(network.encoder) == 32_768_000 + 1000 + 4004


def test_dropout_follows_each_hidden_layer_and_is_left_out_at_zero():
    with_dropout = build(recipe(hidden=[8, 4], dropout=0.5), 2, (1, 64, 64)).hidden
    assert [type(layer).__name__ for layer in with_dropout] == ["Linear", "ReLU", "Dropout"] * 2
    assert [type(layer).__name__ for layer in build(recipe(hidden=[8]), 2, (1, 64, 64)).hidden] == ["Linear", "ReLU"]
    assert len(build(recipe(), 2, (1, 64, 64)).hidden) == 0


MULTI = {
    "neck": {"name": "avg+max", "batch_norm": True, "dropout": 0.5},
    "hidden": [30],
    "heads": {
        "classification": {},
        "regression": {"hidden": [8, 4], "dropout": 0.5, "limit": 4.5},
        "ordinal": {"hidden": [6]},
    },
}


def test_a_multi_task_network_by_formula():
    network = build(recipe(**MULTI), 5, (3, 64, 64))
    neck, shared = 2 * 1024, 1024 * 30 + 30
    regression, ordinal = (30 * 8 + 8) + (8 * 4 + 4) + (4 + 1), (30 * 6 + 6) + (6 * 4 + 4)
    assert count(network) == RESNET18 + neck + shared + (30 * 5 + 5) + regression + ordinal
    images = torch.rand(3, 3, 64, 64)
    network.eval()
    with torch.no_grad():
        vectors, outputs = network.vectors(images), network(images)
        assert vectors.shape == (3, 30)
        assert {name: output.shape[1] for name, output in outputs.items()} == {
            "classification": 5,
            "regression": 1,
            "ordinal": 4,
        }
        for name, output in outputs.items():
            assert torch.equal(network.heads[name](vectors), output)
    assert ((outputs["regression"] > 0) & (outputs["regression"] < 4.5)).all()


def test_the_file_and_the_summary_of_a_multi_task_network(tmp_path):
    described = recipe(**MULTI)
    network = build(described, 5, (3, 64, 64)).eval()
    save(tmp_path / "model.safetensors", network, header_of(described, classes="abcde"))
    again, _ = load(tmp_path / "model.safetensors")
    images = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        for name, output in network(images).items():
            torch.testing.assert_close(again(images)[name], output)
    listed = summary(network, (3, 64, 64))
    assert [(row.layer, row.type, row.output) for row in listed.layers[8:]] == [
        ("neck", "AvgMax", [1024]),
        ("hidden.0", "Linear", [30]),
        ("hidden.1", "ReLU", [30]),
        ("heads.classification.0", "Linear", [5]),
        ("heads.regression.0", "Linear", [8]),
        ("heads.regression.1", "ReLU", [8]),
        ("heads.regression.2", "Dropout", [8]),
        ("heads.regression.3", "Linear", [4]),
        ("heads.regression.4", "ReLU", [4]),
        ("heads.regression.5", "Dropout", [4]),
        ("heads.regression.6", "Linear", [1]),
        ("heads.regression.7", "Limit", [1]),
        ("heads.ordinal.0", "Linear", [6]),
        ("heads.ordinal.1", "ReLU", [6]),
        ("heads.ordinal.2", "Linear", [4]),
    ]
    assert listed.total == sum(row.parameters for row in listed.layers) == count(network)


def test_building_leaves_batch_norm_untouched_and_follows_the_seed():
    built = []
    for _ in range(2):
        torch.manual_seed(3)
        built.append(build(recipe(hidden=[5]), 2, (3, 64, 64)))
    assert built[0].training
    assert all(module.training for module in built[0].modules())
    assert built[0].encoder.body.bn1.num_batches_tracked == 0
    for first, second in zip(built[0].state_dict().values(), built[1].state_dict().values()):
        assert torch.equal(first, second)


def test_images_of_a_wrong_size_are_said_in_one_line():
    too_small = "preparation small: images of 16 × 16 pixels are too small for vgg19; make them 32 × 32 or more"
    with pytest.raises(RescanError, match=too_small):
        build(recipe("vgg19"), 2, (3, 16, 16))
    for name, edge in (("cnn5_3d", 32), ("inception_v3_3d", 80)):
        too_small = rf"volumes of 16 × 96 × 96 voxels are too small for {name}; make them {edge} × {edge} × {edge} or"
        with pytest.raises(RescanError, match=too_small):
            build(recipe(name), 2, (1, 16, 96, 96))
    with pytest.raises(
        RescanError, match="preparation small: vit_b_16: images of 100 × 100 pixels are not made of whole"
    ):
        build(recipe("vit_b_16"), 2, (3, 100, 100))


def test_inputs_of_another_dimension_are_said_in_one_line():
    with pytest.raises(RescanError, match=r"preparation small: cnn5_3d is for 3D inputs, not of shape \(1, 64, 64\)"):
        build(recipe("cnn5_3d"), 2, (1, 64, 64))
    with pytest.raises(RescanError, match="preparation small: resnet18 is for 2D inputs"):
        build(recipe("resnet18"), 2, (1, 64, 64, 64))


def one_by_one(described):
    """The same recipe with batches of one."""
    whole = described.model_dump()
    whole["stages"]["main"]["batch_size"] = 1
    return Recipe.model_validate(whole)


def encoder_of(described, shape):
    return networks.encoder_of(described.network, described.stages, described.preparation, shape)


def test_norms_that_would_see_one_value_are_said_in_one_line():
    small = (1, 16, 16, 16)  # one cell in the last residual blocks
    assert encoder_of(recipe("resnet10_3d"), small)
    assert encoder_of(one_by_one(recipe("resnet10_3d", norm="group")), small)
    assert encoder_of(one_by_one(recipe("resnet10_3d")), (1, 32, 32, 32))
    assert encoder_of(one_by_one(recipe("vgg16_3d")), (1, 32, 32, 32))  # it has one cell, and no norms
    erases = (
        "preparation small: resnet10_3d: {} norm erases maps of one cell.*; prepare larger inputs, or use norm: group"
    )
    with pytest.raises(RescanError, match=erases.format("batch")):
        build(one_by_one(recipe("resnet10_3d")), 2, small)
    with pytest.raises(RescanError, match=erases.format("instance")):
        build(recipe("resnet10_3d", norm="instance"), 2, small)
    normed = recipe("cnn5_3d", norm="group", neck={"name": "avg", "batch_norm": True})
    with pytest.raises(RescanError, match="neck: batch_norm needs a batch_size of 2 or more"):
        build(one_by_one(normed), 2, (1, 32, 32, 32))
    assert build(normed, 2, (1, 32, 32, 32))


def test_norm_and_checkpointing_are_the_recipes(tmp_path):
    described = recipe("resnet10_3d", norm="group", checkpointing=True)
    network = build(described, 2, (1, 32, 32, 32))
    assert not [key for key in network.state_dict() if "running" in key]
    computed = []
    network.encoder.body.layer1[0].conv1.register_forward_hook(lambda *_: computed.append(1))
    network(torch.rand(1, 1, 32, 32, 32))["classification"].sum().backward()
    assert len(computed) == 2
    save(tmp_path / "model.safetensors", network, header_of(described, shape=(1, 32, 32, 32), classes="ab"))
    again, header = load(tmp_path / "model.safetensors")
    assert header.input == [1, 32, 32, 32]
    volumes = torch.rand(2, 1, 32, 32, 32)
    with torch.no_grad():
        expected = network.eval()(volumes)["classification"]
        torch.testing.assert_close(again(volumes)["classification"], expected)


def momenta(module):
    return {layer.momentum for layer in module.modules() if isinstance(layer, torch.nn.modules.batchnorm._BatchNorm)}


def test_the_momentum_of_batch_norm_is_the_recipes():
    described = recipe("cnn5", norm_momentum=0.001, neck={"name": "avg", "batch_norm": True})
    network = build(described, 2, (1, 64, 64))
    assert momenta(network.encoder) == momenta(network.neck) == {0.001}
    assert momenta(build(recipe("cnn5"), 2, (1, 64, 64))) == {0.1}
    bare = described.network.model_copy(update={"encoder": "vgg16"})  # as of an encoder without a record of its own
    with pytest.raises(RescanError, match="network: vgg16 has no batch norm; leave norm_momentum out"):
        networks.encoder_of(bare, described.stages, "small", (3, 64, 64))


def trained(network):
    """The names of the weights that train, and of the modules in training mode that hold some or drop some out."""
    weights = {name for name, weight in network.named_parameters() if weight.requires_grad}
    modules = {name for name, module in network.named_modules() if module.training and not list(module.children())}
    return weights, modules


def test_what_a_stage_trains_is_all_or_what_lies_behind_a_block():
    network = build(recipe("resnet10_3d", hidden=[8], dropout=0.5), 2, (1, 32, 32, 32))
    everything = trained(network)
    behind = tuple(({name for name in kind if not name.startswith("encoder.")}) for kind in everything)
    fourth = tuple(({name for name in kind if name.startswith("encoder.body.layer3")}) for kind in everything)
    fifth = tuple(({name for name in kind if name.startswith("encoder.body.layer4")}) for kind in everything)
    assert all(fourth)
    assert all(fifth)
    expected = {
        "head": behind,
        FromBlock(from_block=5): tuple(a | b for a, b in zip(behind, fifth)),
        FromBlock(from_block=4): tuple(a | b | c for a, b, c in zip(behind, fifth, fourth)),
        FromBlock(from_block=1): everything,
        "all": everything,
    }
    for trainable, wanted in [*expected.items(), *reversed(expected.items())]:
        set_trainable(network, trainable)
        set_training(network, trainable)
        assert trained(network) == wanted


@pytest.mark.parametrize("checkpointing", [False, True])
def test_a_step_leaves_frozen_blocks_and_their_batch_norms_as_they_are(checkpointing):
    network = build(recipe("cnn5", checkpointing=checkpointing), 2, (1, 64, 64))
    before = {key: value.clone() for key, value in network.state_dict().items()}
    set_trainable(network, FromBlock(from_block=3))
    set_training(network, FromBlock(from_block=3))
    optimizer = torch.optim.SGD([weight for weight in network.parameters() if weight.requires_grad], lr=0.1)
    (network(torch.rand(2, 1, 64, 64))["classification"] ** 2).sum().backward()
    optimizer.step()
    changed = {key for key, value in network.state_dict().items() if not torch.equal(value, before[key])}
    frozen = {key for key in before if key.startswith(("encoder.body.block1.", "encoder.body.block2."))}
    biases = {f"encoder.body.block{number}.conv.bias" for number in (3, 4, 5)}  # batch norm takes them out again
    assert len(frozen) == 14
    assert not changed & frozen
    assert set(before) - changed - biases == frozen


def test_a_transformers_tokens_and_positions_train_with_all_of_it_only():
    network = build(recipe("vit_b_16"), 2, (3, 32, 32))
    beside = {"encoder.body.class_token", "encoder.body.encoder.pos_embedding"}
    for block, inside in ((1, True), (2, False)):
        set_trainable(network, FromBlock(from_block=block))
        weights, _ = trained(network)
        assert (beside <= weights) is inside
        assert (not beside & weights) is not inside
    assert not [name for name in weights if "conv_proj" in name]
    assert [name for name in weights if "encoder_layer_0" in name]


def test_a_block_that_is_not_there_is_said_before_the_training():
    described = recipe("resnet18").model_dump()
    described["stages"]["main"]["trainable"] = {"from_block": 6}
    wrong = "stages: main: trainable: from_block: 6, but the encoder has 5 blocks; .* none of them, use trainable: head"
    with pytest.raises(RescanError, match=wrong):
        build(Recipe.model_validate(described), 2, (3, 64, 64))
    described["stages"]["main"]["trainable"] = {"from_block": 5}
    assert build(Recipe.model_validate(described), 2, (3, 64, 64))
