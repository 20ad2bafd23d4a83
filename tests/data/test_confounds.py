from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score, confusion_matrix

from rescan.data import confounds
from rescan.data.confounds import metadata_baseline, quadratic_kappa

GRADES = ["none", "mild", "moderate", "severe"]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=2, max_size=60))
def test_quadratic_kappa_is_that_of_scikit_learn(pairs):
    first, second = zip(*pairs)
    table = confusion_matrix(first, second, labels=range(4))
    found = quadratic_kappa(np.stack([table, table.T, 3.0 * table]))
    if len({*first, *second}) == 1:
        assert np.isnan(found).all()
    else:
        assert found == pytest.approx([cohen_kappa_score(first, second, weights="quadratic", labels=range(4))] * 3)


def samples(effect, seed=1, count=300):
    """Files whose width and size in bytes depend on their grade as much as `effect` says."""
    rng = np.random.default_rng(seed)
    grade = rng.choice(4, count, p=[0.4, 0.3, 0.2, 0.1])
    columns = {
        "label": [GRADES[number] for number in grade],
        "group": np.arange(count).astype(str),
        "width": rng.integers(500, 600, count) + (100 * effect * grade).astype(int),
        "height": 500,
        "mode": "RGB",
        "bytes": rng.integers(10_000, 20_000, count) + (2000 * effect * grade).astype(int),
    }
    return pd.DataFrame(columns)


@pytest.fixture(scope="module")
def leaked():
    return metadata_baseline(samples(0.4), GRADES, ordered=True)


def test_grades_that_the_size_leaks(leaked):
    kappa = leaked["quadratic_kappa"]
    assert 0.2 < kappa["low"] < kappa["value"] < kappa["high"] < 1
    (warning,) = leaked["warnings"]
    assert f"(width, aspect, bytes) predict the label with quadratic kappa {kappa['value']:.2f}" in warning
    without = metadata_baseline(samples(0.4), GRADES, ordered=False)
    assert "quadratic_kappa" not in without
    assert without["balanced_accuracy"] == leaked["balanced_accuracy"]
    (warning,) = without["warnings"]
    assert "balanced accuracy" in warning


def test_grades_that_nothing_leaks():
    found = metadata_baseline(samples(0), GRADES, ordered=True)
    assert found["quadratic_kappa"]["low"] < 0 < found["quadratic_kappa"]["high"]
    assert found["low"] < found["chance"] == 0.25 < found["high"]
    assert found["warnings"] == []


def test_of_many_samples_each_tree_sees_some(leaked, monkeypatch):
    monkeypatch.setattr(confounds, "ENOUGH", 100)
    drawn = metadata_baseline(samples(0.4), GRADES, ordered=True)["quadratic_kappa"]["value"]
    assert drawn != leaked["quadratic_kappa"]["value"]
    assert drawn == pytest.approx(leaked["quadratic_kappa"]["value"], abs=0.15)


def test_the_interval_covers_and_is_one_over_groups():
    rng = np.random.default_rng(2)

    def draw(groups, a_group):
        truth = np.repeat(rng.integers(4, size=groups), a_group)
        error = np.repeat(rng.integers(-1, 2, size=groups), a_group)
        return truth, np.clip(truth + error, 0, 3), pd.Series(np.repeat(np.arange(groups), a_group).astype(str))

    truth, read, _ = draw(200_000, 1)
    expected = cohen_kappa_score(truth, read, weights="quadratic")
    found = [confounds.kappa_interval(*draw(60, 8), 4) for _ in range(40)]
    assert np.mean([kappa["low"] <= expected <= kappa["high"] for kappa in found]) >= 0.85  # 0.95, less chance
    widths = [kappa["high"] - kappa["low"] for kappa in (*found, confounds.kappa_interval(*draw(480, 1), 4))]
    assert np.mean(widths[:-1]) == pytest.approx(np.sqrt(8) * widths[-1], rel=0.3)
