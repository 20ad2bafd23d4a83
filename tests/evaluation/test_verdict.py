"""Verdicts by hand."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy.stats import t

from rescan.evaluation.verdict import attainable, verdict
from rescan.results.metrics_file import Estimate, Scores
from rescan.study import Published


def result(values: list[float], n: int = 1311, se: float = 0.01) -> Scores:
    """The test images' part of a metrics.json with these values of the seeds."""
    mean = float(np.mean(values))
    sd = float(np.std(values, ddof=1)) if len(values) > 1 else None
    low, high = mean - 1.959964 * se, mean + 1.959964 * se
    accuracy = Estimate(value=mean, low=low, high=high, method="wilson", runs=values, seed_sd=sd)
    return Scores(n=n, groups=n, metrics={"accuracy": accuracy})


def published(value: float, n: int | None = 1311, **more: Any) -> Published:
    return Published(arm="one", metric="accuracy", value=value, n=n, who="someone", **more)


@pytest.mark.parametrize(("value", "k"), [(0.7589, None), (0.8894, 1166), (0.3089, 405), (0.2334, 306), (1.0, 1311)])
def test_attainable_on_1311_items(value: float, k: int | None) -> None:
    assert attainable(value, 1311) == k


def test_attainable_finds_every_rounded_proportion() -> None:
    for n in (7, 100, 733):
        assert all(attainable(round(k / n, 4), n) == k for k in range(n + 1))
    reachable = {round(k / 733, 3) for k in range(734)}
    for i in range(1001):
        if i % 10:  # else fewer decimals are written
            assert (attainable(i / 1000, 733) is not None) == (i / 1000 in reachable)


def test_identical_test_set_has_seed_spread_only(cases: SimpleNamespace) -> None:
    values = [0.88, 0.89, 0.90, 0.885, 0.895]
    found = verdict(cases.make_study(), published(0.8894), result(values, se=0.5), 5)
    half = t.ppf(0.975, 4) * np.std(values, ddof=1) * (1 + 1 / 5) ** 0.5 + 0.00005
    assert found.difference == pytest.approx(0.0006)
    assert found.difference_high - found.difference == pytest.approx(half)
    assert (found.verdict, found.reason) == ("reproduced", "identical test set")


def test_other_test_items_add_both_sampling_terms(cases: SimpleNamespace) -> None:
    values = [0.88, 0.89, 0.90, 0.885, 0.895]
    study = cases.make_study(split={"test": 0.2})
    found = verdict(study, published(0.86, n=733), result(values, n=733, se=0.01), 5)
    se = (0.01**2 + 0.86 * 0.14 / 733 + np.var(values, ddof=1) * 1.2) ** 0.5
    assert found.difference_low == pytest.approx(0.03 - 1.959964 * se - 0.005, abs=1e-6)
    assert found.verdict == "reproduced"
    by_interval = verdict(
        study, published(0.86, n=None, low=0.86 - 0.0392, high=0.86 + 0.0392), result(values, se=0.01), 5
    )
    se = (0.01**2 + 0.02**2 + np.var(values, ddof=1) * 1.2) ** 0.5
    assert by_interval.difference_high == pytest.approx(0.03 + 1.959964 * se + 0.005, abs=1e-5)


@pytest.mark.parametrize(
    ("values", "value", "expected"),
    [
        ([0.95, 0.951, 0.949, 0.95, 0.95], 0.8894, "higher"),
        ([0.80, 0.801, 0.799, 0.80, 0.80], 0.8894, "lower"),
        ([0.889, 0.888, 0.890, 0.889, 0.889], 0.8894, "reproduced"),
        (
            [0.70, 0.95, 0.88, 0.93, 0.97],
            0.8894,
            "inconclusive",
        ),  # the interval contains 0 but is wider than the margin
        ([306 / 1311] * 5, 0.2334, "reproduced"),  # no spread at all: the same count, rounded
        ([307 / 1311] * 5, 0.2334, "higher"),
    ],
)
def test_words(values: list[float], value: float, expected: str, cases: SimpleNamespace) -> None:
    assert verdict(cases.make_study(), published(value), result(values), 5).verdict == expected


@pytest.mark.parametrize(
    ("scale", "entry", "count", "word", "reason"),
    [
        ("demo", published(0.8894), 5, "not comparable", "demo: phantoms or a small recipe"),
        ("small", published(0.8894), 5, "not comparable", "small recipe"),
        ("full", published(0.8894, n=1600), 5, "not comparable", "test items differ: 1311 here, 1600 published"),
        ("full", published(0.8894, not_comparable="binary"), 5, "not comparable", "binary"),
        ("full", published(0.8894), 4, "inconclusive", "4 seeds: a verdict needs 5; identical test set"),
        ("full", published(0.8894), 1, "inconclusive", "1 seed: a verdict needs 5; identical test set"),
        ("full", published(0.89, n=None), 5, "inconclusive", "neither n nor an interval is published"),
        ("full", published(0.8894), 0, "not run", "no metrics.json of this arm"),
        (
            "demo",
            published(0.7589),
            5,
            "not comparable",
            "demo: phantoms or a small recipe; 75.89 % is no k/1311: the nearest is 995/1311 = 0.75896",
        ),
    ],
)
def test_reasons(scale: str, entry: Published, count: int, word: str, reason: str, cases: SimpleNamespace) -> None:
    ours = result([0.8894 + i / 1000 for i in range(count)]) if count else None
    found = verdict(cases.make_study(scale), entry, ours, count)
    assert (found.verdict, found.reason) == (word, reason)


def test_undefined_metric_is_not_comparable(cases: SimpleNamespace) -> None:
    entry = Published(arm="one", metric="quadratic_kappa", value=0.7, who="someone")
    assert verdict(cases.make_study(), entry, result([0.5] * 5), 5).verdict == "not comparable"
