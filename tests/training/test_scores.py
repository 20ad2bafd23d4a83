from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics

from rescan.catalogue import METRICS
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


@pytest.mark.parametrize("classes", [2, 3])
def test_what_is_wanted_equals_scikit_learn(classes):
    rng = np.random.default_rng(classes)
    targets = rng.integers(classes, size=60)
    logits = rng.normal(size=(60, classes)).astype(np.float32)
    logits[np.arange(60), targets] += 1
    wanted = ["auroc", "auprc", "kappa", "mcc", "brier"]
    found = score(LOSSES, {"classification": logits}, targets, classes, "classification", wanted)
    probabilities = np.exp(logits.astype(float)) / np.exp(logits.astype(float)).sum(1, keepdims=True)
    truth, of = np.eye(classes)[targets], [1] if classes == 2 else range(classes)
    areas = [metrics.roc_auc_score(truth[:, k], probabilities[:, k]) for k in of]
    precision = [metrics.average_precision_score(truth[:, k], probabilities[:, k]) for k in of]
    assert found["auroc"] == pytest.approx(np.mean(areas))
    assert found["auprc"] == pytest.approx(np.mean(precision))
    assert found["kappa"] == pytest.approx(metrics.cohen_kappa_score(targets, logits.argmax(1)))
    assert found["mcc"] == pytest.approx(metrics.matthews_corrcoef(targets, logits.argmax(1)))
    squares = ((probabilities - truth) ** 2).sum(1).mean()
    assert found["brier"] == pytest.approx(squares / (2 if classes == 2 else 1))


def test_every_metric_that_may_choose_is_computed_and_undefined_ones_never_win():
    of_classes = [name for name, metric in METRICS.items() if not metric.never_chosen]
    one_class = {"classification": np.array([[2.0, 0], [0, 1]], np.float32)}
    found = score(LOSSES, one_class, np.array([0, 0]), 2, "classification", of_classes)
    assert set(of_classes) <= set(found)
    assert found["auroc"] is None  # no positive image
    assert not better("auroc", found, None)
    assert not better("auroc", found, 0.1)
    for diverged in (np.nan, np.inf):
        outputs = {"classification": np.array([[diverged, 0], [0, 1]], np.float32)}
        assert score(LOSSES, outputs, np.array([0, 1]), 2, "classification", ["auroc"])["auroc"] is None
    by_grade = {"regression": np.array([[0.1], [0.9], [0.4]], np.float32)}
    losses = {"regression": {"name": "mse"}}
    assert score(losses, by_grade, np.array([0, 1, 1]), 2, "regression", ["auroc"])["auroc"] == 1


def test_better():
    assert better("brier", {"brier": 0.1}, 0.2)
    assert not better("auroc", {"auroc": 0.1}, 0.2)
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
