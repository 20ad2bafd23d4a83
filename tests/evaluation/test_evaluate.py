"""metrics.json from predictions made here."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.special import softmax
from sklearn.metrics import accuracy_score, cohen_kappa_score, log_loss, roc_auc_score

from rescan.catalogue import METRICS
from rescan.errors import RescanError
from rescan.evaluation.evaluate import evaluate
from rescan.evaluation.soundness import linked_groups, warning_of_links
from rescan.study import Study


def evaluated(cases: SimpleNamespace, study: Study, change: Any = None, **options: Any) -> dict[str, Any]:
    cases.write_arm(study, "one", change, **options)
    evaluate(study, "one")
    return json.loads(Path("results/full/heads/one/metrics.json").read_text("utf-8"))


def temperature_of(arm: str) -> float:
    fitted = json.loads(Path(f"results/full/heads/{arm}/posttraining.json").read_text())
    return fitted["temperatures"]["classification"]["whole"]


def rows_of_test(table: pd.DataFrame) -> pd.DataFrame:
    return table[table["part"] == "test"]


def test_values_equal_scikit_learn(cases: SimpleNamespace) -> None:
    metrics = evaluated(cases, cases.make_study())
    tables = [rows_of_test(cases.make_table(0, seed)) for seed in range(3)]
    temperature = json.loads(Path("results/full/heads/one/posttraining.json").read_text())["temperatures"][
        "classification"
    ]["whole"]
    logits = [table.filter(like="classification_").to_numpy() for table in tables]
    target = tables[0]["target"].to_numpy()
    probabilities = [np.exp(x / temperature) / np.exp(x / temperature).sum(1, keepdims=True) for x in logits]
    entry = metrics["parts"]["test"]["image"]
    assert (entry["n"], entry["groups"]) == (80, 40)
    assert list(entry["metrics"]) == [name for name in METRICS if name != "quadratic_kappa"]
    found = {name: value["value"] for name, value in entry["metrics"].items()}
    assert found["accuracy"] == pytest.approx(np.mean([accuracy_score(target, x.argmax(1)) for x in logits]))
    assert found["loss"] == pytest.approx(np.mean([log_loss(target, p) for p in probabilities]))
    assert found["auroc"] == pytest.approx(
        np.mean([roc_auc_score(target, p, multi_class="ovr") for p in probabilities])
    )
    raw = [np.exp(x) / np.exp(x).sum(1, keepdims=True) for x in logits]
    assert metrics["before_temperature"]["test"]["loss"] == pytest.approx(np.mean([log_loss(target, p) for p in raw]))
    confusion = np.array(metrics["confusion"]["test"])
    assert confusion.sum(1) == pytest.approx(20)
    assert np.trace(confusion) / 80 == pytest.approx(found["accuracy"])


def test_keys_and_curves(cases: SimpleNamespace) -> None:
    metrics = evaluated(cases, cases.make_study(), sizes={"train": 40, "validation": 40, "test": 1200})
    assert metrics["runs"] == [{"fold": 0, "seed": seed} for seed in range(3)]
    assert (metrics["head"], metrics["positive_class"], metrics["classes"]) == ("classification", None, list("abcd"))
    assert list(metrics["parts"]) == ["train", "validation", "test"]
    assert list(metrics["parts"]["test"]) == ["image"]
    assert metrics["curves"]["run"] == {"fold": 0, "seed": 0}
    for curve in metrics["curves"]["roc"]["test"].values():
        assert len(curve["fpr"]) == len(curve["tpr"]) <= 200
        assert (curve["fpr"][0], curve["tpr"][0], curve["fpr"][-1], curve["tpr"][-1]) == (0, 0, 1, 1)
        assert np.all(np.diff(curve["fpr"]) >= 0)


def test_one_hot_accuracy_is_that_of_the_softmax_itself(cases: SimpleNamespace) -> None:
    entry = evaluated(cases, cases.make_study())["parts"]["test"]["image"]["metrics"]["one_hot_accuracy"]
    assert temperature_of("one") != pytest.approx(1, abs=0.05)
    shares = []
    for seed in range(3):
        table = rows_of_test(cases.make_table(0, seed))
        probabilities = softmax(table.filter(like="classification_").to_numpy(), axis=1)
        shares.append(((probabilities > 0.5) == np.eye(4)[table["target"]]).mean())
    assert entry["value"] == pytest.approx(np.mean(shares))
    assert entry["low"] < entry["value"] < entry["high"]


def test_two_classes_have_a_positive_one(cases: SimpleNamespace) -> None:
    metrics = evaluated(cases, cases.make_study(classes=2))
    sensitivity = metrics["parts"]["test"]["image"]["metrics"]["sensitivity"]
    assert metrics["positive_class"] == "b"
    assert sensitivity["value"] == sensitivity["classes"]["b"]["value"]


def test_patients_unknown_is_said_and_patients_known_are_scored(cases: SimpleNamespace) -> None:
    study = cases.make_study()
    unknown = evaluated(cases, study)
    assert any("patients unknown" in line for line in unknown["warnings"])
    known = evaluated(cases, study, patients=True, skill=1.0)
    assert not any("patients unknown" in line for line in known["warnings"])
    levels = known["parts"]["test"]
    assert (levels["image"]["n"], levels["image"]["groups"]) == (80, 40)
    assert (levels["patient"]["n"], levels["patient"]["groups"]) == (40, 40)
    assert levels["patient"]["metrics"]["accuracy"]["value"] > levels["image"]["metrics"]["accuracy"]["value"]
    expected = []
    for seed in range(3):
        table = rows_of_test(cases.make_table(0, seed, patients=True, skill=1.0))
        temperature = json.loads(Path("results/full/heads/one/posttraining.json").read_text())["temperatures"][
            "classification"
        ]["whole"]
        scores = np.exp(table.filter(like="classification_") / temperature)
        mean = scores.div(scores.sum(axis=1), axis=0).groupby(table["patient"]).mean()
        expected.append((mean.to_numpy().argmax(1) == table.groupby("patient")["target"].first()).mean())
    assert levels["patient"]["metrics"]["accuracy"]["value"] == pytest.approx(np.mean(expected))


def test_patients_whose_labels_tie_are_left_out_and_counted(cases: SimpleNamespace) -> None:
    def tie(table: pd.DataFrame) -> pd.DataFrame:
        last = table.index[-1]
        table.loc[last, "target"] = (table.loc[last, "target"] + 1) % 4
        return table

    metrics = evaluated(cases, cases.make_study(), tie, patients=True)
    assert metrics["parts"]["test"]["patient"]["n"] == 39
    assert metrics["parts"]["test"]["image"]["n"] == 80
    assert "test by patient: 1 left out, whose labels tie" in metrics["warnings"]


def linking(share: float) -> Any:
    """Give the first test items the group of a training item."""

    def link(table: pd.DataFrame) -> pd.DataFrame:
        tests = table.index[table["part"] == "test"]
        table.loc[tests[: int(share * len(tests))], "group"] = "g0"
        return table

    return link


def test_group_across_a_published_split_is_flagged_and_the_rest_scored_apart(cases: SimpleNamespace) -> None:
    metrics = evaluated(cases, cases.make_study(), linking(0.25))
    assert any("20 of 80 test samples (25.0%)" in line for line in metrics["warnings"])
    assert metrics["parts"]["test_unlinked"]["image"]["n"] == 60
    few = evaluated(cases, cases.make_study(), linking(0.75))
    assert "test_unlinked" not in few["parts"]


def test_relatives_are_counted_as_by_hand() -> None:
    """Test a and b have a relative that is trained on, c one that is validated on, d none: 3 of 4, 2 trained on."""
    parts = {"a": "test", "b": "test", "c": "test", "d": "test", "e": "train", "f": "validation", "g": "train"}
    groups = {"a": "g1", "b": "g1", "c": "g2", "d": "g3", "e": "g1", "f": "g2", "g": "g4"}
    table = pd.DataFrame({"sample": list(parts), "part": parts.values(), "group": groups.values()})
    both_seeds = pd.concat([table, table])
    (line,) = warning_of_links(both_seeds, linked_groups(both_seeds))
    assert "3 of 4 test samples (75.0%) have a relative (same patient or near-duplicate) in the published" in line
    assert "2 of them one that is trained on, the others in the validation part only" in line
    (line,) = warning_of_links(both_seeds, linked_groups(both_seeds), whole=False)
    assert "2 of 4 test samples (50.0%)" in line
    assert "part that is trained on" in line
    without = both_seeds[both_seeds["sample"] != "e"]
    assert warning_of_links(without, linked_groups(without)) == []


def test_group_across_a_split_of_ours_is_refused(cases: SimpleNamespace) -> None:
    with pytest.raises(
        RescanError, match="group 'g0', one of 1, lies in more than one part of fold 0; run split again"
    ):
        evaluated(cases, cases.make_study(split={"test": 0.2}), linking(0.25))

    def leak(table: pd.DataFrame) -> pd.DataFrame:
        table.loc[table["part"] == "validation", "group"] = "g1"
        return table

    with pytest.raises(
        RescanError, match="group 'g1', one of 1, lies in more than one part of fold 0; run split again"
    ):
        evaluated(cases, cases.make_study(), leak)


def test_runs_with_other_test_items_are_refused(cases: SimpleNamespace) -> None:
    with pytest.raises(RescanError, match="different test samples"):
        evaluated(cases, cases.make_study(), lambda table: table.iloc[: len(table) - int(table["seed"].iloc[0])])


@pytest.mark.parametrize("difference", [{"keep": {"best": "accuracy"}}, {"early_stopping": {}}])
def test_validation_that_chose_an_epoch_is_said(cases: SimpleNamespace, difference: dict[str, Any]) -> None:
    line = "validation chose the epoch: its scores are selected on, not an estimate of performance"
    assert line in evaluated(cases, cases.make_study(arms={"one": difference}))["warnings"]
    assert line not in evaluated(cases, cases.make_study())["warnings"]


def test_folds_are_averaged_not_pooled(cases: SimpleNamespace) -> None:
    def fold_of(table: pd.DataFrame) -> pd.DataFrame:
        """Each fold validates on another half of the rows that are not of the test part."""
        number, fold = table["item"] // 8 % 2, table["fold"].iloc[0]
        table["part"] = table["part"].where(table["part"] == "test", np.where(number == fold, "validation", "train"))
        table["classification_0"] += 3 * fold  # the folds' probabilities of class a are on different scales
        return table

    study = cases.make_study(seeds=1, split={"folds": 2})
    entry = evaluated(cases, study, fold_of)["parts"]["validation"]["image"]
    folds = [fold_of(cases.make_table(fold, 0)).query("part == 'validation'") for fold in (0, 1)]
    odds = [softmax(rows.filter(like="classification_").to_numpy(), axis=1)[:, 0] for rows in folds]
    # The temperature of a row's cross-fitting fold may reorder rows, but little.
    expected = np.mean([roc_auc_score(rows["target"] == 0, odd) for rows, odd in zip(folds, odds)])
    pooled = roc_auc_score(pd.concat(folds)["target"] == 0, np.concatenate(odds))
    assert (entry["n"], entry["groups"]) == (180, 90)
    assert entry["metrics"]["auroc"]["classes"]["a"]["value"] == pytest.approx(expected, abs=0.01)
    assert abs(pooled - expected) > 0.03
    assert entry["metrics"]["auroc"]["seed_sd"] is None


def test_collapsed_arm_is_named_and_is_valid_json(cases: SimpleNamespace) -> None:
    def collapse(table: pd.DataFrame) -> pd.DataFrame:
        table[[f"classification_{k}" for k in range(4)]] = [0.0, 1.0, 0.0, 0.0]
        return table

    metrics = evaluated(cases, cases.make_study(seeds=1), collapse)
    assert [finding["finding"] for finding in metrics["diagnosis"]] == ["collapsed", "underfitting"]
    assert any(
        "collapsed: 80 of 80 test predictions are 'b'" in line and "20/80" in line for line in metrics["warnings"]
    )
    assert metrics["parts"]["test"]["image"]["metrics"]["ppv"]["value"] is None
    undefined = [line for line in metrics["warnings"] if " no " in line and "PPV" in line]
    never = "none is predicted as “a”, “c” or “d”"
    assert undefined == [f"train, validation and test: no PPV and NPV, as {never}"]


def test_missing_run_is_said(cases: SimpleNamespace) -> None:
    cases.write_arm(cases.make_study(), "one")
    with pytest.raises(RescanError, match=r"fold0_seed3/predictions\.csv: no such file"):
        evaluate(cases.make_study(seeds=4), "one")


def test_grades_have_endpoints_curves_and_a_submission(cases: SimpleNamespace) -> None:
    def with_unlabeled(table: pd.DataFrame) -> pd.DataFrame:
        more = table.iloc[:3].assign(part="unlabeled", target=-1, sample=["u0", "u1", "u2"], group=["u0", "u1", "u2"])
        return pd.concat([table, more.assign(item=range(len(table), len(table) + 3))])

    study = cases.make_graded()
    metrics = evaluated(cases, study, with_unlabeled)
    assert (metrics["metric"], list(metrics["parts"]["test"]["image"]["metrics"])[2]) == (
        "quadratic_kappa",
        "quadratic_kappa",
    )
    tables = [rows_of_test(cases.make_table(0, seed)) for seed in range(3)]
    logits = [table.filter(like="classification_").to_numpy() for table in tables]
    kappas = [cohen_kappa_score(table["target"], x.argmax(1), weights="quadratic") for table, x in zip(tables, logits)]
    assert metrics["parts"]["test"]["image"]["metrics"]["quadratic_kappa"]["value"] == pytest.approx(np.mean(kappas))
    referable = metrics["endpoints"]["referable"]["parts"]["test"]["image"]["metrics"]
    sensitive = [
        ((x.argmax(1) >= 2) & (t["target"] >= 2)).sum() / (t["target"] >= 2).sum() for t, x in zip(tables, logits)
    ]
    assert referable["sensitivity"]["value"] == pytest.approx(np.mean(sensitive))
    scaled = [softmax(x / temperature_of("one"), axis=1)[:, 2:].sum(1) for x in logits]
    areas = [roc_auc_score(table["target"] >= 2, p) for table, p in zip(tables, scaled)]
    assert referable["auroc"]["value"] == pytest.approx(np.mean(areas))
    first = metrics["curves"]["grades"]["test"]
    assert [entry["n"] for entry in first] == [20] * 4
    expected = softmax(logits[0] / temperature_of("one"), axis=1) @ np.arange(4)
    assert first[1]["mean"] == pytest.approx(expected[tables[0]["target"] == 1].mean())
    submission = pd.read_csv("results/full/heads/one/submission.csv")
    assert list(submission) == ["id_code", "diagnosis"]
    mean = np.mean(
        [softmax(cases.make_table(0, seed).filter(like="classification_").to_numpy()[:3], axis=1) for seed in range(3)],
        axis=0,
    )
    assert submission["diagnosis"].tolist() == mean.argmax(1).tolist()


def test_folds_are_pooled_for_what_is_counted_out_of_fold(cases: SimpleNamespace) -> None:
    def fold_of(table: pd.DataFrame) -> pd.DataFrame:
        number, fold = table["item"] // 8 % 2, table["fold"].iloc[0]
        part = np.where(number == fold, "validation", "train")
        return table.assign(part=table["part"].where(table["part"] == "test", part))

    study = cases.make_graded(seeds=1, split={"folds": 2})
    entry = evaluated(cases, study, fold_of)["parts"]["out_of_fold"]["image"]
    pooled = pd.concat([fold_of(cases.make_table(fold, 0)).query("part == 'validation'") for fold in (0, 1)])
    predicted = pooled.filter(like="classification_").to_numpy().argmax(1)
    assert entry["n"] == 180
    assert entry["metrics"]["quadratic_kappa"]["value"] == pytest.approx(
        cohen_kappa_score(pooled["target"], predicted, weights="quadratic")
    )
    assert "auroc" not in entry["metrics"]


def test_an_arm_that_validates_on_the_test_part_says_so(cases: SimpleNamespace) -> None:
    def without(table: pd.DataFrame) -> pd.DataFrame:
        return table[table["part"] != "validation"]

    plain = evaluated(cases, cases.make_graded(arms={"one": {"validation": "test"}}), without)
    assert any("used for validation but nothing was chosen on it" in line for line in plain["warnings"])
    chosen = {"validation": "test", "keep": {"best": "quadratic_kappa"}}
    best = evaluated(cases, cases.make_graded(arms={"one": chosen}), without)
    assert any("and chose the epoch or the learning rate" in line for line in best["warnings"])
