"""What metrics.json says of probabilities: of every class, label and endpoint; and what is said where it cannot."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.special import softmax
from sklearn.metrics import accuracy_score, brier_score_loss, recall_score

from rescan.evaluation import selective
from rescan.evaluation.evaluate import evaluate
from rescan.results.metrics_file import Metrics
from rescan.study import Study

FOLDER = Path("results/full/heads/one")
LOGITS = [f"classification_{k}" for k in range(4)]


def evaluated(cases: SimpleNamespace, study: Study, change: Any = None, **options: Any) -> Metrics:
    cases.write_arm(study, "one", change, **options)
    evaluate(study, "one")
    return Metrics.read(FOLDER / "metrics.json")


def test_probabilities(cases: SimpleNamespace) -> None:
    metrics = evaluated(cases, cases.make_study())
    fitted = json.loads((FOLDER / "posttraining.json").read_text())["temperatures"]["classification"]["whole"]
    tables = pd.concat([cases.make_table(0, seed) for seed in range(3)]).query("part == 'test'")
    logits, target = tables[LOGITS].to_numpy(), tables["target"].to_numpy()
    found = metrics.confidence.calibration
    assert list(found) == ["test"]
    assert list(found["test"]) == list("abcd")
    for number, one in enumerate(found["test"].values()):
        assert (one.kind, one.n, one.present, one.groups, one.undefined) == ("class", 240, 60, 40, "")
        for reliability, temperature in ((one.before, 1), (one.after, fitted)):
            probability = softmax(logits / temperature, axis=1)[:, number]
            expected = brier_score_loss(target == number, probability)
            assert reliability.brier.value == pytest.approx(expected, abs=1e-6)
            assert np.average(
                [entry.predicted for entry in reliability.bins], weights=[entry.rows for entry in reliability.bins]
            ) == pytest.approx(probability.mean())
            for quantity in (reliability.ece, reliability.slope, reliability.intercept, reliability.brier):
                assert quantity.low < quantity.high
    # Logits of a normal distribution with a shift of 2 have a true slope of 2: the temperature finds it.
    assert fitted == pytest.approx(0.5, abs=0.1)
    assert found["test"]["a"].before.slope.low > 1
    assert found["test"]["a"].after.slope.low < 1 < found["test"]["a"].after.slope.high


def test_referral_of_two_classes(cases: SimpleNamespace) -> None:
    metrics = evaluated(cases, cases.make_study(classes=2), skill=1.0)
    assert list(metrics.confidence.calibration["test"]) == ["b"]
    one = metrics.confidence.referral["test"][""]
    half = one.referred.index(0.5)
    kept = []
    for seed in range(3):
        table = cases.make_table(0, seed, classes=2, skill=1.0).query("part == 'test'").reset_index(drop=True)
        margin = (table["classification_1"] - table["classification_0"]).abs()
        kept.append(table.loc[margin.nlargest(40).index])
    rest = pd.concat(kept)
    predicted = (rest["classification_1"] > rest["classification_0"]).astype(int)
    assert one.accuracy[0].value == pytest.approx(metrics.estimate("accuracy").value, abs=1e-6)
    assert one.accuracy[half].value == pytest.approx(accuracy_score(rest["target"], predicted), abs=1e-6)
    assert one.sensitivity[half].value == pytest.approx(recall_score(rest["target"], predicted), abs=1e-6)
    assert one.specificity[half].value == pytest.approx(recall_score(1 - rest["target"], 1 - predicted), abs=1e-6)
    assert one.target == pytest.approx((1 + one.accuracy[0].value) / 2)
    assert one.accuracy[one.referred.index(one.needed)].value >= one.target


def test_endpoints_of_grades(cases: SimpleNamespace) -> None:
    metrics = evaluated(cases, cases.make_graded())
    found = metrics.confidence.calibration["test"]
    assert {name: one.kind for name, one in found.items() if one.kind != "class"} == {
        "any_disease": "endpoint",
        "referable": "endpoint",
    }
    assert [found[name].present for name in ("any_disease", "referable")] == [180, 120]
    assert list(metrics.confidence.referral["test"]) == ["", "any_disease", "referable"]


def test_heads_without_probabilities_have_none(cases: SimpleNamespace) -> None:
    heads = {"network": {"encoder": "resnet18", "heads": {"regression": {}, "classification": {}}}}
    losses = {"regression": "mse", "classification": "cross_entropy"}
    stages = {"main": {"epochs": 1, "optimizer": {"name": "adam"}, "losses": losses}}
    study = cases.make_graded(arms={"one": {**heads, "stages": stages, "posttrain": {"head": "regression"}}})
    metrics = evaluated(cases, study, lambda table: table.assign(regression=table["target"] + table[LOGITS[0]]))
    assert metrics.confidence.calibration == {}
    assert metrics.confidence.referral == {}


def test_without_a_test_part_it_is_of_validation(cases: SimpleNamespace) -> None:
    metrics = evaluated(cases, cases.make_study(), sizes={"train": 80, "validation": 60})
    assert {part: of["a"].n for part, of in metrics.confidence.calibration.items()} == {"validation": 180}


def without_last(table: pd.DataFrame) -> pd.DataFrame:
    return table[(table["target"] != 3) | (table["part"] != "test")]


def constant(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(**dict(zip(LOGITS, (0.0, 1.0, 0.0, 0.0))))


def always_right(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(**{name: 9.0 * (table["target"] == k) for k, name in enumerate(LOGITS)})


def always_wrong(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(**{name: -9.0 * (table["target"] == k) for k, name in enumerate(LOGITS)})


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (without_last, {"d": "none has it"}),
        (constant, dict.fromkeys("abcd", "all have the same probability")),
        (always_right, dict.fromkeys("abcd", "one threshold tells the two apart without an error")),
        (always_wrong, dict.fromkeys("abcd", "one threshold tells the two apart without an error")),
        (lambda table: table[(table["part"] != "test") | (table["target"] == 0)], {"a": "all have it"}),
        (lambda table: table[(table["part"] != "test") | (table["item"] == 181)], {"a": "none has it"}),
    ],
)
def test_what_is_undefined_is_said(cases: SimpleNamespace, change: Any, why: dict[str, str]) -> None:
    found = evaluated(cases, cases.make_study(seeds=2), change).confidence
    for name, reason in why.items():
        one = found.calibration["test"][name]
        assert one.undefined.startswith(reason)
        assert one.after.slope.value is None
        assert one.after.brier.high - one.after.brier.low > 0.01
    assert found.referral["test"][""].accuracy[0].value is not None


@pytest.mark.parametrize(("change", "end", "bound"), [(always_right, "lower", "0.05"), (always_wrong, "upper", "20")])
def test_a_temperature_at_its_bound_is_said(cases: SimpleNamespace, change: Any, end: str, bound: str) -> None:
    (line,) = [text for text in evaluated(cases, cases.make_study(), change).warnings if "temperature" in text]
    assert line.startswith(f"the temperature of the classification head ended at the {end} bound of the fit, {bound}:")
    assert not any("temperature" in text for text in evaluated(cases, cases.make_study()).warnings)


def test_where_all_temperatures_are_equally_good_it_is_1(cases: SimpleNamespace) -> None:
    metrics = evaluated(cases, cases.make_study(), lambda table: table.assign(**dict.fromkeys(LOGITS, 0.0)))
    fitted = json.loads((FOLDER / "posttraining.json").read_text())["temperatures"]["classification"]
    assert {fitted["whole"], *fitted["crossfit"]} == {1}
    assert not any("temperature" in text for text in metrics.warnings)


def test_what_is_undefined_is_one_sentence_for_a_part(cases: SimpleNamespace) -> None:
    metrics = evaluated(cases, cases.make_study(), without_last, patients=True)
    (line,) = [text for text in metrics.warnings if text.startswith("test")]
    assert line == ("test by image and patient: no balanced accuracy, sensitivity, AUROC and AUPRC, as none is of “d”")

    def never(table: pd.DataFrame) -> pd.DataFrame:
        return table.assign(classification_3=table["classification_3"] - 99 * (table["seed"] == 1))

    lines = [text for text in evaluated(cases, cases.make_study(), never).warnings if "PPV" in text]
    assert lines == ["train, validation and test: no PPV, as none is predicted as “d” in some runs"]


def test_confidence_at_a_threshold_is_the_distance_from_it() -> None:
    positive = np.array([0.05, 0.2, 0.6, 0.9])
    log_probabilities = np.log(np.stack([1 - positive, positive], axis=1))
    plain = selective._confidence(log_probabilities, None)
    assert np.exp(plain) == pytest.approx([0.95, 0.8, 0.6, 0.9])
    at = selective._confidence(log_probabilities, np.full(4, 0.2))
    assert at == pytest.approx([np.log(0.25 / (0.05 / 0.95)), 0, np.log(1.5 / 0.25), np.log(9 / 0.25)])
    assert selective._confidence(log_probabilities, np.array([0.2, 0.2, np.nan, 0.2])) == pytest.approx(plain)
