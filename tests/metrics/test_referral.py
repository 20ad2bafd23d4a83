"""Selective prediction against counts by hand and resampled patients."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some

from rescan.metrics.intervals import wilson
from rescan.metrics.recalibration import Ends
from rescan.metrics.referral import REFERRED, Answers, accuracies, area_gain, kept, needed


def answers_of(right, confidence, unit=None, run=None) -> Answers:
    number = np.arange(len(right))
    unit = number if unit is None else np.asarray(unit)
    run = np.zeros(len(number), int) if run is None else np.asarray(run)
    return Answers(np.asarray(right, bool), np.asarray(confidence, float), unit, run)


def values(found: list[Ends]) -> list[float]:
    return [ends.value for ends in found]


def test_by_hand() -> None:
    answers = answers_of([1, 0, 1, 0, 0, 1, 1, 1, 1, 1], [0.55, 0.5, 0.7, 0.6, 0.65, 0.8, 0.85, 0.9, 0.95, 1])
    shares = np.array([0, 0.2, 0.4, 0.5, 0.9])
    found = accuracies(answers, kept(answers, shares))
    # referred: nobody; .50 and .55; and .60 and .65; and .70; all but the surest
    assert values(found) == pytest.approx([7 / 10, 6 / 8, 6 / 6, 5 / 5, 1])
    assert (found[3].low, found[3].high) == pytest.approx(wilson(1, 5))
    first = np.arange(10) < 5
    assert values(accuracies(answers, kept(answers, shares), first)) == pytest.approx(
        [2 / 5, 1 / 3, 1, np.nan, np.nan], nan_ok=True
    )
    half = kept(answers, np.array([0.05, 0.5]))  # half of the row of .5 is kept
    assert half[1].tolist() == [0.5, 0]


def test_each_run_refers_its_own_share() -> None:
    right, confidence = [1, 1, 0, 0, 0, 0, 1, 1], [0.9, 0.8, 0.6, 0.7, 0.5, 0.4, 0.2, 0.3]
    answers = answers_of(right, confidence, list(range(4)) * 2, [0] * 4 + [1] * 4)
    assert values(accuracies(answers, kept(answers, np.array([0, 0.5])))) == pytest.approx([0.5, 0.5])


def test_equal_confidence_is_a_random_order() -> None:
    answers = answers_of([1, 0, 1, 1], [0.5] * 4)
    parts = kept(answers)
    assert values(accuracies(answers, parts)) == pytest.approx([0.75] * len(REFERRED))
    assert area_gain(answers, parts) == pytest.approx((0, 0, 0))


@given(
    rows=some.lists(some.tuples(some.booleans(), some.integers(0, 6), some.integers(0, 2)), min_size=1, max_size=40),
)
def test_a_share_is_a_share_of_each_run(rows: list[tuple[bool, int, int]]) -> None:
    right, confidence, run = (np.array(column) for column in zip(*rows))
    run = np.unique(run, return_inverse=True)[1]
    answers = answers_of(right, confidence, None, run)
    parts = kept(answers)
    assert parts.min() >= 0
    assert parts.max() <= 1
    for number in range(run.max() + 1):
        own = run == number
        assert parts[own].sum(0) == pytest.approx((1 - REFERRED) * own.sum())
        surer = answers.confidence[own][:, None] > answers.confidence[own]
        assert (parts[own][:, None] >= parts[own][None])[surer].all()
    assert (np.diff(parts, axis=1) <= 1e-12).all()
    assert all(ends.low <= ends.value + 1e-9 and ends.high - ends.low > 0.02 for ends in accuracies(answers, parts))


def test_the_gain_over_a_random_order_and_its_interval() -> None:
    rng = np.random.default_rng(0)
    units, images = 200, 3
    unit = np.repeat(np.arange(units), images)
    skill = np.repeat(rng.normal(size=units), images)
    confidence = skill + rng.normal(size=units * images)
    right = rng.random(units * images) < 1 / (1 + np.exp(-1 - skill))
    answers = answers_of(right, confidence, unit)
    value, low, high = area_gain(answers, kept(answers))
    order = np.argsort(-confidence)
    risks = [(~right)[order[: round((1 - share) * len(order))]].mean() for share in REFERRED]
    assert value == pytest.approx((~right).mean() - np.mean(risks))
    assert low > 0
    replicates = []
    for _ in range(200):
        drawn = rng.integers(units, size=units)
        rows = (drawn[:, None] * images + np.arange(images)).ravel()
        own = answers_of(right[rows], confidence[rows], unit)
        replicates.append(area_gain(own, kept(own)).value)
    assert (high - low) / 2 / 1.96 == pytest.approx(np.std(replicates), rel=0.25)


def test_the_share_that_is_needed_is_from_where_on_the_target_holds() -> None:
    curve = [Ends(value, value - 0.1, 1) for value in (0.7, 0.9, 0.8, 0.9, 0.95, 1.0)]
    shares = np.arange(6) / 10
    assert needed(curve, 0.9, shares) == (0.3, 0.5)
    assert needed(curve, 0.7, shares) == (0.0, 0.1)
    assert needed(curve, 1.1, shares) == (None, None)
