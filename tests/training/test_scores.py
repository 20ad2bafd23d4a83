from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics

from rescan.study import Recipe
from rescan.training.scores import better, score

LOSSES = {"classification": {"name": "cross_entropy", "label_smoothing": 0.0}}


@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true", "ignore:A single label was found")
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=30))
def test_scores_equal_scikit_learn(pairs):
    targets, predictions = np.array(pairs).T
    logits = 3 * np.eye(4, dtype=np.float32)[predictions]
    scores = score(LOSSES, {"classification": logits}, targets, 4, "classification")
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    assert scores["loss"] == pytest.approx(metrics.log_loss(targets, probabilities, labels=range(4)), abs=1e-5)
    assert scores["accuracy"] == pytest.approx(metrics.accuracy_score(targets, predictions))
    assert scores["balanced_accuracy"] == pytest.approx(metrics.balanced_accuracy_score(targets, predictions))
    assert scores["macro_f1"] == pytest.approx(metrics.f1_score(targets, predictions, average="macro"))
    if len(set(targets) | set(predictions)) > 1:
        expected = metrics.cohen_kappa_score(targets, predictions, weights="quadratic", labels=range(4))
        assert scores["quadratic_kappa"] == pytest.approx(expected)


def test_scores_are_of_the_head_that_is_read():
    outputs = {
        "classification": np.array([[9.0, 0, 0]] * 2, np.float32),
        "regression": np.array([[1.2], [1.6]], np.float32),
    }
    targets = np.array([1, 2])
    assert score(LOSSES, outputs, targets, 3, "classification")["accuracy"] == 0
    assert score(LOSSES, outputs, targets, 3, "regression")["accuracy"] == 1


def test_before_post_training_the_regression_is_read():
    stage = {"epochs": 1, "optimizer": "adam", "losses": {"classification": "cross_entropy", "regression": "mse"}}
    network = {"encoder": "resnet18", "heads": {"classification": {}, "regression": {}}}
    recipe = Recipe.model_validate({"preparation": "x", "network": network, "stages": {"main": stage}})
    assert recipe.epoch_head == "classification"
    assert Recipe.model_validate({**recipe.model_dump(), "posttrain": {"head": "linear"}}).epoch_head == "regression"


def test_better():
    assert better("loss", {"loss": 0.5}, 0.6)
    assert not better("loss", {"loss": 0.5}, 0.5)
    assert better("accuracy", {"accuracy": 0.6}, 0.5)
    assert better("loss", {"loss": 9.0}, None)
    assert not better("loss", {"loss": None}, None)
    nothing = {"classification": np.array([[np.nan, 0]], np.float32)}
    assert score(LOSSES, nothing, np.array([0]), 2, "classification")["loss"] is None


def test_of_several_labels_the_means_over_those_that_are_defined():
    rng = np.random.default_rng(0)
    truth = np.column_stack([rng.random((50, 2)) < 0.4, np.zeros(50, bool)])  # no image has the third label
    logits = (rng.normal(size=(50, 3)) + truth).astype(np.float32)
    losses = {"multilabel": {"name": "binary_cross_entropy", "label_smoothing": 0.0, "weight": 1.0}}
    found = score(losses, {"multilabel": logits}, truth @ [1, 2, 4], 3, "multilabel")
    assert set(found) == {"loss", "auroc", "macro_f1"}
    assert found["auroc"] == pytest.approx(metrics.roc_auc_score(truth[:, :2], logits[:, :2]))
    of_labels = [metrics.f1_score(truth[:, k], logits[:, k] >= 0) for k in range(3)]
    assert found["macro_f1"] == pytest.approx(np.mean(of_labels))
    assert found["loss"] == pytest.approx(np.mean(np.logaddexp(0, np.where(truth, -logits, logits))), abs=1e-6)
