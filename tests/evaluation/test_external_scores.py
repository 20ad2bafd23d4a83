"""Scores on external data, against scikit-learn and published examples."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sample_files import read_json
from sklearn.metrics import accuracy_score, brier_score_loss, cohen_kappa_score, roc_auc_score

from rescan.evaluation.evaluate import evaluate
from rescan.metrics.intervals import wilson
from rescan.results.metrics_file import Estimate, difference
from rescan.study import Study

EXTERNAL = {"external": {"h2": {"source": {"path": "raw2"}, "layout": "table"}}}
METRICS = "results/full/heads/one/metrics.json"


def with_external(study: Study) -> Study:
    content = study.model_dump()
    return Study.model_validate({**content, "data": {**content["data"], **EXTERNAL}})


def external_table(cases: SimpleNamespace, fold: int, seed: int, classes: int = 2) -> pd.DataFrame:
    """Predictions of 90 external samples, whose groups are called as those at home are."""
    sizes = {"external": 90}
    return cases.make_table(fold, seed, classes=classes, skill=0.7, sizes=sizes, luck=5, patients=True)


def evaluated(cases: SimpleNamespace, study: Study, change: Any = None) -> dict[str, Any]:
    for run in study.runs("one"):
        if study.data.external:
            table = external_table(cases, run.fold, run.seed, len(study.data.classes))
            cases.write_run(study.external("h2"), "one", run.fold, run.seed, change(table) if change else table)
    evaluate(study, "one")
    found: dict[str, Any] = read_json(METRICS)
    return found


def test_operating_points_are_those_of_home(cases: SimpleNamespace) -> None:
    study = with_external(cases.make_study(classes=2, seeds=1, operating_points=["youden"]))
    cases.write_arm(study, "one")
    (point,) = evaluated(cases, study)["decisions"]["points"]
    whole = read_json("results/full/heads/one/posttraining.json")["temperatures"]["classification"]["whole"]
    table = external_table(cases, 0, 0)
    odds = (table["classification_1"] - table["classification_0"]) / whole
    called, positive = 1 / (1 + np.exp(-odds)) >= point["threshold"], table["target"] == 1
    level = point["parts"]["external/h2"]["image"]
    assert level["confusion"][1] == [(~called & positive).sum(), (called & positive).sum()]
    assert level["metrics"]["sensitivity"]["value"] == pytest.approx(called[positive].mean())
    assert set(point["parts"]) == {"validation", "test", "external/h2"}


def test_scores_are_scikit_learns_with_the_temperature_of_home(cases: SimpleNamespace) -> None:
    study = with_external(cases.make_study(classes=2, seeds=2))
    cases.write_arm(study, "one")
    found = evaluated(cases, study)
    whole = read_json("results/full/heads/one/posttraining.json")["temperatures"]["classification"]["whole"]
    tables = [external_table(cases, 0, seed) for seed in (0, 1)]
    target = tables[0]["target"]
    odds = [(table["classification_1"] - table["classification_0"]) / whole for table in tables]
    probability = [1 / (1 + np.exp(-own)) for own in odds]
    entry = found["parts"]["external/h2"]["image"]
    values = {name: entry["metrics"][name]["value"] for name in ("accuracy", "auroc", "brier")}
    assert values["accuracy"] == pytest.approx(np.mean([accuracy_score(target, own > 0) for own in odds]))
    assert values["auroc"] == pytest.approx(np.mean([roc_auc_score(target, own) for own in odds]))
    assert values["brier"] == pytest.approx(np.mean([brier_score_loss(target, own) for own in probability]))
    assert (entry["n"], entry["groups"]) == (90, 45)
    assert np.sum(found["confusion"]["external/h2"]) == 90
    test = found["parts"]["test"]["image"]["metrics"]
    for name, value in values.items():
        assert found["external"]["h2"]["metrics"][name]["value"] == pytest.approx(value - test[name]["value"])


def test_nothing_at_home_depends_on_external_data(cases: SimpleNamespace) -> None:
    study = cases.make_graded(seeds=2, split={"folds": 2, "test": 0.3})

    def folds(table: pd.DataFrame) -> pd.DataFrame:
        part = np.where(table["item"] // 2 % 2 == table["fold"], "validation", "train")
        return table.assign(part=table["part"].where(table["part"] == "test", part))

    cases.write_arm(study, "one", folds)
    alone = evaluated(cases, study)
    found = evaluated(cases, with_external(study))
    tables = [external_table(cases, fold, seed, 4) for fold in (0, 1) for seed in (0, 1)]
    logits = [table.filter(like="classification_").to_numpy() for table in tables]
    kappas = [
        cohen_kappa_score(table["target"], own.argmax(1), weights="quadratic") for table, own in zip(tables, logits)
    ]
    own = found["parts"].pop("external/h2")
    assert own["image"]["metrics"]["quadratic_kappa"]["value"] == pytest.approx(np.mean(kappas))
    assert found.pop("external")["h2"]["endpoints"].keys() == {"any_disease", "referable"}
    for endpoint in found["endpoints"].values():
        assert endpoint["parts"].pop("external/h2")["image"]["n"] == 90
    del found["confusion"]["external/h2"]
    assert found["confidence"]["calibration"].pop("external/h2")["referable"]["n"] == 4 * 90
    assert found["confidence"]["referral"].pop("external/h2").keys() == {"", "any_disease", "referable"}
    alone.pop("external", None)
    found["warnings"] = [text for text in found["warnings"] if not text.startswith("external/h2")]
    assert found == alone


def test_a_class_may_be_missing(cases: SimpleNamespace) -> None:
    study = with_external(cases.make_study(classes=2, seeds=1))
    cases.write_arm(study, "one")
    found = evaluated(cases, study, lambda table: table[table["target"] == 1])
    entry = found["parts"]["external/h2"]["image"]["metrics"]
    assert entry["sensitivity"]["value"] is not None
    assert entry["auroc"]["value"] is None
    assert "auroc" not in found["external"]["h2"]["metrics"]
    assert any(text.startswith("external/h2") and "AUROC, as none is of “a”" in text for text in found["warnings"])


def test_a_difference_has_newcombes_interval() -> None:
    """His first example, 56/70 against 48/80 (Newcombe 1998, method 10): .2 (.0524 to .3339)."""

    def share(right: int, n: int) -> Estimate:
        low, high = wilson(right / n, n)
        return Estimate(value=right / n, low=low, high=high, method="wilson", runs=[], seed_sd=None)

    found = difference(share(48, 80), share(56, 70))
    assert found is not None
    assert (found.value, found.low, found.high) == pytest.approx((0.2, 0.0524, 0.3339), abs=5e-5)
    assert difference(share(48, 80), Estimate.model_validate({**share(1, 2).model_dump(), "value": None})) is None
