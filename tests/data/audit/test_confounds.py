from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score, confusion_matrix

from rescan.data.audit import confounds
from rescan.data.audit.confounds import attribute_baselines, attribute_warnings, metadata_baseline
from rescan.metrics.counted import Counts, quadratic_kappa

GRADES = ["none", "mild", "moderate", "severe"]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=2, max_size=60))
def test_quadratic_kappa_is_that_of_scikit_learn(pairs):
    first, second = zip(*pairs)
    table = confusion_matrix(first, second, labels=range(4))
    found = quadratic_kappa(Counts.of(np.stack([table, table.T, 3.0 * table])))
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
    kappa = leaked.quadratic_kappa
    assert 0.2 < kappa.low < kappa.value < kappa.high < 1
    (warning,) = leaked.warnings
    assert f"(width, aspect, bytes) predict the label with quadratic kappa {kappa.value:.2f}" in warning
    without = metadata_baseline(samples(0.4), GRADES, ordered=False)
    assert "quadratic_kappa" not in without.model_dump(exclude_unset=True)
    assert without.balanced_accuracy == leaked.balanced_accuracy
    (warning,) = without.warnings
    assert "balanced accuracy" in warning


def test_grades_that_nothing_leaks():
    found = metadata_baseline(samples(0), GRADES, ordered=True)
    assert found.quadratic_kappa.low < 0 < found.quadratic_kappa.high
    assert found.low < found.chance == 0.25 < found.high
    assert found.warnings == []


def scans(likely, count=200, seed=3):
    """Of two fields of view; at 3 mm a scan is `likely` normal (a probability), at 6 mm ill."""
    rng = np.random.default_rng(seed)
    fov = rng.choice(["3mm", "6mm"], count)
    normal = rng.random(count) < np.where(fov == "3mm", likely, 1 - likely)
    return pd.DataFrame(
        {
            "label": np.where(normal, "normal", "ill"),
            "group": np.arange(count).astype(str),
            "fov": fov,
            "site": rng.choice(["a", "b", "c"], count),
            "device": "one",
            "depth": 48,
            "width": 40,
            "height": 40,
            "mode": "uint8",
            "bytes": rng.integers(10_000, 20_000, count),
        }
    )


def test_a_field_of_view_that_predicts_the_label():
    classes, samples = ["normal", "ill"], scans(0.85)
    found = attribute_baselines(samples, classes)
    assert set(found) == {"fov", "site"}  # the device does not vary
    table = pd.crosstab(samples["fov"], samples["label"])  # the larger class of each field of view is predicted
    recalls = [table.loc["3mm", "normal"] / table["normal"].sum(), table.loc["6mm", "ill"] / table["ill"].sum()]
    assert found["fov"].balanced_accuracy == pytest.approx(np.mean(recalls))
    half = (
        1.96 / 2 * np.sqrt(sum(p * (1 - p) / n for p, n in zip(recalls, (table["normal"].sum(), table["ill"].sum()))))
    )
    low, high = found["fov"].low, found["fov"].high
    assert (high - low) / 2 == pytest.approx(half, rel=0.08)  # Wilson's is that of Wald, drawn to the middle
    assert low + high < 2 * found["fov"].balanced_accuracy
    assert found["fov"].chance == 0.5
    (warning,) = attribute_warnings(found)
    value = f"{np.mean(recalls):.2f} ({low:.2f} to {high:.2f})"
    assert warning == f"the field of view alone predicts the label with balanced accuracy {value}, chance 0.50"
    metadata = metadata_baseline(samples, classes, ordered=False)
    assert set(metadata.features) == {"bytes", "fov"}
    assert metadata.features["fov"] == found["fov"].balanced_accuracy
    assert "file metadata alone (bytes, fov) predict the label" in metadata.warnings[0]


def test_a_field_of_view_that_tells_nothing():
    found = attribute_baselines(scans(0.5), ["normal", "ill"])
    assert found["fov"].low < 0.5 < found["fov"].high
    assert attribute_warnings(found) == []
    assert attribute_baselines(scans(0.5).drop(columns=["fov", "site", "device"]), ["normal", "ill"]) == {}
    assert attribute_baselines(scans(0.5).assign(group="g"), ["normal", "ill"]) == {}


def test_a_depth_that_predicts_the_label():
    samples = scans(0.5)
    samples["depth"] = np.where(samples["label"] == "ill", 60, 48)
    found = metadata_baseline(samples, ["normal", "ill"], ordered=False)
    assert found.features["depth"] == 1
    assert "(depth, bytes, fov)" in found.warnings[0]


def test_of_many_samples_each_tree_sees_some(leaked, monkeypatch):
    monkeypatch.setattr(confounds, "ENOUGH", 100)
    drawn = metadata_baseline(samples(0.4), GRADES, ordered=True).quadratic_kappa.value
    assert drawn != leaked.quadratic_kappa.value
    assert drawn == pytest.approx(leaked.quadratic_kappa.value, abs=0.15)


def test_the_interval_covers_and_is_one_over_groups():
    rng = np.random.default_rng(2)

    def draw(groups, a_group):
        truth = np.repeat(rng.integers(4, size=groups), a_group)
        error = np.repeat(rng.integers(-1, 2, size=groups), a_group)
        return truth, np.clip(truth + error, 0, 3), pd.Series(np.repeat(np.arange(groups), a_group).astype(str))

    truth, read, _ = draw(200_000, 1)
    expected = cohen_kappa_score(truth, read, weights="quadratic")
    found = [confounds.kappa_interval(*draw(60, 8), 4) for _ in range(40)]
    assert np.mean([kappa.low <= expected <= kappa.high for kappa in found]) >= 0.85  # 0.95, less chance
    widths = [kappa.high - kappa.low for kappa in (*found, confounds.kappa_interval(*draw(480, 1), 4))]
    assert np.mean(widths[:-1]) == pytest.approx(np.sqrt(8) * widths[-1], rel=0.3)
