"""Every metric against scikit-learn or its definition, weighted and unweighted."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import log_softmax, softmax
from sklearn import metrics as sk

from rescan.catalogue import METRICS
from rescan.metrics import run_rows
from rescan.metrics.run_rows import RunRows, compute, headline

OF_PROBABILITIES = [name for name, record in METRICS.items() if record.of_probabilities]
RANKED = [name for name, record in METRICS.items() if record.ranked]


def prepare(target: np.ndarray, logits: np.ndarray, unit: np.ndarray, units: int) -> RunRows:
    """A run that is read from the largest logit."""
    classes = logits.shape[1]
    return run_rows.prepare(target, logits.argmax(1), unit, units, classes, log_softmax(logits, axis=1))


def rows(seed: int, n: int = 150, classes: int = 4, ties: bool = False) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    target = generator.integers(classes, size=n)
    logits = generator.normal(size=(n, classes))
    logits[np.arange(n), target] += 1
    return target, np.round(logits) if ties else logits


def by_sklearn(target: np.ndarray, probabilities: np.ndarray, weight: np.ndarray) -> dict[str, object]:
    classes = probabilities.shape[1]
    predicted = probabilities.argmax(1)
    one_hot, labels = np.eye(classes)[target], np.arange(classes)
    opposite = [(target != k, predicted != k) for k in labels]
    share = 2 if classes == 2 else 1
    expected = {
        "accuracy": sk.accuracy_score(target, predicted, sample_weight=weight),
        "balanced_accuracy": sk.balanced_accuracy_score(target, predicted, sample_weight=weight),
        "kappa": sk.cohen_kappa_score(target, predicted, sample_weight=weight),
        "quadratic_kappa": sk.cohen_kappa_score(target, predicted, weights="quadratic", sample_weight=weight),
        "mcc": sk.matthews_corrcoef(target, predicted, sample_weight=weight),
        "loss": sk.log_loss(target, probabilities, labels=labels, sample_weight=weight),
        "brier": sum(sk.brier_score_loss(one_hot[:, k], probabilities[:, k], sample_weight=weight) for k in labels)
        / share,
        "macro_f1": sk.f1_score(target, predicted, average=None, sample_weight=weight),
        "sensitivity": sk.recall_score(target, predicted, average=None, sample_weight=weight),
        "ppv": sk.precision_score(target, predicted, average=None, sample_weight=weight),
        "specificity": [sk.recall_score(*pair, sample_weight=weight) for pair in opposite],
        "npv": [sk.precision_score(*pair, sample_weight=weight) for pair in opposite],
        "auroc": [sk.roc_auc_score(one_hot[:, k], probabilities[:, k], sample_weight=weight) for k in labels],
        "auprc": [sk.average_precision_score(one_hot[:, k], probabilities[:, k], sample_weight=weight) for k in labels],
    }
    confidence = probabilities.max(1)
    error = 0.0
    for low in np.arange(15) / 15:
        chosen = (confidence > low) & (confidence <= low + 1 / 15)
        if weight[chosen].sum():
            gap = np.average(confidence[chosen], weights=weight[chosen]) - np.average(
                (predicted == target)[chosen], weights=weight[chosen]
            )
            error += weight[chosen].sum() / weight.sum() * abs(gap)
    right_side = ((probabilities > 0.5) == one_hot).mean(1)
    return {**expected, "ece": error, "one_hot_accuracy": np.average(right_side, weights=weight)}


def test_every_metric_of_the_design_is_there() -> None:
    target, logits = rows(0)
    run = prepare(target, logits, np.arange(150), 150)
    assert list(compute(run.defined(METRICS), run, np.ones((1, 150)))) == list(METRICS)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("classes", [2, 4])
def test_metrics_equal_scikit_learn(classes: int, ties: bool) -> None:
    target, logits = rows(classes, classes=classes, ties=ties)
    generator = np.random.default_rng(1)
    weights = np.stack(
        [np.ones(150), generator.random(150) + 0.1, generator.multinomial(150, np.full(150, 1 / 150)).astype(float)]
    )
    run = prepare(target, logits, np.arange(150), 150)
    assert run.probabilities == pytest.approx(softmax(logits, axis=1))
    values = compute(METRICS, run, weights)
    for index, weight in enumerate(weights):
        for name, expected in by_sklearn(target, run.probabilities, weight).items():
            assert values[name][index] == pytest.approx(np.array(expected), abs=1e-9), name


def test_weight_of_a_unit_is_the_weight_of_all_its_rows() -> None:
    target, logits = rows(0)
    unit = np.random.default_rng(2).integers(20, size=150)
    weights = np.random.default_rng(3).integers(1, 4, size=(5, 20)).astype(float)
    by_unit = compute(METRICS, prepare(target, logits, unit, 20), weights)
    by_row = compute(METRICS, prepare(target, logits, np.arange(150), 150), weights[:, unit])
    for name in METRICS:
        assert by_unit[name] == pytest.approx(by_row[name])


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 5))
def test_order_of_rows_is_irrelevant(seed: int, classes: int) -> None:
    target, logits = rows(seed, n=60, classes=classes, ties=True)
    order = np.random.default_rng(seed).permutation(60)
    ones = np.ones((1, 60))
    there = compute(METRICS, prepare(target, logits, np.arange(60), 60), ones)
    back = compute(METRICS, prepare(target[order], logits[order], np.arange(60), 60), ones)
    for name in METRICS:
        assert there[name] == pytest.approx(back[name], nan_ok=True)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 5))
def test_perfect_predictions(seed: int, classes: int) -> None:
    target = np.concatenate([np.arange(classes), np.random.default_rng(seed).integers(classes, size=30)])
    values = compute(
        METRICS,
        prepare(target, 40.0 * np.eye(classes)[target], np.arange(len(target)), len(target)),
        np.ones((1, len(target))),
    )
    for name in METRICS:
        assert values[name] == pytest.approx(0 if name in ("brier", "ece", "loss") else 1, abs=1e-9), name


def test_collapsed_predictions_leave_undefined_what_is_undefined() -> None:
    target = np.repeat([0, 1, 2], 10)
    logits = np.tile([0.0, 1.0, 0.0], (30, 1))
    values = {
        name: value[0]
        for name, value in compute(METRICS, prepare(target, logits, np.arange(30), 30), np.ones((1, 30))).items()
    }
    assert values["accuracy"] == pytest.approx(1 / 3)
    assert values["sensitivity"].tolist() == [0, 1, 0]
    assert np.isnan(values["ppv"]).tolist() == [True, False, True]
    assert values["macro_f1"].tolist() == [0, 0.5, 0]
    assert values["auroc"].tolist() == [0.5] * 3
    assert values["kappa"] == 0
    assert values["mcc"] == 0


def test_class_without_a_row_is_undefined() -> None:
    target, logits = rows(4, classes=3)
    target[target == 2] = 0
    values = compute(METRICS, prepare(target, logits, np.arange(150), 150), np.ones((1, 150)))
    for name in ("sensitivity", "auroc", "auprc"):
        assert np.isnan(values[name][0]).tolist() == [False, False, True]
    assert math.isnan(values["balanced_accuracy"][0])
    assert not np.isnan(values["specificity"]).any()


def test_headline_is_of_the_positive_class_of_two_else_the_mean() -> None:
    values = np.array([[0.2, 0.8]])
    assert headline("sensitivity", values, 1) == pytest.approx(0.8)
    assert headline("macro_f1", values, 1) == pytest.approx(0.5)
    assert headline("sensitivity", values, None) == pytest.approx(0.5)


def test_a_network_that_answers_nothing_has_a_one_hot_accuracy_of_80_percent() -> None:
    run = prepare(np.arange(50) % 5, np.zeros((50, 5)), np.arange(50), 50)
    assert compute(["one_hot_accuracy"], run, np.ones((1, 50)))["one_hot_accuracy"] == pytest.approx(0.8)


def test_kappa_of_the_articles_example_by_hand() -> None:
    """35 of 50 agree: p = .7; by chance .5 · .6 + .5 · .4 = .5; kappa = (.7 − .5) / (1 − .5) = .4."""
    target = np.repeat([0, 0, 1, 1], [20, 5, 10, 15])
    predicted = np.repeat([0, 1, 0, 1], [20, 5, 10, 15])
    run = run_rows.prepare(target, predicted, np.arange(50), 50, 2)
    found = compute(["accuracy", "kappa", "quadratic_kappa"], run, np.ones((1, 50)))
    assert [float(found[name][0]) for name in found] == pytest.approx([0.7, 0.4, 0.4])


def test_without_probabilities_what_needs_them_is_not_known() -> None:
    target = np.arange(20) % 2
    run = run_rows.prepare(target, target, np.arange(20), 20, 2)
    assert not set(run.defined(METRICS)) & {*OF_PROBABILITIES, *RANKED}
    grades = np.random.default_rng(0).normal(size=20) + target
    ranked = run_rows.prepare(target, target, np.arange(20), 20, 2, ranking=np.stack([-grades, grades], axis=1))
    assert set(ranked.defined(METRICS)) & {"auroc", "auprc"}
    found = compute(["auroc"], ranked, np.ones((1, 20)))["auroc"][0, 1]
    assert found == pytest.approx(sk.roc_auc_score(target, grades))
