"""DeLong's test against a published example, and against its definition."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import norm

from rescan.metrics.delong import delong

# Albumin, total protein, K-G score (the lower the better) and outcome of the patients with ovarian cancer of DeLong,
# DeLong and Clarke-Pearson (1988), without those that lack a test, as SAS/STAT's guide lists them for PROC LOGISTIC.
PATIENTS = """
3.0 5.8 10 0  3.2 6.3 5 1  3.9 6.8 3 1  2.8 4.8 6 0  3.2 5.8 3 1  0.9 4.0 5 0  2.5 5.7 8 0  1.6 5.6 5 1  3.8 5.7 5 1
3.7 6.7 6 1  3.2 5.4 4 1  3.8 6.6 6 1  4.1 6.6 5 1  3.6 5.7 5 1  4.3 7.0 4 1  3.6 6.7 4 0  2.3 4.4 6 1  4.2 7.6 4 0
4.0 6.6 6 0  3.5 5.8 6 1  3.8 6.8 7 1  3.0 4.7 8 0  4.5 7.4 5 1  3.7 7.4 5 1  3.1 6.6 6 1  4.1 8.2 6 1  4.3 7.0 5 1
4.3 6.5 4 1  3.2 5.1 5 1  2.6 4.7 6 1  3.3 6.8 6 0  1.7 4.0 7 0  3.7 6.1 5 1  3.3 6.3 7 1  4.2 7.7 6 1  3.5 6.2 5 1
2.9 5.7 9 0  2.1 4.8 7 1  2.8 6.2 8 0  4.0 7.0 7 1  3.3 5.7 6 1  3.7 6.9 5 1  3.6 6.6 5 1
"""


def test_a_published_example() -> None:
    albumin, protein, score, outcome = np.array(PATIENTS.split(), float).reshape(-1, 4).T
    good = outcome == 1
    # SAS prints .0108 ± .0953 (p = .9102) and −.0780 ± .1046 (p = .4561), with the K-G score as the reference.
    for test, expected in ((albumin, (0.0108, 0.0953, 0.9102)), (protein, (-0.0780, 0.1046, 0.4561))):
        assert tuple(delong(good, test, -score)) == pytest.approx(expected, abs=5e-5)


def by_definition(positive: np.ndarray, ours: np.ndarray, theirs: np.ndarray) -> tuple[float, float]:
    """The difference and its variance from all pairs of a positive and a negative row."""
    wins = []
    for scores in (ours, theirs):
        higher = scores[positive][:, None] - scores[~positive][None, :]
        wins.append((higher > 0) + 0.5 * (higher == 0))
    pairs = wins[0] - wins[1]
    m, n = pairs.shape
    of_positives, of_negatives = pairs.mean(1) - pairs.mean(), pairs.mean(0) - pairs.mean()
    variance = (of_positives**2).sum() / (m - 1) / m + (of_negatives**2).sum() / (n - 1) / n
    return pairs.mean(), variance


@pytest.mark.parametrize("digits", [0, 6])
def test_the_definition(digits: int) -> None:
    random = np.random.default_rng(digits)
    positive = random.random(60) < 0.3
    ours, theirs = ((random.normal(size=60) + positive).round(digits) for _ in range(2))  # rounded: ties
    difference, variance = by_definition(positive, ours, theirs)
    found = delong(positive, ours, theirs)
    assert found.difference == pytest.approx(difference)
    assert found.error**2 == pytest.approx(variance)
    assert found.p == pytest.approx(2 * norm.sf(abs(difference) / math.sqrt(variance)))


def test_without_spread_there_is_no_test() -> None:
    positive = np.array([True, True, False, False])
    perfect = np.array([4.0, 3, 2, 1])
    assert delong(positive, perfect, perfect)[::2] == (0, 1)
    assert math.isnan(delong(positive, perfect, np.zeros(4)).p)
    assert math.isnan(delong(np.array([True, False, False]), np.arange(3.0), np.arange(3.0)).p)
