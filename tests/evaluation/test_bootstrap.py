"""Scores and their bootstrap against brute force."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import log_softmax
from sklearn.metrics import average_precision_score, balanced_accuracy_score, roc_auc_score

from rescan.evaluation.bootstrap import distributions, estimate, resamples
from rescan.metrics import run_rows
from rescan.metrics.run_rows import RunRows

CLASSES = ("a", "b", "c")


def prepare(target: np.ndarray, logits: np.ndarray, unit: np.ndarray, units: int) -> RunRows:
    """A run that is read from the largest logit."""
    classes = logits.shape[1]
    return run_rows.prepare(target, logits.argmax(1), unit, units, classes, log_softmax(logits, axis=1))


def make_run(
    seed: int, n: int = 60, units: int = 20, skill: float = 1.0, classes: int = 3
) -> tuple[RunRows, np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    target = np.arange(n) % classes
    logits = generator.normal(size=(n, classes))
    logits[np.arange(n), target] += skill
    unit = np.arange(n) * units // n
    return prepare(target, logits, unit, units), target, unit


def test_resamples_are_multinomial_seeded_and_independent_of_the_block() -> None:
    first = np.concatenate(list(resamples(20, 60, 500)))
    assert first.shape == (500, 20)
    assert (first.sum(1) == 20).all()
    assert first.mean() == pytest.approx(1)
    assert first.var() == pytest.approx(0.95, abs=0.05)  # binomial: n p (1 − p) = 1 − 1/20
    assert (first == np.concatenate(list(resamples(20, 100_000, 500)))).all()
    assert (first != np.concatenate(list(resamples(20, 60, 500, seed=1)))).any()


def test_bootstrap_equals_a_loop_over_the_same_resamples() -> None:
    runs = [make_run(seed) for seed in (0, 1)]
    values = distributions(["balanced_accuracy", "auroc", "auprc"], [run for run, _, _ in runs], 50)
    for index, weight in enumerate(np.concatenate(list(resamples(20, 60, 50)))):
        drawn = np.repeat(np.arange(20), weight.astype(int))  # units, some several times
        for r, (run, target, unit) in enumerate(runs):
            chosen = np.concatenate([np.flatnonzero(unit == u) for u in drawn])
            truth, scores = target[chosen], run.probabilities[chosen]
            assert values["balanced_accuracy"][r, index] == pytest.approx(
                balanced_accuracy_score(truth, scores.argmax(1))
            )
            for k in range(3):
                assert values["auroc"][r, index, k] == pytest.approx(roc_auc_score(truth == k, scores[:, k]))
                assert values["auprc"][r, index, k] == pytest.approx(average_precision_score(truth == k, scores[:, k]))


def test_value_is_the_mean_over_runs_with_the_same_resamples() -> None:
    runs = [make_run(seed)[0] for seed in (0, 1, 2)]
    result = estimate(["accuracy", "sensitivity"], runs, [0, 1, 2], CLASSES, None)
    entry = result["accuracy"]
    assert entry.value == pytest.approx(np.mean(entry.runs))
    assert entry.seed_sd == pytest.approx(np.std(entry.runs, ddof=1))
    assert entry.low < entry.value < entry.high
    of_classes = result["sensitivity"].classes
    assert result["sensitivity"].value == pytest.approx(np.mean([of_class.value for of_class in of_classes.values()]))


def test_seed_sd_is_of_the_means_over_folds() -> None:
    runs = [make_run(seed)[0] for seed in range(4)]
    entry = estimate(["accuracy"], runs, [0, 1, 0, 1], CLASSES, None)["accuracy"]
    a, b, c, d = entry.runs
    assert entry.seed_sd == pytest.approx(abs((a + c) / 2 - (b + d) / 2) / 2**0.5)
    assert estimate(["accuracy"], runs[:1], [0], CLASSES, None)["accuracy"].seed_sd is None


def test_interval_over_few_units_is_wider_than_over_rows() -> None:
    _, target, unit = make_run(0)
    generator = np.random.default_rng(5)
    logits = 2.0 * np.eye(3)[np.where(generator.random(20)[unit] < 0.7, target, (target + 1) % 3)]  # errors by unit
    widths = []
    for labels, units in ((unit, 20), (np.arange(60), 60)):
        entry = estimate(["accuracy"], [prepare(target, logits, labels, units)], [0], CLASSES, None)["accuracy"]
        widths.append(entry.high - entry.low)
    assert widths[0] > 1.4 * widths[1]


def test_undefined_values_are_none() -> None:
    target = np.arange(30) % 2
    run = prepare(target, np.tile([1.0, 0.0], (30, 1)), np.arange(30), 30)
    result = estimate(["ppv", "accuracy"], [run], [0], ("n", "y"), 1)
    assert result["ppv"].value is None
    assert result["ppv"].classes["y"].low is None
    assert result["ppv"].classes["n"].value == pytest.approx(0.5)
