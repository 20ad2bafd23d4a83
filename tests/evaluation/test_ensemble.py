"""An ensemble's predictions, and how it is scored and compared."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from sample_files import read_json, read_table
from scipy.special import softmax

from rescan.errors import RescanError
from rescan.evaluation.compare import compare
from rescan.evaluation.ensemble import ensemble
from rescan.evaluation.evaluate import evaluate
from rescan.evaluation.posttrain import posttrain

ARMS = {"one": {}, "two": {"normalization": "unit"}, "both": {"ensemble": {"members": ["one", "two"]}}}


def fold_of(table: pd.DataFrame) -> pd.DataFrame:
    """Each fold validates on another half of the rows that are not of the test part."""
    number, fold = table["item"] // 8 % 2, table["fold"].iloc[0]
    part = np.where(number == fold, "validation", "train")
    return table.assign(part=table["part"].where(table["part"] == "test", part))


def test_an_ensemble_over_arms_and_folds(cases: SimpleNamespace) -> None:
    study = cases.make_study(arms=ARMS, seeds=2, split={"folds": 2, "test": 0.3})
    tables = {}
    for luck, arm in enumerate(("one", "two")):
        cases.write_arm(study, arm, fold_of, luck=luck, skill=1.5)
        tables[arm] = [fold_of(cases.make_table(run.fold, run.seed, luck=luck, skill=1.5)) for run in study.runs(arm)]
        evaluate(study, arm)
    assert [run.fold_and_seed for run in study.runs("both")] == [(0, 0), (0, 1)]
    for seed in (0, 1):
        ensemble(study, "both", seed)
    found = read_table("results/full/heads/both/fold0_seed0/predictions.csv")
    assert found["part"].value_counts().to_dict() == {"validation": 180, "test": 80}
    everything = pd.concat([table for table in tables["one"] + tables["two"] if table["seed"].iloc[0] == 0])
    for part, sample, networks in (("test", "s200", 4), ("validation", "s0", 2)):
        rows = everything[(everything["sample"] == sample) & (everything["part"] == part)]
        assert len(rows) == networks  # of a validation image: those not trained on it
        expected = softmax(rows.filter(like="classification_").to_numpy(), axis=1).mean(0)
        row = found[found["sample"] == sample].filter(like="classification_").to_numpy()[0]
        assert softmax(row) == pytest.approx(expected)
    posttrain(study, "both")
    evaluate(study, "both")
    metrics = read_json("results/full/heads/both/metrics.json")
    assert list(metrics["parts"]) == ["test"]
    single = read_json("results/full/heads/one/metrics.json")["parts"]["test"]["image"]["metrics"]["accuracy"]["value"]
    assert metrics["parts"]["test"]["image"]["metrics"]["accuracy"]["value"] > single + 0.05
    compare(study)
    row = pd.read_csv("results/full/heads/comparison.csv").query("arm == 'both'").iloc[0]
    assert (row["against"], row["verdict"]) == ("one", "higher")
    assert pd.isna(row["reason"])
    assert row["difference"] == pytest.approx(
        metrics["parts"]["test"]["image"]["metrics"]["accuracy"]["value"] - single
    )


def test_a_seed_needs_no_other(cases: SimpleNamespace) -> None:
    study = cases.make_study(arms=ARMS, seeds=2)
    for arm in ("one", "two"):
        cases.write_run(study, arm, 0, 1, cases.make_table(0, 1))
    ensemble(study, "both", 1)
    assert set(read_table("results/full/heads/both/fold0_seed1/predictions.csv")["seed"]) == {1}


def test_an_arm_that_is_no_ensemble(cases: SimpleNamespace) -> None:
    with pytest.raises(RescanError, match="arm 'one' is no ensemble"):
        ensemble(cases.make_study(), "one", 0)
