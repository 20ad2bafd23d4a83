from __future__ import annotations

from itertools import combinations_with_replacement

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score

from rescan.evaluation.cuts import cut, optimized, rounding
from rescan.heads.head import nearest


def test_rounding():
    grades = np.array([-1, 0.5, 1.49, 2.5, 9])
    assert cut(grades, rounding(4)).tolist() == nearest(grades, 4).tolist() == [0, 1, 1, 3, 3]


def kappa(target, predicted, classes):
    return cohen_kappa_score(target, predicted, weights="quadratic", labels=range(classes))


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 8), st.integers(0, 2)), min_size=3, max_size=12))
def test_optimized_cuts_reach_the_best_kappa_of_all(pairs):
    grades, target = np.array(pairs, float).T
    target = target.astype(int)
    if len(set(target)) < 2:
        assert optimized(grades, target, 3).tolist() == [0.5, 1.5]
        return
    places = np.arange(-0.5, 9)  # everywhere between two grades
    best = max(
        kappa(target, cut(grades, np.array(cuts)), 3)
        for cuts in combinations_with_replacement(places, 2)
        if len(set(target) | set(cut(grades, np.array(cuts)))) > 1
    )
    found = optimized(grades, target, 3)
    assert (np.diff(found) >= 0).all()
    assert kappa(target, cut(grades, found), 3) == pytest.approx(best)


def test_a_shifted_scale_is_found():
    random = np.random.default_rng(0)
    target = random.integers(0, 5, 600)
    grades = 0.4 * target + 3 + random.normal(scale=0.05, size=600)
    assert kappa(target, nearest(grades, 5), 5) < 0.5
    assert kappa(target, cut(grades, optimized(grades, target, 5)), 5) > 0.99
