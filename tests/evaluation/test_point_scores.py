"""What operating points score: counted by hand, with intervals that hold for another validation part, too."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sample_predictions import make_graded, make_study, make_table, write_run
from scipy.special import softmax
from sklearn.metrics import confusion_matrix, precision_recall_curve
from tests.point_coverage import Case, cover, drawn

from rescan.evaluation.crossfit import crossfit_fold
from rescan.evaluation.evaluate import evaluate
from rescan.evaluation.point_fitting import _fitted
from rescan.evaluation.point_scores import _score, ratio_interval
from rescan.evaluation.posttrain import posttrain
from rescan.metrics.intervals import wilson
from rescan.results.posttraining import CROSSFIT
from rescan.study.operating_points import OperatingPoint, Question

SIZES = {"train": 20, "validation": 90, "test": 60}


def evaluated(study, change=None, **options):
    """posttraining.json and metrics.json of an arm."""
    for run in study.runs("one"):
        table = make_table(run.fold, run.seed, classes=len(study.data.classes), **{"sizes": SIZES, **options})
        write_run(study, "one", run.fold, run.seed, change(table) if change else table)
    posttrain(study, "one")
    evaluate(study, "one")
    folder = Path("results/full/heads/one")
    return [json.loads((folder / name).read_text()) for name in ("posttraining.json", "metrics.json")]


def probabilities(fitted, table, part, k=1):
    """Of class k and above, with the temperature that holds for each row; and the rows."""
    rows = table[table["part"] == part]
    temperature = fitted["temperatures"]["classification"]
    own = np.full(len(rows), temperature["whole"])
    if part == "validation":
        own = np.array(temperature["crossfit"])[crossfit_fold(rows["group"])]
    logits = rows.filter(like="classification_").to_numpy() / own[:, None]
    return softmax(logits, axis=1)[:, k:].sum(1), rows


def scores_of(metrics, part, level="image", number=0):
    return metrics["decisions"]["points"][number]["parts"][part][level]


@pytest.mark.usefixtures("cases")
def test_counts_are_those_of_the_threshold_and_of_validation_of_the_one_without_the_fold():
    point = {"sensitivity": 0.9, "prevalence": 0.1}
    fitted, metrics = evaluated(make_study(classes=2, operating_points=[point]))
    tables = [make_table(0, seed, classes=2, sizes=SIZES) for seed in range(3)]
    for part in ("test", "validation"):
        of_runs, counts = [], []
        for table in tables:
            scores, rows = probabilities(fitted, table, part)
            lowest = np.full(len(rows), fitted["points"][0]["threshold"]["whole"])
            if part == "validation":
                lowest = np.array(fitted["points"][0]["threshold"]["crossfit"])[crossfit_fold(rows["group"])]
            counts.append(confusion_matrix(rows["target"], scores >= lowest))
            (tn, fp), (fn, tp) = counts[-1]
            of_runs.append([tp / (tp + fn), tn / (tn + fp), tp / (tp + fp), tn / (tn + fn)])
        found = scores_of(metrics, part)
        assert found["confusion"] == pytest.approx(np.mean(counts, axis=0))
        for name, values in zip(("sensitivity", "specificity", "ppv", "npv"), np.transpose(of_runs)):
            own = found["metrics"][name]
            assert own["runs"] == pytest.approx(values)
            assert own["value"] == pytest.approx(values.mean())
            assert own["low"] < own["value"] < own["high"] or own["value"] == 1 == own["high"]
        sensitivity, specificity = (found["metrics"][name]["value"] for name in ("sensitivity", "specificity"))
        by_bayes = 0.1 * sensitivity / (0.1 * sensitivity + 0.9 * (1 - specificity))
        assert found["metrics"]["ppv_at_prevalence"]["value"] == pytest.approx(by_bayes)
        by_bayes = 0.9 * specificity / (0.9 * specificity + 0.1 * (1 - sensitivity))
        assert found["metrics"]["npv_at_prevalence"]["value"] == pytest.approx(by_bayes)


@pytest.mark.usefixtures("cases")
def test_predicted_classes_are_read_at_the_point_that_predicts():
    plain, _ = evaluated(make_study(classes=2, operating_points=[{"sensitivity": 0.95}]))
    fitted, metrics = evaluated(make_study(classes=2, operating_points=[{"sensitivity": 0.95, "predicts": True}]))
    assert fitted["points"][0]["threshold"] == plain["points"][0]["threshold"]
    of_test, at_point = metrics["parts"]["test"]["image"]["metrics"], scores_of(metrics, "test")
    for name in ("sensitivity", "specificity", "ppv", "npv"):
        assert of_test[name]["value"] == pytest.approx(at_point["metrics"][name]["value"])
    assert metrics["confusion"]["test"] == pytest.approx(np.array(at_point["confusion"]))
    of_validation = metrics["parts"]["validation"]["image"]["metrics"]["sensitivity"]["value"]
    assert of_validation == pytest.approx(scores_of(metrics, "validation")["metrics"]["sensitivity"]["value"])


@pytest.mark.usefixtures("cases")
def test_a_point_that_calls_everything_positive_is_no_collapse_of_the_network():
    _, metrics = evaluated(make_study(classes=2, operating_points=[{"threshold": 0.001, "predicts": True}]))
    assert metrics["parts"]["test"]["image"]["metrics"]["sensitivity"]["value"] == 1
    assert not [finding for finding in metrics["diagnosis"] if finding["finding"] == "collapsed"]


@pytest.mark.usefixtures("cases")
def test_a_point_that_predicts_but_has_no_threshold_leaves_the_classes_as_they_are():
    def one_sided(table):
        return table[(table["part"] != "validation") | (table["target"] == 0)]

    _, metrics = evaluated(make_study(classes=2, operating_points=[{"youden": True, "predicts": True}]), one_sided)
    assert metrics["decisions"]["points"][0]["parts"] == {}
    assert "youden of b, which predicts: no validation image is b" in metrics["warnings"]
    _, plain = evaluated(make_study(classes=2), one_sided)
    assert metrics["confusion"] == plain["confusion"]


def with_studies(table):
    """Patients of two images, each patient a study."""
    return table.assign(patient=table["group"], study="1")


@pytest.mark.usefixtures("cases")
def test_patients_have_the_threshold_of_images_for_their_mean_or_highest_score():
    def differing(table):  # images of a patient differ, their labels do not
        return with_studies(table).assign(target=table["item"] // 2 % 2)

    fitted, metrics = evaluated(make_study(classes=2, operating_points=["youden"], seeds=1), differing)
    scores, rows = probabilities(fitted, differing(make_table(0, 0, classes=2, sizes=SIZES)), "test")
    of_patient = pd.Series(scores, rows["patient"].to_numpy()).groupby(level=0).mean()
    truth = rows.groupby("patient")["target"].first()
    called = of_patient >= fitted["points"][0]["threshold"]["whole"]
    assert scores_of(metrics, "test", "patient")["confusion"] == pytest.approx(confusion_matrix(truth, called))
    point = {"youden": True, "of": "referable"}
    fitted, metrics = evaluated(make_graded(operating_points=[point], seeds=1), with_studies)
    scores, rows = probabilities(fitted, with_studies(make_table(0, 0, sizes=SIZES)), "test", 2)
    highest = pd.Series(scores, rows["patient"].to_numpy()).groupby(level=0).max()
    truth = rows.groupby("patient")["target"].max() >= 2
    called = highest >= fitted["points"][0]["threshold"]["whole"]
    assert scores_of(metrics, "test", "patient")["confusion"] == pytest.approx(confusion_matrix(truth, called))


@pytest.mark.usefixtures("cases")
def test_a_collapsed_network_has_a_sentence_and_no_curve_of_points():
    def constant(table):
        return table.assign(classification_0=0.3, classification_1=-0.3)

    _, metrics = evaluated(make_study(classes=2, operating_points=["youden", {"threshold": 0.3}]), constant)
    first, second = metrics["decisions"]["points"]
    assert first["problem"] == "all validation images have the same score: no threshold tells them apart"
    assert second["parts"]["test"]["image"]["metrics"]["sensitivity"]["value"] == 1


@pytest.mark.usefixtures("cases")
def test_curves_are_those_of_scikit_learn_and_of_a_hand_count():
    fitted, metrics = evaluated(make_study(classes=2, seeds=1))
    scores, rows = probabilities(fitted, make_table(0, 0, classes=2, sizes=SIZES), "test")
    positive = rows["target"].to_numpy() == 1
    precision, recall, _ = precision_recall_curve(positive, scores)
    (curve,) = metrics["decisions"]["precision_recall"]["test"].values()
    np.testing.assert_allclose(curve["recall"], recall[:-1][::-1], atol=1e-5)
    np.testing.assert_allclose(curve["precision"], precision[:-1][::-1], atol=1e-5)
    (benefit,) = metrics["decisions"]["net_benefit"]["test"].values()
    for p, value, low, high, everyone in zip(
        *(benefit[k] for k in ("thresholds", "model", "low", "high", "treat_all"))
    ):
        called = scores >= p
        by_hand = (called & positive).mean() - (called & ~positive).mean() * p / (1 - p)
        assert value == pytest.approx(by_hand, abs=1e-4)
        assert low <= value <= high
        assert everyone == pytest.approx(positive.mean() - (1 - positive.mean()) * p / (1 - p), abs=1e-4)
    assert list(metrics["curves"]["roc"]["test"]) == ["b"]  # that of a is the same, turned around


def test_intervals_hold_if_validation_and_test_are_drawn_anew():
    shares, found = cover(Case(60, 200, 1, 1, {"sensitivity": 0.9}), 50, seed=5)
    assert min(shares.values()) >= 0.9
    for name, patients in (("sensitivity", 60), ("specificity", 140)):
        alone = [np.subtract(*wilson(own[name].value, patients)[::-1]) for own in found]
        width = np.mean([own[name].high - own[name].low for own in found])
        assert width > 1.2 * np.mean(alone)  # of a threshold that is not fitted


def test_no_interval_is_of_width_zero():
    rng, question = np.random.default_rng(0), Question("ill", "class", 1)
    positive = np.arange(10) % 2 == 0
    sure = drawn(rng, 10)._replace(positive=positive, scores=np.where(positive, 0.9, 0.1))
    for point in (OperatingPoint(youden=True, prevalence=0.01), OperatingPoint(threshold=0.5, prevalence=0.01)):
        fitted = _fitted(point, question, dict.fromkeys([None, *range(CROSSFIT)], sure), sure, graded=False)
        for name, own in _score(fitted, sure, "image", "patient").metrics.items():
            assert own.value == 1, name
            assert own.low < 0.75 or name == "npv_at_prevalence", name


def test_the_interval_of_a_ratio():
    # Wilson's of 0 of 20 and of 18 of 20; a ratio of 0 has 0 below it and more than 0 above it.
    none, most = wilson(0, 20), wilson(0.9, 20)
    low, high = ratio_interval((0, *none), (0.9, *most))
    assert low == 0
    assert high == pytest.approx(none[1] / np.sqrt(most[0] * (2 * 0.9 - most[0])))
    assert ratio_interval((0.5, 0.4, 0.6), (0, 0, 0.2))[1] == np.inf
    rng = np.random.default_rng(0)
    one, two = rng.normal(0.2, 0.02, 100_000), rng.normal(0.8, 0.03, 100_000)
    z = 1.96
    found = ratio_interval((0.2, 0.2 - z * 0.02, 0.2 + z * 0.02), (0.8, 0.8 - z * 0.03, 0.8 + z * 0.03))
    assert found == pytest.approx(tuple(np.percentile(one / two, [2.5, 97.5])), abs=2e-3)
