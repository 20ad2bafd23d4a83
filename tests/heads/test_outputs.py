from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit, softmax

from rescan.heads.head import nearest
from rescan.heads.ordinal_head import thresholds
from rescan.heads.outputs import HEADS, average

CLASSIFICATION, REGRESSION, ORDINAL = (HEADS[name] for name in ("classification", "regression", "ordinal"))
OUTPUT = np.log(np.array([[9, 1.5, 4], [0.25, 0.5, 0.1]]))  # odds: probabilities .9 .6 .8 and .2 .333 .0909


def test_names_and_widths():
    assert ORDINAL.columns(ORDINAL.width(5)) == ["ordinal_0", "ordinal_1", "ordinal_2", "ordinal_3"]
    assert REGRESSION.columns(1) == ["regression"]
    assert ORDINAL.width(5, "softmax") == CLASSIFICATION.width(5) == 5


def test_an_ordinal_head_by_hand():
    assert thresholds(OUTPUT, 4)[0] == pytest.approx([0.9, 0.6, 0.6])  # the cumulative minimum
    assert ORDINAL.decide(OUTPUT, 4).tolist() == [3, 0]
    assert ORDINAL.grade(OUTPUT, 4) == pytest.approx([2.1, 0.2 + 0.2 + 1 / 11])
    found = np.exp(ORDINAL.log_probabilities(OUTPUT, 4))
    assert found[0] == pytest.approx([0.1, 0.3, 0, 0.6], abs=1e-9)


def test_a_classification_by_hand():
    logits = np.log([[0.2, 0.5, 0.3]])
    assert CLASSIFICATION.decide(logits, 3).tolist() == [1]
    assert CLASSIFICATION.grade(logits, 3) == pytest.approx([1.1])
    assert np.exp(CLASSIFICATION.log_probabilities(logits, 3)[0]) == pytest.approx([0.2, 0.5, 0.3])


def test_a_regression_is_rounded_halves_up_and_has_no_probabilities():
    assert nearest(np.array([-3, 0.49, 0.5, 1.5, 7, np.nan]), 4).tolist() == [0, 0, 1, 2, 3, 0]
    assert REGRESSION.decide(np.array([[2.6]]), 4).tolist() == [3]
    assert REGRESSION.log_probabilities(np.array([[2.6]]), 4) is None


def test_the_published_softmax_sums_to_one_whatever_the_image():
    logits = np.random.default_rng(0).normal(size=(20, 5)) * 3
    shares = softmax(logits, axis=1)
    odds = np.log(shares / (1 - shares))
    assert ORDINAL.grade(odds, 5) == pytest.approx(np.ones(20))
    assert set(ORDINAL.decide(odds, 5)) <= {0}  # one output above a half at most: "grade ≥ 0"
    assert ORDINAL.log_probabilities(odds, 5) is None


@given(st.integers(2, 6), st.integers(0, 2**32 - 1))
def test_ordinal_probabilities_are_a_distribution_whose_mean_is_the_grade(classes, seed):
    output = np.random.default_rng(seed).normal(scale=3, size=(8, classes - 1))
    found = np.exp(ORDINAL.log_probabilities(output, classes))
    assert found.sum(1) == pytest.approx(np.ones(8))
    assert found @ np.arange(classes) == pytest.approx(ORDINAL.grade(output, classes), abs=1e-9)
    assert (ORDINAL.decide(output, classes) == np.cumprod(expit(output) > 0.5, axis=1).sum(1)).all()


def test_averages_are_of_probabilities():
    two = {
        "classification": [np.log([[0.8, 0.2]]), np.log([[0.2, 0.8]]) + 7],
        "regression": [np.array([[1.0]]), np.array([[2.0]])],
        "ordinal": [np.log([[9.0]]), np.log([[1.0]])],
    }
    found = average(two)
    assert softmax(found["classification"][0]) == pytest.approx([0.5, 0.5])
    assert found["regression"].tolist() == [[1.5]]
    assert expit(found["ordinal"])[0, 0] == pytest.approx(0.7)


def test_a_trimmed_mean_leaves_out_the_extremes():
    values = {"regression": [np.array([[value]]) for value in (0.0, 1.0, 2.0, 100.0)]}
    assert average(values, trim=0.25)["regression"].tolist() == [[1.5]]
