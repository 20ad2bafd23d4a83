"""The scores of maps, by hand and as properties."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import norm, sem, t

from rescan.explanation.faithfulness import area_share, centered_gaussian, energy_inside, mean_interval


def test_energy_inside_by_hand():
    maps = np.array([[[1.0, 3.0], [0.0, 4.0]], [[0.0, 0.0], [0.0, 0.0]], [[2.0, 0.0], [0.0, 0.0]]])
    masks = np.array([[[0, 255], [0, 0]], [[255, 0], [0, 0]], [[255, 255], [0, 0]]], np.uint8)
    np.testing.assert_array_equal(energy_inside(maps, masks), [3 / 8, np.nan, 1])
    np.testing.assert_array_equal(area_share(masks), [0.25, 0.25, 0.5])


@given(arrays(bool, (3, 4, 5, 2)))
def test_a_flat_map_reaches_the_area_share_and_a_mask_and_its_rest_make_one(masks):
    flat = np.full((4, 5, 2), 0.3)
    np.testing.assert_allclose(energy_inside(flat, masks), area_share(masks), atol=1e-12)
    maps = np.random.default_rng(0).random(masks.shape, np.float32)
    np.testing.assert_allclose(energy_inside(maps, masks) + energy_inside(maps, ~masks), 1)


def test_small_float16_values_do_not_vanish():
    maps = np.full((1, 300, 300), 6e-5, np.float16)
    np.testing.assert_allclose(energy_inside(maps, np.ones_like(maps)), [1])


@pytest.mark.parametrize("shape", [(9,), (8, 12), (5, 6, 7)])
def test_the_gaussian_is_centered_and_as_wide_as_said(shape):
    bump = centered_gaussian(shape)
    assert bump.shape == shape
    assert bump.max() <= 1
    for axis in range(len(shape)):
        np.testing.assert_allclose(bump, np.flip(bump, axis))
    line = centered_gaussian((1001,))
    inside = line[np.abs((np.arange(1001) + 0.5) / 1001 - 0.5) <= 0.25].sum() / line.sum()
    assert inside == pytest.approx((norm.cdf(1) - norm.cdf(-1)) / (norm.cdf(2) - norm.cdf(-2)), abs=2e-3)


def test_the_interval_is_by_unit_and_agrees_with_theory():
    values = np.random.default_rng(1).normal(0.5, 0.1, 400)
    mean = mean_interval(values, [str(number) for number in range(400)])
    assert mean.value == pytest.approx(values.mean())
    low, high = t.interval(0.95, 399, mean.value, sem(values))
    assert (mean.low, mean.high) == pytest.approx((low, high))
    # Ten copies of each value in one unit carry no more evidence than one.
    copies = mean_interval(np.repeat(values[:40], 10), np.repeat(np.arange(40).astype(str), 10))
    once = mean_interval(values[:40], np.arange(40).astype(str))
    assert copies.model_dump() == pytest.approx(once.model_dump())


@pytest.mark.parametrize("values", [[0.2, 0.4], [0.3] * 5, [1.0] * 10, [0.0]])
def test_no_interval_of_a_handful_is_without_width(values):
    one_unit = mean_interval(np.array(values), ["a"] * len(values))
    assert one_unit.low <= one_unit.value <= one_unit.high
    assert one_unit.high - one_unit.low > 0.5
    many = mean_interval(np.array(values), [str(number) for number in range(len(values))], lowest=-1)
    assert many.high - many.low > 0.05
    assert -1 <= many.low <= many.high <= 1


def test_hits_have_wilsons_interval_of_an_effective_number_of_units():
    hits = np.repeat([1.0, 0.0], [30, 10])
    mean = mean_interval(hits, [str(number) for number in range(40)], of_hits=True)
    z = norm.ppf(0.975)
    center, half = (0.75 + z**2 / 80) / (1 + z**2 / 40), z / (1 + z**2 / 40) * np.sqrt(0.1875 / 40 + z**2 / 6400)
    assert (mean.low, mean.high) == pytest.approx((center - half, center + half), abs=0.005)
    pairs = mean_interval(hits, np.arange(40) // 2, of_hits=True)  # both of a patient alike
    assert pairs.high - pairs.low > 1.3 * (mean.high - mean.low)


@given(arrays(float, 6, elements=st.floats(-1, 1)), arrays(int, 6, elements=st.integers(0, 3)))
def test_an_interval_lies_between_the_bounds_and_around_the_mean(values, units):
    mean = mean_interval(values, units.astype(str), lowest=-1)
    assert -1 <= mean.low <= mean.value <= mean.high <= 1
    assert mean.high > mean.low


def test_all_hits_have_wilsons_interval():
    mean = mean_interval(np.ones(10), [str(number) for number in range(10)])
    assert (mean.low, mean.high) == pytest.approx((10 / (10 + norm.ppf(0.975) ** 2), 1))


@pytest.mark.parametrize(("share", "units", "rows"), [(0.1, 12, 1), (0.3, 12, 3), (0.05, 60, 2)])
def test_it_covers_the_truth(share, units, rows):
    """Skewed values, alike within a unit; 95 % are promised, and few units of skewed ones get near it."""
    rng, covered = np.random.default_rng(2), 0
    unit = np.repeat(np.arange(units).astype(str), rows)
    for _ in range(400):
        of_unit = rng.beta(3 * share, 3 * (1 - share), units)
        values = np.clip(np.repeat(of_unit, rows) + 0.2 * rng.normal(size=units * rows) * share, -1, 1)
        mean = mean_interval(values, unit, lowest=-1)
        covered += mean.low <= share <= mean.high
    assert covered / 400 > 0.87
