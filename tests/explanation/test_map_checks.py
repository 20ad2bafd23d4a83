"""Checks of maps against networks with random weights and other seeds."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis.extra.numpy import arrays
from sample_files import model_header
from scipy.stats import spearmanr

from rescan.explanation import map_checks
from rescan.explanation.map_checks import check, randomized, rank_correlation
from rescan.explanation.maps import Explained
from rescan.models.networks import build
from rescan.results.map_checks_file import MAP_CHECKS
from rescan.study import Recipe

RECIPE = Recipe.model_validate(
    {
        "preparation": "p",
        "network": {"encoder": "cnn5_3d", "weights": "none"},
        "stages": {"main": {"epochs": 1, "optimizer": "adam"}},
    }
)
SHAPE = (1, 32, 32, 32)


def network(seed):
    torch.manual_seed(seed)
    return Explained(build(RECIPE, 2, SHAPE).eval(), "unit")


@pytest.fixture(scope="module")
def rows():
    """More items than are checked, two a patient."""
    numbers = np.arange(14)
    columns = {"item": numbers, "sample": numbers.astype(str), "group": "", "patient": (numbers // 2).astype(str)}
    return pd.DataFrame(columns).assign(target=numbers % 2, predicted=numbers // 2 % 2, other=1)


@pytest.fixture(scope="module")
def volumes(rows):
    return np.random.default_rng(0).integers(0, 256, (len(rows), *SHAPE[1:], 1), np.uint8)


@pytest.fixture(autouse=True)
def few(monkeypatch):
    """Fewer items, in less time."""
    monkeypatch.setattr(map_checks, "CHECKED", 8)


def test_rank_correlation_agrees_with_scipy_and_is_undefined_for_a_flat_map():
    rng = np.random.default_rng(0)
    maps, others = rng.integers(0, 5, (6, 9)).astype(float), rng.random((6, 9))
    maps[5] = 2 + 1e-9 * rng.random(9)
    expected = [spearmanr(a, b)[0] for a, b in zip(maps[:5], others)]
    np.testing.assert_allclose(rank_correlation(maps, others), [*expected, np.nan])


@given(arrays(float, (3, 6), elements={"min_value": 0, "max_value": 1}))
def test_rank_correlation_is_bounded_and_one_with_itself(maps):
    maps[:, 0] = 2  # not the same everywhere
    np.testing.assert_allclose(rank_correlation(maps, maps), 1)
    np.testing.assert_allclose(rank_correlation(maps, -maps), -1)
    other = np.random.default_rng(0).random(maps.shape)
    assert (np.abs(rank_correlation(maps, other)) <= 1 + 1e-12).all()


def test_volumes_are_checked_and_equal_seeds_agree(rows, volumes, tmp_path):
    explained, header = network(7), model_header(RECIPE, ["a", "b"], SHAPE)
    checks, table = check(rows, volumes, explained, header, [network(7)], (2, 2, 2))
    assert checks.n == len(table) == 8
    assert checks.units == rows.loc[rows["sample"].isin(table["sample"]), "patient"].nunique()
    assert checks.blocks == [2, 2, 2]
    assert checks.empty == 8 - checks.seeds.n
    assert checks.seeds.value == pytest.approx(1)
    assert checks.seeds.networks == 1
    assert checks.seeds.low < 0.95  # from a handful
    assert checks.deletion.value == pytest.approx(table["deletion"].mean())
    assert checks.insertion.low < table["insertion"].mean() < checks.insertion.high
    assert checks.randomized.value < 0.95
    MAP_CHECKS.write(tmp_path / "checks.csv", table)
    assert len(MAP_CHECKS.read(tmp_path / "checks.csv")) == len(table)


def test_without_other_seeds_there_is_no_agreement_and_a_random_network_is_like_itself(rows, volumes, monkeypatch):
    """The explained network is itself the random one: its maps do not depend on what was learned."""
    header = model_header(RECIPE, ["a", "b"], SHAPE)
    monkeypatch.setattr(map_checks, "RANDOMIZED", 1)
    (explained,) = randomized(network(7), header)
    checks, table = check(rows[:3], volumes, explained, header, [], (2, 2, 2))
    assert checks.seeds is None
    assert table["seeds"].isna().all()
    assert checks.randomized.value == pytest.approx(1)
