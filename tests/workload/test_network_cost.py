"""What networks cost, against counts by hooks on the networks themselves."""

import logging
import math
from dataclasses import replace
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

from rescan import catalogue  # noqa: E402
from rescan.catalogue.encoders import Cost  # noqa: E402
from rescan.models import networks  # noqa: E402
from rescan.models.autoencoders import Autoencoder as AutoencoderNetwork  # noqa: E402
from rescan.study import Autoencoder, Block, EncoderSettings, Network, Settings  # noqa: E402
from rescan.study.file import load  # noqa: E402
from rescan.workload.network_cost import of_arm, of_autoencoder, of_encoder  # noqa: E402

ROOT = Path(__file__).parent.parent.parent


def counted(network: nn.Module, shape: tuple[int, ...]) -> tuple[float, float, float, int]:
    """Parameters, multiply-adds and numbers kept for the backward pass per image, and layers."""
    multiply_adds, layers, kept = 0, 0, {}
    own = {parameter.data_ptr() for parameter in network.parameters()}

    def add(layer: nn.Module, _: object, output: torch.Tensor) -> None:
        nonlocal multiply_adds, layers
        layers += 1
        if isinstance(layer, (nn.Conv2d, nn.Conv3d)):
            multiply_adds += layer.weight.numel() * math.prod(output.shape[2:])
        elif isinstance(layer, nn.Linear):
            multiply_adds += layer.weight.numel() * math.prod(output.shape[1:-1])

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.data_ptr() not in own:
            kept[tensor.data_ptr()] = (tensor, tensor.numel() * tensor.element_size() / 4)
        return tensor

    for layer in network.modules():
        if not list(layer.children()):
            layer.register_forward_hook(add)
    network.train()
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        network(torch.zeros(1, *shape))
    parameters = sum(parameter.numel() for parameter in network.parameters())
    return parameters, multiply_adds, sum(size for _, size in kept.values()), layers


# One of each family; the others' costs were counted in the same way.
@pytest.mark.parametrize("name", ["resnet18", "densenet121", "mobilenet_v3_large", "radiograph_cnn", "cnn5_3d", "cnn5"])
def test_the_costs_of_the_catalogue_are_those_of_the_networks(name):
    record = catalogue.ENCODERS[name]
    shape = (224, 224) if record.dimensions == 2 else (96, 96, 96)
    encoder = record.implementation()
    parameters, multiply_adds, kept, layers = counted(encoder, (encoder.inputs, *shape))
    cost = of_encoder(EncoderSettings(encoder=name), shape)
    assert cost.parameters == pytest.approx(parameters, rel=0.01)
    assert cost.multiply_adds == pytest.approx(multiply_adds, rel=0.01)
    assert cost.kept == pytest.approx(kept, rel=0.02)
    assert cost.layers == layers
    assert cost.maps == encoder.channels
    assert cost.cells == math.prod(encoder.cells((encoder.inputs, *shape)))


def test_every_encoder_has_a_cost():
    costs = {name: record.cost for name, record in catalogue.ENCODERS.items()}
    assert [name for name, cost in costs.items() if min(cost.parameters, cost.multiply_adds, cost.kept) <= 0] == []


@pytest.mark.parametrize("residual", [False, True])
def test_the_costs_of_blocks_are_counted_from_them(residual):
    blocks = [Block(kernel=7, maps=8, stride=2, pool=2), Block(maps=16, residual=residual, pool=2)]
    encoder = catalogue.resolve("encoder", "radiograph_cnn")(blocks)
    parameters, multiply_adds, kept, _ = counted(encoder, (1, 64, 64))
    cost = of_encoder(EncoderSettings(encoder="radiograph_cnn", blocks=blocks), (64, 64))
    assert (cost.parameters, cost.multiply_adds) == (parameters, multiply_adds)
    assert cost.kept == pytest.approx(kept, rel=0.25)
    assert cost.cells == math.prod(encoder.cells((1, 64, 64)))


def test_an_arms_network_costs_its_encoder_and_its_heads():
    recipe = load(ROOT / "studies/aptos2019.yaml", Settings("demo")).arms["multitask"]
    network = networks.build(recipe, 5, (3, 64, 64))
    cost = of_arm(recipe.network, 5, (64, 64))
    whole = sum(parameter.numel() for parameter in network.parameters())
    encoder = sum(parameter.numel() for parameter in network.encoder.parameters())
    assert cost.parameters == pytest.approx(whole, rel=0.01)
    assert cost.behind == pytest.approx(whole - encoder, rel=0.01)


def test_checkpointing_holds_less_and_computes_more():
    plain, twice = (
        of_arm(Network(encoder="resnet18_3d", weights="none", checkpointing=checkpointing), 2, (96, 96, 96))
        for checkpointing in (False, True)
    )
    assert twice.held < plain.held
    assert twice.passes == plain.passes + 1


def test_an_autoencoder_costs_its_encoder_and_a_decoder():
    settings = Autoencoder(preparation="any", encoder="cnn5_3d", batch_size=2)
    network = AutoencoderNetwork(catalogue.resolve("encoder", "cnn5_3d")(), (1, 64, 64, 64))
    parameters, multiply_adds, kept, _ = counted(network, (1, 64, 64, 64))
    cost = of_autoencoder(settings, 1, (64, 64, 64))
    assert cost.parameters == pytest.approx(parameters, rel=0.05)
    assert cost.multiply_adds == pytest.approx(multiply_adds, rel=0.1)
    assert cost.kept == pytest.approx(kept, rel=0.4)


def test_a_network_of_timm_costs_what_the_table_says_at_any_size():
    cost = of_encoder(EncoderSettings(encoder="timm/convnext_tiny"), (112, 112))
    assert cost.parameters == pytest.approx(27.8e6, rel=0.01)
    assert cost.multiply_adds == pytest.approx(4.47e9 / 4, rel=0.02)  # as Liu et al. (2022) say
    assert (cost.maps, cost.cells) == (768, 12)


def test_an_unknown_cost_is_said_once_and_taken_as_large(monkeypatch, caplog):
    unknown = replace(catalogue.ENCODERS["timm/resnet18"], cost=Cost(0, 0, 0, 0, 0, 0))
    monkeypatch.setitem(catalogue.ENCODERS, "timm/of_tomorrow", unknown)
    monkeypatch.setattr(logging.getLogger("rescan"), "propagate", True)
    for _ in range(2):
        cost = of_encoder(EncoderSettings(encoder="timm/of_tomorrow"), (224, 224))
    assert cost.parameters > 3e8
    assert [record.getMessage() for record in caplog.records] == [
        "timm/of_tomorrow: its cost is not known; memory and time are estimated as for ViT-L/16, a large network"
    ]
