"""The necks, over their names."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from rescan import catalogue
from rescan.errors import RescanError

MAPS = torch.tensor([[[[1.0, 2.0, 3.0], [4.0, 5.0, 9.0]], [[-1.0, -2.0, 0.0], [1.0, 2.0, -6.0]]]])  # (1, 2, 2, 3)
EXPECTED = {
    "avg": [4.0, -1.0],
    "max": [9.0, 2.0],
    "avg+max": [4.0, -1.0, 9.0, 2.0],
    "flatten": [1.0, 2.0, 3.0, 4.0, 5.0, 9.0, -1.0, -2.0, 0.0, 1.0, 2.0, -6.0],
}


@pytest.mark.parametrize("name", sorted(catalogue.NECKS))
def test_out_features_is_what_comes_out(name):
    neck = catalogue.resolve("neck", name)(5, 4, 3)
    assert neck(torch.rand(2, 5, 4, 3)).shape == (2, neck.out_features)


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_values_by_hand(name):
    np.testing.assert_allclose(catalogue.resolve("neck", name)(2, 2, 3)(MAPS)[0].numpy(), EXPECTED[name], atol=1e-6)


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_values_of_volumes_are_those_of_their_cells_in_a_row(name):
    volumes = torch.randn(2, 4, 2, 3, 5)
    flat = volumes.flatten(2)[..., None]
    found, expected = catalogue.resolve("neck", name)(4, 2, 3, 5), catalogue.resolve("neck", name)(4, 30, 1)
    assert found.out_features == expected.out_features
    torch.testing.assert_close(found(volumes), expected(flat))


@pytest.mark.parametrize("name", sorted(catalogue.NECKS))
def test_the_options_are_those_of_the_table_and_cost_nothing_unless_wanted(name):
    neck = catalogue.resolve("neck", name)(2, 2, 3, **catalogue.NECKS[name].defaults)
    assert neck.state_dict() == {}
    torch.manual_seed(0)
    before = torch.random.get_rng_state()
    neck.train()(MAPS)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_each_pooled_vector_has_a_batch_norm_of_its_own():
    torch.manual_seed(0)
    neck = catalogue.resolve("neck", "avg+max")(5, 4, 3, batch_norm=True)
    assert sorted(neck.state_dict()) == sorted(
        f"norms.{number}.{name}" for number in (0, 1) for name in nn.BatchNorm1d(5).state_dict()
    )
    maps = torch.randn(8, 5, 4, 3)
    found = neck(maps).detach().numpy()
    for pooled, half in ((maps.numpy().mean((2, 3)), found[:, :5]), (maps.numpy().max((2, 3)), found[:, 5:])):
        np.testing.assert_allclose(half, (pooled - pooled.mean(0)) / np.sqrt(pooled.var(0) + 1e-5), atol=1e-5)
    assert catalogue.resolve("neck", "flatten")(5, 4, 3, batch_norm=True).norms[0].num_features == 60


def test_dropout_comes_last_and_only_in_training():
    torch.manual_seed(0)
    neck = catalogue.resolve("neck", "avg+max")(500, 2, 2, dropout=0.25)
    maps = torch.rand(4, 500, 2, 2)
    plain = catalogue.resolve("neck", "avg+max")(500, 2, 2)(maps)
    assert torch.equal(neck.eval()(maps), plain)
    dropped = neck.train()(maps)
    kept = dropped != 0
    assert 0.7 < kept.float().mean() < 0.8
    torch.testing.assert_close(dropped[kept], plain[kept] / 0.75)
    with pytest.raises(RescanError, match="network: neck: dropout must be below 1, but is 1"):
        catalogue.resolve("neck", "avg")(2, 2, 2, dropout=1.0)
