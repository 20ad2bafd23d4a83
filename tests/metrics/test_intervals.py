"""Intervals against SciPy, hand calculation, and the truth of simulated test parts."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some
from scipy.special import log_softmax
from scipy.stats import binom, binomtest
from tests.interval_coverage import Case, cover

from rescan.catalogue import METRICS
from rescan.evaluation.bootstrap import estimate
from rescan.metrics import run_rows
from rescan.metrics.intervals import log_interval, score_interval, together, units_behind, wilson
from rescan.metrics.run_rows import RunRows
from rescan.results.metrics_file import Estimate

OF_ALL = [name for name, metric in METRICS.items() if not metric.of_grades]


def run_of(target: list[int], predicted: list[int], unit: list[int] | None = None, classes: int = 2) -> RunRows:
    """A run that is sure of what it predicts."""
    numbers = np.arange(len(target)) if unit is None else np.array(unit)
    log_probabilities = log_softmax(3.0 * np.eye(classes)[predicted], axis=1)
    units = int(numbers.max()) + 1
    return run_rows.prepare(np.array(target), np.array(predicted), numbers, units, classes, log_probabilities)


def scores(*runs: RunRows, positive: int | None = 1) -> dict[str, Estimate]:
    names = [str(number) for number in range(runs[0].classes)]
    return estimate(OF_ALL, runs, [*range(len(runs))], names, positive)


@pytest.mark.parametrize(("k", "n"), [(0, 10), (19, 20), (20, 20), (37, 80)])
def test_wilson_equals_scipy(k: int, n: int) -> None:
    interval = binomtest(k, n).proportion_ci(method="wilson")
    assert wilson(k / n, n) == pytest.approx((interval.low, interval.high))


def test_wilson_by_hand() -> None:
    # z = 1.96: (0.9 + 3.8416/40) / (1 + 3.8416/20) = 0.83556; 1.96/1.19208 · sqrt(0.09/20 + 3.8416/1600) = 0.13660
    assert wilson(0.9, 20) == pytest.approx((0.6990, 0.9721), abs=2e-4)


def test_a_perfect_network_on_ten_cases_is_not_perfect_for_sure() -> None:
    entries = scores(run_of([0, 1] * 5, [0, 1] * 5))
    five, ten = wilson(1, 5), wilson(1, 10)
    for name, ends in {
        "accuracy": ten,
        "balanced_accuracy": ten,
        "sensitivity": five,
        "specificity": five,
        "ppv": five,
        "npv": five,
        "auroc": wilson(1, 100 / 12),  # 4 · 5 · 5 / (5 + 5 + 2)
        "auprc": five,
        "kappa": (2 * ten[0] - 1, 1),
    }.items():
        assert entries[name].value == pytest.approx(1), name
        assert (entries[name].low, entries[name].high) == pytest.approx(ends), name


@given(
    rows=some.lists(some.tuples(*[some.integers(0, 2)] * 2, some.integers(0, 3)), min_size=1, max_size=12),
    runs=some.integers(1, 3),
)
def test_no_interval_of_a_handful_is_without_width(rows: list[tuple[int, int, int]], runs: int) -> None:
    target, predicted, unit = (list(column) for column in zip(*rows))
    unit = np.unique(unit, return_inverse=True)[1].tolist()
    entries = scores(*[run_of(target, predicted, unit, 3)] * runs, positive=None)
    for name, entry in entries.items():
        for one in (entry, *(entry.classes or {}).values()):
            if one.value is not None and one.low is not None:
                assert one.low <= one.value + 1e-9, name
                assert one.value - 1e-9 <= one.high, name
                assert one.high - one.low > 0.05 or name == "loss", name
    assert (entries["loss"].low is None) == (len(set(unit)) == 1)


def test_of_rows_without_relatives_it_is_wilsons_interval() -> None:
    target, predicted = [0, 1] * 40, [0, 1] * 30 + [1, 1] * 10  # 10 of 80 wrong, all of class 0
    entries = scores(run_of(target, predicted))
    assert (entries["accuracy"].low, entries["accuracy"].high) == pytest.approx(wilson(70 / 80, 80), abs=0.004)
    assert (entries["specificity"].low, entries["specificity"].high) == pytest.approx(wilson(0.75, 40), abs=0.008)
    assert (entries["sensitivity"].low, entries["sensitivity"].high) == pytest.approx(wilson(1, 40))


def test_patients_whose_images_err_together_count_once() -> None:
    unit = np.repeat(np.arange(40), 4)
    target = unit % 2
    wrong = unit < 10
    entry = scores(run_of(target.tolist(), np.where(wrong, 1 - target, target).tolist(), unit.tolist()))["accuracy"]
    assert (entry.low, entry.high) == pytest.approx(wilson(0.75, 40), abs=0.015)


def test_one_of_two_runs_that_collapsed_leaves_an_interval() -> None:
    target = [0, 1] * 10
    entry = scores(run_of(target, target), run_of(target, [1] * 20))["specificity"]
    assert entry.value == 0.5
    assert (entry.low, entry.high) == pytest.approx(wilson(0.5, 10))


def test_a_subgroup_of_one_patient_says_that_it_knows_little() -> None:
    entry = scores(run_of([1, 1, 1], [1, 1, 0], [0, 0, 0]))["sensitivity"]
    assert entry.low < 0.25
    assert entry.high > 0.9


def test_folds_over_different_patients_add_up() -> None:
    runs = [run_of([0, 1] * 5, [0, 1] * 5, list(range(start, start + 10))) for start in (0, 10)]
    assert units_behind("accuracy", runs) == [20]
    assert units_behind("sensitivity", [runs[0]] * 2) == [5, 5]
    assert units_behind("sensitivity", runs) == [10, 10]


def test_units_behind_of_each_metric() -> None:
    run = run_of([0, 0, 0, 1], [0, 1, 1, 1])
    for name, units in {
        "specificity": [1, 3],
        "sensitivity": [3, 1],
        "ppv": [1, 3],
        "npv": [3, 1],
        "kappa": [3],
    }.items():
        assert units_behind(name, [run]) == pytest.approx(units), name
    assert units_behind("auroc", [run]) == pytest.approx([2, 2])  # 4 · 3 · 1 / (3 + 1 + 2)
    both = run_of([0, 1] * 10, [0, 1] * 10, np.repeat(np.arange(10), 2).tolist())
    assert units_behind("auroc", [both]) == [10, 10]  # patients with images of both classes
    assert together([3, 1], 4) == pytest.approx(3)  # 4 / (1/3 + 1)
    assert together([0, 4], 4) == 0


def test_the_interval_goes_from_that_of_the_units_to_that_of_the_bootstrap() -> None:
    # e = 100 · .1 = 10 units err: (10 + 1) / (10 · .0018 / .09 + 1/100) = 11 / .21
    assert score_interval(np.array([0.9]), 0.0018, 100, 0, 1) == pytest.approx(wilson(0.9, 11 / 0.21))
    assert score_interval(np.array([0.8]), 0.0072, 100, -1, 1) == pytest.approx(
        tuple(2 * end - 1 for end in wilson(0.9, 11 / 0.21))
    )


def test_of_few_errors_the_limit_beside_the_bound_is_poissons() -> None:
    # Half of the 5 % quantile of χ² with 2 degrees of freedom is −ln .95 = .0513; of Wilson's it would be .0088.
    low, high = score_interval(np.array([0.95]), 0.95 * 0.05 / 20, 20, 0, 1)
    assert (low, high) == pytest.approx((wilson(0.95, 20)[0], 1 - 0.051293 / 20), abs=1e-5)
    low, high = score_interval(np.array([0.05]), 0.95 * 0.05 / 20, 20, 0, 1)
    assert (low, high) == pytest.approx((0.051293 / 20, wilson(0.05, 20)[1]), abs=1e-5)


def test_the_interval_of_a_loss_by_hand() -> None:
    # t of 9 degrees of freedom: 2.2622; exp(2.2622 · .1 / .5) = 1.5721
    assert log_interval(0.5, 0.01, 10) == pytest.approx((0.5 / 1.5721, 0.5 * 1.5721), rel=1e-4)
    assert all(math.isnan(end) for end in log_interval(0.5, 0.0, 1))


@pytest.mark.parametrize(
    "case",
    [Case(10, 1, 0.0, 0.5, 1.5, 1), Case(20, 4, 0.5, 0.2, 3.0, 2), Case(60, 1, 0.0, 0.05, 3.0, 1)],
    ids=lambda case: f"{case.patients} patients",
)
def test_coverage(case: Case) -> None:
    simulations = 120
    covered = cover(case, simulations, ("accuracy", "sensitivity", "specificity", "npv", "auroc", "kappa"))
    # An interval that covers in 93 % of all cases is below this in one of 1,000 such tests.
    least = binom.ppf(0.001, simulations, 0.93) / simulations
    for name, (ours, _) in covered.items():
        assert ours >= least, name
    assert min(plain for _, plain in covered.values()) < least  # of what percentile intervals would have been
