"""The scores of maps, by hand and as properties."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra.numpy import arrays
from scipy.stats import norm

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


def test_the_interval_resamples_units_and_agrees_with_theory():
    rng = np.random.default_rng(1)
    values = rng.normal(0.5, 0.1, 400)
    mean, low, high = mean_interval(values, [str(number) for number in range(400)])
    assert mean == pytest.approx(values.mean())
    half = 1.96 * values.std(ddof=1) / 20
    assert low == pytest.approx(mean - half, abs=0.15 * half)
    assert high == pytest.approx(mean + half, abs=0.15 * half)
    # Ten copies of each value in one unit carry no more evidence than one.
    copies = mean_interval(np.repeat(values[:40], 10), np.repeat(np.arange(40).astype(str), 10))
    once = mean_interval(values[:40], np.arange(40).astype(str))
    np.testing.assert_allclose(copies, once)


def test_one_unit_has_no_spread():
    assert mean_interval(np.array([0.2, 0.4]), ["a", "a"]) == pytest.approx((0.3, 0.3, 0.3))
