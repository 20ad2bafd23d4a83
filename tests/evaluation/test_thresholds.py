"""Thresholds of labels: as computed by hand, and as the best of all that scikit-learn's curves offer."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.special import logit
from sklearn.metrics import f1_score, roc_curve

from rescan.evaluation.predictions import Predictions
from rescan.evaluation.thresholds import best, thresholds


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("half", 0.5),
        ("youden", 0.35),  # 2 of 2 found, 1 of 4 false alarms: 0.75; from 0.6 on, 1 of 2 and none: 0.5
        ("f1", 0.35),  # 2 · 2 / (3 + 2) = 0.8; from 0.6 on, 2 · 1 / (1 + 2) = 0.67
    ],
)
def test_by_hand(rule, expected):
    probabilities = np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.7])
    positive = np.array([False, False, False, True, False, True])
    assert best(probabilities, positive, rule) == pytest.approx(expected)


def test_of_equally_good_ones_the_highest():
    assert best(np.array([0.2, 0.2, 0.8, 0.8]), np.array([True, False, True, False]), "youden") == pytest.approx(0.5)


@pytest.mark.parametrize("positive", [[], [True, True], [False, False]])
def test_a_half_without_both_kinds_of_rows(positive):
    assert best(np.full(len(positive), 0.9), np.array(positive, bool), "f1") == 0.5


def test_none_is_better():
    rng = np.random.default_rng(0)
    for _ in range(20):
        positive = rng.random(60) < 0.3
        probabilities = (rng.random(60) + 0.4 * positive).round(1) / 1.4  # with ties
        found = probabilities >= best(probabilities, positive, "youden")
        false_alarms, hits, _ = roc_curve(positive, probabilities)
        assert found[positive].mean() - found[~positive].mean() == pytest.approx((hits - false_alarms).max())
        found = probabilities >= best(probabilities, positive, "f1")
        scores = [f1_score(positive, probabilities >= cut) for cut in np.unique(probabilities)]
        assert f1_score(positive, found) == pytest.approx(max(scores))


def test_patches_are_averaged_first():
    rows = pd.DataFrame({"part": "validation", "fold": 0, "seed": 0, "sample": ["a", "a", "b"], "target": [2, 2, 1]})
    outputs = logit(np.array([[0.1, 0.9], [0.3, 0.3], [0.8, 0.2]]))  # a is read as 0.2 and 0.6
    found = thresholds(Predictions(rows, {"multilabel": outputs}), 2, "youden")
    assert found == pytest.approx([0.5, 0.4])
