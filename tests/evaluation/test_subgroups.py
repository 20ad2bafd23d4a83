"""Subgroups and what the way of taking an image predicts by itself, against hand calculations."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sample_files import read_json, write_manifest
from sklearn.metrics import roc_auc_score

from rescan.evaluation.baselines import predict
from rescan.evaluation.evaluate import evaluate
from rescan.evaluation.subgroups import age_bands, columns_of_groups
from rescan.paths import Paths
from rescan.study.splitting import Split

NUMBER = np.arange(260)  # of the samples that conftest makes: train 120, validation 60, test 80


def manifest_of(study: Any, **columns: Any) -> pd.DataFrame:
    table = pd.DataFrame({"sample": [f"s{i}" for i in NUMBER], "label": "a", "published_part": "", **columns})
    write_manifest(Paths(study.scale, study.name), table)
    return table


def evaluated(study: Any) -> dict[str, Any]:
    evaluate(study, "one")
    found: dict[str, Any] = read_json(f"{Paths(study.scale, study.name).arm('one')}/metrics.json")
    return found


def test_ages_are_cut_at_their_terciles_and_named_by_what_is_in_a_band() -> None:
    bands = age_bands(pd.Series([20, 30, 41, 42, 50, 58, 59, 70, 80, np.nan]))
    assert list(bands.cat.categories) == ["≤ 41", "42–58", "≥ 59"]
    assert bands.tolist()[:9] == ["≤ 41"] * 3 + ["42–58"] * 3 + ["≥ 59"] * 3
    assert pd.isna(bands.iloc[9])
    assert list(age_bands(pd.Series([20, 50, 50, 50, 61.5, 61.5])).cat.categories) == ["≤ 50", "≥ 61.5"]
    assert list(age_bands(pd.Series(["old", "", "young"])).cat.categories) == []


def test_what_is_no_group_makes_no_table(cases: SimpleNamespace) -> None:
    study = cases.make_study()
    assert columns_of_groups(study).empty
    sexes = np.where(NUMBER % 3 == 0, "F", np.where(NUMBER % 3 == 1, "M", ""))
    manifest_of(study, sex=sexes, eye="left", site=[f"site{i}" for i in NUMBER], device="", fov=["3mm"] * 260)
    found = columns_of_groups(study)
    assert list(found) == ["sex"]
    assert list(found["sex"].cat.categories) == ["F", "M"]
    assert int(found["sex"].isna().sum()) == 86


def test_ages_of_samples_without_a_label_do_not_count(cases: SimpleNamespace) -> None:
    study = cases.make_study()
    table = manifest_of(study, age=NUMBER)
    table.loc[table.index >= 90, ["label", "published_part"]] = ["", "unlabeled"]
    write_manifest(Paths(study.scale, study.name), table)
    assert list(columns_of_groups(study)["age"].cat.categories) == ["≤ 29", "30–59", "≥ 60"]


def test_scores_of_subgroups(cases: SimpleNamespace) -> None:
    study = cases.make_study(classes=2)
    table = manifest_of(
        study, sex=np.where(NUMBER // 4 % 3 == 0, "F", "M"), fov=np.where(NUMBER // 2 % 2, "3mm", "6mm")
    )
    cases.write_arm(study, "one", skill=1.0)
    found = evaluated(study)
    assert list(found["subgroups"]) == ["sex", "fov"]
    assert found["subgroups_out_of_fold"] == {}
    women = found["subgroups"]["sex"]["F"]
    accuracies, areas = [], []
    for seed in range(3):
        rows = cases.make_table(0, seed, classes=2, skill=1.0).merge(table).query("part == 'test' and sex == 'F'")
        difference = rows["classification_1"] - rows["classification_0"]
        accuracies.append(((difference > 0) == rows["target"]).mean())
        areas.append(roc_auc_score(rows["target"], difference))
        size = len(rows), rows["group"].nunique()
    assert (women["n"], women["groups"]) == size
    assert women["metrics"]["accuracy"]["value"] == pytest.approx(np.mean(accuracies))
    assert women["metrics"]["auroc"]["value"] == pytest.approx(np.mean(areas))
    assert women["metrics"]["accuracy"]["low"] < np.mean(accuracies) < women["metrics"]["accuracy"]["high"]
    # A field of view holds one class only here: what needs the other is not defined.
    assert list(found["subgroups"]["fov"]["3mm"]["metrics"]) == ["accuracy", "sensitivity"]
    assert list(found["subgroups"]["fov"]["6mm"]["metrics"]) == ["accuracy", "specificity"]


def test_a_value_of_few_samples_predicts_as_the_training_part_says() -> None:
    rows = pd.DataFrame({"part": ["train"] * 7 + ["test"] * 5, "sample": list("abcdefgvwxyz"), "fold": 0, "seed": 0})
    rows["target"] = [0, 0, 1, 1, 2, 1, 0, 2, 2, 2, 2, 2]
    values = pd.Series(dict(zip("abcdefgvwxyz", ["3", "3", "3", "6", "6", "6", None, "3", "6", "9", None, "3"])))
    found = predict(rows, values, 3)
    probabilities = np.exp(found.log_probabilities)
    overall = [3 / 7, 3 / 7, 1 / 7]
    assert probabilities[7:] == pytest.approx(
        np.array([[2 / 3, 1 / 3, 0], [0, 2 / 3, 1 / 3], overall, overall, [2 / 3, 1 / 3, 0]]), abs=1e-9
    )
    assert found.predicted[7:].tolist() == [0, 1, 0, 0, 0]
    tied = predict(rows.assign(target=[1, 0, 2, 1, 1, 1, 0, *[2] * 5]), values.replace("3", "x"), 3)
    assert tied.predicted[7] == 1  # "x" has one of each class; class 1 is the most frequent of all


def test_a_baseline_never_looks_at_test_labels(cases: SimpleNamespace) -> None:
    study = cases.make_study(classes=2, seeds=1)
    table = manifest_of(study, fov=np.where((NUMBER // 2 % 2 == 0) ^ (NUMBER % 10 == 0), "3mm", "6mm"))
    found = {}
    for flip in (False, True):

        def change(rows: pd.DataFrame, flip: bool = flip) -> pd.DataFrame:
            wrong = (rows["part"] == "test") & flip
            return rows.assign(target=rows["target"].where(~wrong, 1 - rows["target"]))

        cases.write_arm(study, "one", change)
        found[flip] = evaluated(study)["baselines"]["fov"]
    rows = cases.make_table(0, 0, classes=2).merge(table)
    right = ((rows["fov"] == "6mm") == rows["target"])[rows["part"] == "test"].mean()
    assert found[False]["test"]["metrics"]["accuracy"]["value"] == pytest.approx(right)
    assert found[True]["test"]["metrics"]["accuracy"]["value"] == pytest.approx(1 - right)
    assert found[False]["validation"] == found[True]["validation"]
    assert set(found[False]) == {"test", "validation"}


def test_a_baseline_and_subgroups_out_of_fold(cases: SimpleNamespace) -> None:
    def fold_of(table: pd.DataFrame) -> pd.DataFrame:
        number, fold = table["item"] // 8 % 2, table["fold"].iloc[0]
        part = np.where(number == fold, "validation", "train")
        return table.assign(part=table["part"].where(table["part"] == "test", part))

    study = cases.make_study(classes=2, seeds=2, split={"folds": 2, "test": 0.3})
    manifest_of(study, fov=np.where(NUMBER // 2 % 2 == 0, "3mm", "6mm"))
    cases.write_arm(study, "one", fold_of)
    found = evaluated(study)
    entry = found["baselines"]["fov"]["out_of_fold"]
    assert (entry["n"], entry["metrics"]["accuracy"]["value"]) == (180, 1)
    assert "auroc" not in entry["metrics"]
    halves = found["subgroups_out_of_fold"]["fov"]
    assert [halves[fov]["n"] for fov in ("3mm", "6mm")] == [90, 90]
    by = {"folds": {"by": "fov", "values": ["3mm", "6mm"]}}
    for split, parts in ((by, {"test"}), ({"folds": 2, "test": {"fov": "6mm"}}, {"validation", "out_of_fold"})):
        held_out = study.model_copy(update={"split": Split.model_validate({"seeds": [0, 1], **split})})
        assert set(evaluated(held_out)["baselines"]["fov"]) == parts  # of a value that no training part has: nothing


def test_sites_that_folds_hold_out_have_rows_with_a_ranking(cases: SimpleNamespace) -> None:
    sites = np.array([f"site{number % 14:02d}" for number in range(260) for _ in (0,)])
    folds = {"by": "site", "values": [[f"site{k:02d}" for k in range(7)], [f"site{k:02d}" for k in range(7, 14)]]}

    def by_site(table: pd.DataFrame) -> pd.DataFrame:
        held_out = (table["item"] % 14 >= 7) == table["fold"].iloc[0]
        part = np.where(held_out, "validation", "train")
        group = "g" + table["item"].astype(str)
        return table.assign(part=table["part"].where(table["part"] == "test", part), group=group)

    study = cases.make_study(classes=2, seeds=2, split={"folds": folds, "test": 0.3})
    manifest_of(study, site=sites)
    cases.write_arm(study, "one", by_site, skill=1.0)
    found = evaluated(study)["subgroups_out_of_fold"]["site"]
    assert sorted(found) == sorted(set(sites))  # more than other columns may have
    tables = [by_site(cases.make_table(fold, seed, classes=2, skill=1.0)) for fold in (0, 1) for seed in (0, 1)]
    rows = pd.concat(tables)
    own = rows[(rows["part"] == "validation") & (rows["item"] % 14 == 9)]
    areas = [
        roc_auc_score(of_seed["target"], of_seed["classification_1"] - of_seed["classification_0"])
        for _, of_seed in own.groupby("seed")
    ]
    assert found["site09"]["metrics"]["auroc"]["value"] == pytest.approx(np.mean(areas))
    assert found["site09"]["n"] == len(own) / 2
