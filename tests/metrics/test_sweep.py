"""Counts at swept thresholds, against counting row by row."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as some

from rescan.metrics.sweep import accumulated, cuts, places, sweep

ROWS = some.lists(some.tuples(some.sampled_from([0.0, 0.2, 0.5, 0.7, 1.0]), some.booleans()), min_size=1, max_size=30)


@given(ROWS, some.integers(0, 99))
def test_counts_are_those_of_comparing_every_row(rows, seed):
    scores, positive = np.array([score for score, _ in rows]), np.array([side for _, side in rows])
    unit = np.arange(len(rows)) // 2
    swept = sweep(scores, positive, unit)
    weights = np.random.default_rng(seed).integers(0, 4, (3, int(unit.max()) + 1)).astype(float)
    hits, alarms = accumulated(swept, weights)
    ends, thresholds = cuts(swept)
    assert (np.diff(thresholds) < 0).all()
    assert list(places(swept, thresholds)) == list(ends)
    for end, threshold in zip(ends, thresholds):
        called = scores >= threshold
        np.testing.assert_allclose(hits[:, end], (weights[:, unit] * (called & positive)).sum(1))
        np.testing.assert_allclose(alarms[:, end], (weights[:, unit] * (called & ~positive)).sum(1))


def test_neighboring_floats_are_told_apart():
    low, high = 0.5, np.nextafter(0.5, 1)
    swept = sweep(np.array([low, high]), np.array([False, True]), np.arange(2))
    ends, thresholds = cuts(swept)
    assert list(places(swept, thresholds)) == list(ends) == [0, 1, 2]


def test_a_threshold_above_a_certain_one():
    swept = sweep(np.array([1.0, 0.4]), np.array([True, False]), np.arange(2))
    assert places(swept, cuts(swept)[1])[0] == 0
    assert places(swept, np.array([np.nan]))[0] == 2
