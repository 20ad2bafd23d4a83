"""Holm's p, the bootstrap's, and which test a difference has."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest

from rescan.evaluation.difference_tests import bootstrapped, holm, p_of
from rescan.evaluation.readings import Reading


def test_holm_by_hand() -> None:
    # Sorted: .01 × 4, .02 × 3 = .06, .03 × 2 = .06, .2 × 1.
    assert holm([0.03, 0.01, None, 0.2, 0.02]) == pytest.approx([0.06, 0.04, None, 0.2, 0.06])
    assert holm([0.6, 0.5]) == [1.0, 1.0]
    assert holm([]) == []


def test_the_bootstraps_p_is_twice_the_rarer_side() -> None:
    replicates = np.concatenate([np.full(19, -0.1), np.full(1980, 0.1), [np.nan]])
    assert bootstrapped(replicates).p == pytest.approx(2 * 20 / 2000)
    assert bootstrapped(np.zeros(99)).p == 1
    assert bootstrapped(np.full(9, np.nan)).p is None


def reading(right: list[int], seed: int = 0, units: int | None = None) -> Reading:
    """Rows of two classes, half of each, predicted right or not."""
    n = len(right)
    target = np.arange(n) % 2
    predicted = np.where(right, target, 1 - target)
    unit = [f"p{number % (units or n)}" for number in range(n)]
    rows = pd.DataFrame({"sample": [f"s{i}" for i in range(n)], "patient": unit, "fold": 0, "seed": seed})
    return Reading(rows.assign(target=target), predicted, predicted.astype(float), None)


def both(one: Reading, other: Reading) -> Reading:
    rows = pd.concat([one.rows, other.rows])
    return Reading(rows, np.r_[one.predicted, other.predicted], np.r_[one.grade, other.grade], None)


def test_mcnemar_of_all_rows_and_of_one_class() -> None:
    ours, theirs = reading([1] * 8 + [0, 0]), reading([0, 0, 0, 1, 1, 1, 1, 1, 1, 0])
    none = np.zeros(10)
    found = p_of("accuracy", ours, theirs, "patient", 2, 1, none)
    assert found == ("McNemar (3 to 1)", binomtest(3, 4).pvalue)
    # Of the rows 1, 3, 5, 7, 9 of the positive class only the first differs; of the others 0, 2 and 8 do.
    assert p_of("sensitivity", ours, theirs, "patient", 2, 1, none) == ("McNemar (1 to 0)", 1.0)
    assert p_of("specificity", ours, theirs, "patient", 2, 1, none) == ("McNemar (2 to 1)", 1.0)
    assert p_of("macro_f1", ours, theirs, "patient", 2, 1, none).name == "bootstrap"
    assert p_of("sensitivity", ours, theirs, "patient", 4, None, none).name == "bootstrap"


def test_rows_of_several_seeds_or_of_one_patient_are_not_taken_for_independent() -> None:
    ours = both(reading([1] * 10), reading([1] * 9 + [0], seed=1))
    theirs = both(reading([0] * 6 + [1] * 4), reading([0] * 4 + [1] * 6, seed=1))
    name, p = p_of("accuracy", ours, theirs, "patient", 2, 1, np.zeros(9))
    assert name == "McNemar of 2 runs (6 to 0, 4 to 1)"
    assert p == pytest.approx(binomtest(6, 6).pvalue + binomtest(4, 5).pvalue)  # twice the mean of the two
    ours, theirs = (reading(right, units=5) for right in ([1] * 10, [0] * 6 + [1] * 4))
    name, p = p_of("accuracy", ours, theirs, "patient", 2, 1, np.ones(99))
    assert (name, p) == ("bootstrap (several rows of a patient)", 0.02)
