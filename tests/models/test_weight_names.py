"""Which weights in a file are an encoder's."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional
from torchvision import models

from rescan import catalogue
from rescan.catalogue.encoder_shapes import OF_SHAPES, network_of, shapes_key
from rescan.errors import RescanError
from rescan.models.weight_names import matched

EXPECTED = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 4, 3)).state_dict()
HEADS = {"fc.weight": torch.rand(2, 4), "classifier.1.bias": torch.rand(2)}


def state(prefix="", **changed):
    torch.manual_seed(0)
    own = {name: torch.rand(value.shape) for name, value in EXPECTED.items() if not name.endswith("tracked")}
    return {f"{prefix}{name}": value for name, value in {**own, **changed}.items() if value is not None}


@pytest.mark.parametrize("prefix", ["", "module.", "encoder.", "backbone.", "encoder.body.", "module.model."])
def test_all_names_may_stand_below_another(prefix):
    found, ignored = matched({**state(prefix), **{prefix + name: value for name, value in HEADS.items()}}, EXPECTED)
    assert ignored == [prefix + name for name in HEADS]
    for name, value in state().items():
        assert torch.equal(found[name], value)


def test_what_stands_elsewhere_is_not_the_encoders():
    decoder = {"decoder.0.weight": torch.rand(3), "neck.weight": torch.rand(1)}
    assert matched({**state("encoder."), **decoder}, EXPECTED)[1] == [*decoder]
    with pytest.raises(RescanError, match=r"has decoder\.0\.weight, which the encoder has not \(2 such\) \(8 of 8"):
        matched({**state(), **decoder}, EXPECTED)


def test_a_network_that_has_more_may_have_it_elsewhere_only():
    """As published, timm's have layers behind the maps; a deeper network has its own among the encoder's."""
    behind = {"norm_pre.weight": torch.rand(4), "conv_head.weight": torch.rand(4, 4, 1, 1), **HEADS}
    assert matched({**state(), **behind}, EXPECTED, has_more=True)[1] == [*behind]
    deeper = {"2.1.weight": torch.rand(3), "0.bias_of_another": torch.rand(4)}
    with pytest.raises(RescanError, match=r"^has 2\.1\.weight, which the encoder has not \(2 such\) \(8 of 8"):
        matched({**state(), **behind, **deeper}, EXPECTED, has_more=True)


def test_what_networks_compute_from_their_sizes_is_no_weight():
    computed = {"2.attn.relative_position_index": torch.zeros(9, 9), "2.attn_mask": torch.zeros(4, 9, 9)}
    assert matched({**state(), **computed}, EXPECTED, has_more=True)[1] == []


def test_all_must_fit_or_none():
    with pytest.raises(RescanError, match=r"^lacks 2\.bias \(7 of 8 weights fit\)$"):
        matched(state(**{"2.bias": None}), EXPECTED)
    with pytest.raises(RescanError, match=r"another shape of 2\.weight: \[4, 4, 1, 1\], not \[4, 4, 3, 3\] \(7 of 8"):
        matched(state(**{"2.weight": torch.rand(4, 4, 1, 1)}), EXPECTED)
    with pytest.raises(RescanError, match=r"^lacks 0\.weight \(0 of 8 weights fit\)$"):
        matched({}, EXPECTED)
    with pytest.raises(RescanError, match=r"holds several such networks, as student\. and teacher\.; keep one"):
        matched({**state("student."), **state("teacher.")}, EXPECTED)


def test_weights_of_a_quantized_network_are_refused():
    quantized = {"2.weight": (state()["2.weight"] * 50).to(torch.int8)}
    with pytest.raises(RescanError, match=r"^has whole numbers in 2\.weight, as of a quantized network; save it in"):
        matched(state(**quantized), EXPECTED)


def test_counts_of_batches_do_not_matter():
    counts = {name: value for name, value in EXPECTED.items() if name.endswith("tracked")}
    assert counts
    assert matched({**state(), **counts}, EXPECTED)[1] == []


@pytest.mark.parametrize(("own", "other"), [(3, 1), (1, 3)])
def test_a_first_layer_of_other_channels_maps_gray_images_as_before(own, other):
    torch.manual_seed(0)
    expected = nn.Conv2d(own, 4, 3).state_dict()
    given = nn.Conv2d(other, 4, 3).state_dict()
    found, _ = matched(given, expected)
    assert found["weight"].shape == expected["weight"].shape
    gray = torch.rand(2, 1, 8, 8)
    before, after = (
        functional.conv2d(gray.expand(-1, weights["weight"].shape[1], -1, -1), weights["weight"], weights["bias"])
        for weights in (given, found)
    )
    torch.testing.assert_close(before, after, rtol=1e-5, atol=1e-6)
    with pytest.raises(RescanError, match="another shape"):
        matched(nn.Conv2d(2, 4, 3).state_dict(), expected)


@pytest.mark.parametrize("encoder", [name for name, record in catalogue.ENCODERS.items() if not record.from_blocks])
def test_an_encoder_is_told_by_the_shapes_of_its_convolutions(encoder):
    with torch.device("meta") if hasattr(torch.device("meta"), "__enter__") else torch.no_grad():
        built = catalogue.resolve("encoder", encoder)()
    assert network_of(tuple(value.shape) for value in built.body.state_dict().values()) == encoder


def test_the_published_networks_are_told_too():
    for name, network in (("resnet34", models.resnet34()), ("densenet121", models.densenet121())):
        assert network_of(value.shape for value in network.state_dict().values()) == name
    assert network_of([(1, 2), (3,)]) is None
    assert shapes_key([(2, 1, 1), (1, 1, 1), (5,)]) == shapes_key([[1, 1, 1], [2, 1, 1]])
    assert len({*OF_SHAPES.values()}) == len(OF_SHAPES)
