"""Operating points of several labels, of a class among many, and of arms that give grades only."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from sample_predictions import make_graded, make_study, make_table, write_run
from scipy.special import expit

from rescan.evaluation.evaluate import evaluate
from rescan.evaluation.posttrain import posttrain
from rescan.heads.multilabel_head import present

pytestmark = pytest.mark.usefixtures("cases")
DATA = {"source": {"path": "raw"}, "layout": "table", "classes": list("abc"), "multilabel": True}
SIZES = {"train": 20, "validation": 80, "test": 60}


def arms(head, loss, **more):
    stages = {"main": {"epochs": 1, "optimizer": {"name": "adam"}, "losses": {head: loss}}}
    return {"one": {"network": {"encoder": "resnet18", "heads": {head: {}}}, "stages": stages, **more}}


def of_labels(seed):
    table = make_table(0, seed, classes=4, sizes=SIZES)
    targets = np.arange(len(table)) // 2 % 8
    noise = np.random.default_rng([seed, 1]).normal(size=(len(table), 3))
    outputs = noise + 1.5 * present(targets, 3) - 1
    columns = {f"multilabel_{k}": outputs[:, k] for k in range(3)}
    return table.drop(columns=table.filter(like="classification_").columns).assign(target=targets, **columns)


def evaluated(study, make):
    for run in study.runs("one"):
        write_run(study, "one", run.fold, run.seed, make(run.seed))
    posttrain(study, "one")
    evaluate(study, "one")
    folder = Path("results/full/heads/one")
    return [json.loads((folder / name).read_text()) for name in ("posttraining.json", "metrics.json")]


def test_each_label_has_its_own_and_one_may_predict():
    points = [{"sensitivity": 0.8}, {"youden": True, "of": "b", "predicts": True}]
    study = make_study(data=DATA, seeds=2, arms=arms("multilabel", "binary_cross_entropy"), operating_points=points)
    fitted, metrics = evaluated(study, of_labels)
    found = metrics["decisions"]["points"]
    assert [(point["name"], point["of"]) for point in found] == [
        *(("sensitivity_80", name) for name in "abc"),
        ("youden", "b"),
    ]
    tables = [of_labels(seed) for seed in range(2)]
    tests = [table[table["part"] == "test"] for table in tables]
    by_label = metrics["parts"]["test"]["image"]["metrics"]["sensitivity"]["classes"]
    for point in found:
        label = "abc".index(point["of"])
        truth = [present(table["target"].to_numpy(), 3)[:, label] for table in tests]
        outputs = [expit(table[f"multilabel_{label}"].to_numpy()) for table in tests]
        shares = np.mean([(one >= point["threshold"])[true].mean() for one, true in zip(outputs, truth)])
        assert point["parts"]["test"]["image"]["metrics"]["sensitivity"]["value"] == pytest.approx(shares)
        half = np.mean([(one >= 0.5)[true].mean() for one, true in zip(outputs, truth)])
        if point["of"] != "b" or point["predicts"]:
            assert by_label[point["of"]]["value"] == pytest.approx(shares if point["predicts"] else half)
    assert fitted["thresholds"]["whole"] == [0.5] * 3
    assert set(metrics["decisions"]["precision_recall"]["test"]) == set("abc")
    assert metrics["decisions"]["net_benefit"] == {}


def test_a_label_that_validation_lacks_is_said_and_the_others_have_theirs():
    def without_a(seed):
        table = of_labels(seed)
        return table.assign(target=np.where(table["part"] == "validation", table["target"] & 6, table["target"]))

    study = make_study(data=DATA, seeds=1, arms=arms("multilabel", "binary_cross_entropy"), operating_points=["youden"])
    _, metrics = evaluated(study, without_a)
    problems = [point["problem"] for point in metrics["decisions"]["points"]]
    assert problems == ["no validation image is a", "", ""]


def test_a_class_among_many_against_all_others():
    study = make_study(seeds=1, operating_points=[{"specificity": 0.9, "of": "c"}])
    _, metrics = evaluated(study, lambda seed: make_table(0, seed, sizes=SIZES))
    (point,) = metrics["decisions"]["points"]
    (spared, alarms), (missed, found) = point["parts"]["test"]["image"]["confusion"]
    test = make_table(0, 0, sizes=SIZES)[lambda table: table["part"] == "test"]
    assert missed + found == (test["target"] == 2).sum()
    assert spared + alarms == (test["target"] != 2).sum()


def grades(seed):
    table = make_table(0, seed, sizes=SIZES)
    noise = np.random.default_rng(seed).normal(size=len(table))
    return table.drop(columns=table.filter(like="classification_").columns).assign(regression=table["target"] + noise)


def test_grades_without_probabilities_have_thresholds_on_their_line():
    points = [
        {"sensitivity": 0.9, "of": "referable"},
        {"threshold": 1.5, "of": "referable"},
        {"youden": True, "of": "b"},
    ]
    study = make_graded(seeds=1, arms=arms("regression", "mse"), operating_points=points)
    _, metrics = evaluated(study, grades)
    first, second, third = metrics["decisions"]["points"]
    test = grades(0)[lambda table: table["part"] == "test"]
    assert first["scale"] == "grade"
    for point in (first, second):
        called, positive = test["regression"] >= point["threshold"], test["target"] >= 2
        share = point["parts"]["test"]["image"]["metrics"]["specificity"]["value"]
        assert share == pytest.approx((~called)[~positive].mean())
    assert third["problem"] == "the arm is read from grades, which do not rank one class between others"
    assert list(metrics["decisions"]["precision_recall"]["test"]) == ["any_disease", "referable"]


def test_out_of_fold_rows_have_the_threshold_without_their_fold():
    study = make_study(classes=2, seeds=1, split={"folds": 2}, operating_points=["youden"])
    for run in study.runs("one"):
        table = make_table(0, 0, classes=2, sizes={"validation": 60, "train": 60, "test": 40})
        other = {"validation": "train", "train": "validation", "test": "test"}
        parts = table["part"] if run.fold == 0 else table["part"].map(other)
        write_run(study, "one", run.fold, run.seed, table.assign(part=parts, fold=run.fold))
    posttrain(study, "one")
    evaluate(study, "one")
    metrics = json.loads(Path("results/full/heads/one/metrics.json").read_text())
    parts = metrics["decisions"]["points"][0]["parts"]
    assert set(parts) == {"out_of_fold", "test"}
    assert parts["out_of_fold"]["image"]["n"] == 120
