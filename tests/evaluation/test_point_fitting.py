"""Operating points as fitted: against all thresholds of scikit-learn's curves, and where nothing can be fitted."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as some
from sample_predictions import make_graded, make_study, make_table, write_run
from scipy.special import expit, logit, softmax
from sklearn.metrics import precision_recall_curve, roc_curve

from rescan.errors import RescanError
from rescan.evaluation import predictions
from rescan.evaluation.answers import Answers
from rescan.evaluation.crossfit import crossfit_fold
from rescan.evaluation.point_fitting import _resampled, chosen
from rescan.evaluation.posttrain import posttrain
from rescan.evaluation.readings import read_posttraining
from rescan.metrics.intervals import wilson
from rescan.metrics.sweep import accumulated, cuts, sweep
from rescan.study.operating_points import OperatingPoint

pytestmark = pytest.mark.usefixtures("folder")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder, to which the studies' paths are relative."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("points"))
        yield


def threshold(point, scores, positive):
    rows = sweep(np.asarray(scores, float), np.asarray(positive, bool), np.zeros(len(scores), int))
    ends, thresholds = cuts(rows)
    place = chosen(
        OperatingPoint.model_validate(point), *(side[:, ends] for side in accumulated(rows, np.ones((1, 1))))
    )[0]
    return None if place < 0 else thresholds[place]


def sample(seed):
    rng = np.random.default_rng(seed)
    positive = rng.random(80) < 0.3
    return (rng.random(80) + 0.5 * positive).round(1) / 1.5, positive  # with ties


@pytest.mark.parametrize("seed", range(8))
def test_rules_are_the_best_that_curves_offer(seed):
    scores, positive = sample(seed)
    alarms, hits, _ = roc_curve(positive, scores, drop_intermediate=False)
    rates = {}
    for rule in ("youden", {"sensitivity": 0.9}, {"specificity": 0.8}, {"cost": {"fn": 5, "fp": 1}}, {"ppv": 0.6}):
        called = scores >= threshold(rule, scores, positive)
        rates[str(rule)] = called[positive].mean(), called[~positive].mean()
    (found, alarmed), *others = rates.values()
    assert found - alarmed == pytest.approx((hits - alarms).max())
    assert others[0] == pytest.approx((hits[hits >= 0.9].min(), alarms[hits >= 0.9].min()))  # the highest threshold
    assert others[1][0] == pytest.approx(hits[1 - alarms >= 0.8].max())
    share = positive.mean()
    assert 5 * share * (1 - others[2][0]) + (1 - share) * others[2][1] == pytest.approx(
        (5 * share * (1 - hits) + (1 - share) * alarms).min()
    )
    precision, recall, _ = precision_recall_curve(positive, scores)
    assert others[3][0] == pytest.approx(recall[:-1][precision[:-1] >= 0.6].max())


def test_a_declared_prevalence_replaces_that_of_the_data():
    scores, positive = [0.9, 0.8, 0.7, 0.6, 0.5, 0.4], [True, False, True, True, False, False]
    # From 0.6 on 3 of 3 are found with 1 of 3 false alarms: a PPV of 3/4 among as many of both, of 1/4 at 10 %.
    assert threshold({"ppv": 0.7}, scores, positive) == pytest.approx(0.55)
    assert threshold({"ppv": 0.7, "prevalence": 0.1}, scores, positive) == pytest.approx(0.85)
    assert threshold({"cost": {"fn": 1, "fp": 1}}, scores, positive) == pytest.approx(0.55)
    assert threshold({"cost": {"fn": 1, "fp": 1}, "prevalence": 0.1}, scores, positive) == pytest.approx(0.85)


def test_what_no_threshold_reaches():
    assert threshold({"ppv": 0.9}, [0.9, 0.8, 0.7], [False, True, False]) is None
    assert threshold({"specificity": 0.9}, [0.9, 0.8, 0.7], [False, True, False]) > 0.9
    for rule in ("youden", {"sensitivity": 0.9}, {"specificity": 0.9}, {"ppv": 0.5}, {"cost": {"fn": 1, "fp": 1}}):
        assert threshold(rule, [0.9, 0.8], [True, True]) is None
        assert threshold(rule, [0.9, 0.8], [False, False]) is None


@given(some.integers(0, 500), some.floats(0.02, 0.98), some.floats(0.02, 0.98))
def test_more_sensitivity_takes_a_lower_threshold_and_more_specificity_a_higher_one(seed, one, other):
    scores, positive = sample(seed)
    low, high = sorted((one, other))
    assert threshold({"sensitivity": low}, scores, positive) >= threshold({"sensitivity": high}, scores, positive)
    assert threshold({"specificity": low}, scores, positive) <= threshold({"specificity": high}, scores, positive)


@given(some.integers(0, 500), some.floats(0.05, 20))
def test_the_dearer_a_miss_the_lower_the_threshold(seed, ratio):
    scores, positive = sample(seed)
    cheap, dear = (threshold({"cost": {"fn": fn, "fp": 1}}, scores, positive) for fn in (ratio, 2 * ratio))
    assert dear <= cheap


def fitted(study, change=None, **options):
    for run in study.runs("one"):
        table = make_table(run.fold, run.seed, classes=len(study.data.classes), **options)
        write_run(study, "one", run.fold, run.seed, change(table) if change else table)
    posttrain(study, "one")
    return json.loads(Path("results/full/heads/one/posttraining.json").read_text())


ALL = ["youden", {"sensitivity": 0.9}, {"specificity": 0.9}, {"ppv": 0.8}, {"cost": {"fn": 5, "fp": 1}}, 0.3]


def test_of_two_classes_it_is_fitted_on_validation_pooled_over_runs():
    content = fitted(make_study(classes=2, operating_points=ALL), sizes={"validation": 90, "test": 40})
    temperature = content["temperatures"]["classification"]
    tables = [make_table(0, seed, classes=2, sizes={"validation": 90, "test": 40}) for seed in range(3)]
    rows = [table[table["part"] == "validation"] for table in tables]
    fold = crossfit_fold(rows[0]["group"])
    for left_out in (None, 0, 3):
        kept = fold != left_out
        own = temperature["whole"] if left_out is None else temperature["crossfit"][left_out]
        logits = [table[["classification_0", "classification_1"]].to_numpy()[kept] / own for table in rows]
        scores = np.concatenate([softmax(each, axis=1)[:, 1] for each in logits])
        positive = np.tile(rows[0]["target"].to_numpy()[kept] == 1, 3)
        for point, rule in zip(content["points"], ALL):
            of = point["threshold"]["whole"] if left_out is None else point["threshold"]["crossfit"][left_out]
            assert of == pytest.approx(0.3 if rule == 0.3 else threshold(rule, scores, positive))
    target = content["points"][1]
    assert (target["name"], target["of"], target["scale"]) == ("sensitivity_90", "b", "probability")
    assert (target["having"], target["lacking"]) == (22, 23)  # groups of two images
    assert target["reached"]["sensitivity"] >= 0.9
    found = []  # of each positive row, at the threshold that was fitted without its fold
    for left_out in range(5):
        own = fold == left_out
        for table in rows:
            logits = table[["classification_0", "classification_1"]].to_numpy()[own] / temperature["crossfit"][left_out]
            positive = table["target"].to_numpy()[own] == 1
            found += (softmax(logits, axis=1)[positive, 1] >= target["threshold"]["crossfit"][left_out]).tolist()
    assert target["lower"] == pytest.approx(wilson(np.mean(found), 22)[0])
    assert "22 groups with it are too few to guarantee 0.9" in target["problem"]
    assert len(target["resampled"]) == 300
    assert np.std(target["resampled"]) > 0
    assert not content["points"][5]["resampled"]


def test_endpoints_of_grades_have_the_summed_probability():
    content = fitted(make_graded(operating_points=[{"sensitivity": 0.8, "of": "referable"}]))
    own = content["temperatures"]["classification"]["whole"]
    tables = [make_table(0, seed) for seed in range(3)]
    rows = [table[table["part"] == "validation"] for table in tables]
    probabilities = [softmax(table.filter(like="classification_").to_numpy() / own, axis=1) for table in rows]
    scores = np.concatenate([each[:, 2:].sum(1) for each in probabilities])
    positive = np.tile(rows[0]["target"].to_numpy() >= 2, 3)
    (point,) = content["points"]
    assert (point["kind"], point["number"]) == ("endpoint", 2)
    assert point["threshold"]["whole"] == pytest.approx(threshold({"sensitivity": 0.8}, scores, positive))


def only(part, keep):
    """Leave rows of a part out, except those of some targets."""
    return lambda table: table[(table["part"] != part) | table["target"].isin(keep)]


def constant(table):
    return table.assign(classification_0=0.5, classification_1=-0.5)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (only("validation", [0]), "no validation image is b"),
        (only("validation", [1]), "no validation image is without b"),
        (only("validation", []), "the arm has no validation part to fit it on"),
        (constant, "all validation images have the same score: no threshold tells them apart"),
    ],
)
def test_where_nothing_can_be_fitted_it_is_said(change, problem):
    content = fitted(make_study(classes=2, operating_points=["youden", {"sensitivity": 0.9}, 0.3]), change)
    for point in content["points"][:2]:
        assert point["problem"] == problem
        assert point["threshold"] == {"whole": None, "crossfit": [None] * 5}
    assert content["points"][2]["threshold"]["whole"] == 0.3


def test_a_ppv_that_is_not_reached_is_said():
    def worst(table):  # the more certain, the more wrong
        return table.assign(classification_0=table["target"] * 2.0 + table["item"] / 1e3, classification_1=0.0)

    content = fitted(make_study(classes=2, operating_points=[{"ppv": 0.99}]), worst)
    assert content["points"][0]["problem"] == "no threshold reaches a PPV of 0.99 on the validation part"


def test_other_patients_might_have_given_lower_thresholds_than_any_score():
    """Of nine cases the lowest is what a sensitivity of 95 % asks for; a plain bootstrap never goes below it."""
    rng = np.random.default_rng(0)
    lowest = [np.quantile(rng.normal(1.5, 1, 9), 0.0) for _ in range(4000)]
    positive = np.arange(40) < 9
    spreads, below = [], []
    for _ in range(20):
        scores = expit(rng.normal(size=40) + 1.5 * positive)
        names = np.arange(40).astype(str)
        own = Answers(pd.DataFrame({"group": names, "patient": ""}), scores, positive)
        found = logit(_resampled(OperatingPoint(sensitivity=0.95), own, np.arange(40), graded=False))
        spreads.append(np.std(found))
        below.append((found < logit(scores[positive].min()) - 0.1).mean())
    assert np.mean(spreads) == pytest.approx(np.std(lowest), rel=0.35)
    assert np.mean(below) > 0.2


def test_a_file_without_the_points_of_the_study_is_refused():
    plain, with_points = (make_study(classes=2, operating_points=points) for points in ([], ["youden"]))
    fitted(plain)
    with pytest.raises(RescanError, match="points are not those of the study") as caught:
        read_posttraining(with_points, "one", predictions.read(with_points, "one"))
    assert "run posttrain" in str(caught.value)
    content = fitted(with_points)
    content["points"][0]["number"] = 2
    Path("results/full/heads/one/posttraining.json").write_text(json.dumps(content))
    with pytest.raises(RescanError, match="points: youden of b does not fit the classes"):
        read_posttraining(with_points, "one", predictions.read(with_points, "one"))
