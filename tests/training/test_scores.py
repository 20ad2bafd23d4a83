from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics

from rescan.training.scores import better, score

LOSSES = {"classification": {"name": "cross_entropy", "label_smoothing": 0.0}}


@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true", "ignore:A single label was found")
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=30))
def test_scores_equal_scikit_learn(pairs):
    targets, predictions = np.array(pairs).T
    logits = 3 * np.eye(4, dtype=np.float32)[predictions]
    scores = score(LOSSES, logits, targets)
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    assert scores["loss"] == pytest.approx(metrics.log_loss(targets, probabilities, labels=range(4)), abs=1e-5)
    assert scores["accuracy"] == pytest.approx(metrics.accuracy_score(targets, predictions))
    assert scores["balanced_accuracy"] == pytest.approx(metrics.balanced_accuracy_score(targets, predictions))
    assert scores["macro_f1"] == pytest.approx(metrics.f1_score(targets, predictions, average="macro"))


def test_better():
    assert better("loss", {"loss": 0.5}, 0.6)
    assert not better("loss", {"loss": 0.5}, 0.5)
    assert better("accuracy", {"accuracy": 0.6}, 0.5)
    assert better("loss", {"loss": 9.0}, None)
    assert not better("loss", {"loss": None}, None)
    assert score(LOSSES, np.array([[np.nan, 0]], np.float32), np.array([0]))["loss"] is None
