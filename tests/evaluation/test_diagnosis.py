"""What a diagnosis names, and what it leaves alone."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sample_files import write_history

from rescan.evaluation.diagnosis import (
    accuracy_of_training,
    batch_norm,
    collapsed,
    diagnose,
    dropped,
    fitting,
    unlike_training,
)
from rescan.evaluation.readings import Reading
from rescan.results.diagnosis_file import Diagnosis
from rescan.results.metrics_file import Interval

CLASSES = ["glioma", "meningioma", "notumor", "pituitary"]
TEST = np.repeat(np.arange(4), [300, 306, 405, 300])


def run_of(predicted: np.ndarray, target: np.ndarray = TEST, part: str = "test") -> Reading:
    rows = pd.DataFrame({"part": part, "target": target, "fold": 0, "seed": 0})
    return Reading(rows, predicted, predicted.astype(float), None)


def checked(**accuracies: float | None) -> Diagnosis:
    return Diagnosis(collapsed=True, label="meningioma", share=1.0, **accuracies)


def test_collapsed_names_class_share_and_implied_accuracy() -> None:
    finding = collapsed(run_of(np.full(1311, 1)), CLASSES, None)
    assert finding is not None
    assert (finding.label, finding.share, finding.implied_accuracy) == ("meningioma", 1.0, [306, 1311])
    assert "306/1311 = 0.2334" in finding.text


@pytest.mark.parametrize(("others", "named"), [(41, True), (90, True), (91, False)])  # of 906 of the other classes
def test_collapse_is_what_happens_to_the_other_classes(others: int, named: bool) -> None:
    """41 others is what was seen once: 1,270 of 1,311, which are 96.9 %."""
    predicted = np.where(np.arange(1311) < others, 0, 2)
    assert (collapsed(run_of(predicted), CLASSES, None) is not None) == named


def test_a_class_that_most_images_have_is_no_collapse() -> None:
    target = np.repeat([0, 1], [2, 98])
    assert collapsed(run_of(target, target), CLASSES, None) is None
    assert collapsed(run_of(np.full(100, 1), target), CLASSES, None) is not None
    assert collapsed(run_of(np.full(20, 1), np.full(20, 1)), CLASSES, None) is None


def run_in_training(right: int, of: int = 100) -> Reading:
    return run_of(np.repeat([0, 1], [right, of - right]), np.zeros(of, int), "train")


@pytest.mark.parametrize(
    ("trained", "used", "accuracies", "named"),
    [
        (
            0.93,
            30,
            (0.94, 0.30, 0.92),
            "while it trained, 0.30 as the network is used; validation accuracy: train mode",
        ),
        (0.93, 30, None, "accuracy on training images 0.93 while it trained, 0.30 as the network is used"),
        (0.93, 30, (0.31, 0.30, 0.30), "consistent with images that are not those that it trained on"),
        (None, 30, (0.94, 0.30, 0.92), "unlike training; validation accuracy: train mode 0.94, eval mode 0.30"),
        (None, 30, (0.30, 0.35, 0.92), "consistent with stale batch-norm statistics"),
        (0.93, 79, (0.90, 0.81, 0.85), None),
        (0.93, 99, None, None),
        (None, 30, None, None),
    ],
)
def test_a_network_unlike_the_one_that_trained(
    trained: float | None, used: int, accuracies: tuple[float, float, float] | None, named: str | None
) -> None:
    keys = ("train_mode_accuracy", "eval_mode_accuracy", "recalibrated_accuracy")
    diagnosis = Diagnosis(collapsed=False, **dict(zip(keys, accuracies))) if accuracies else None
    finding = unlike_training(run_in_training(used), trained, diagnosis)
    assert (finding is not None) == (named is not None)
    assert finding is None or named in finding.text


def test_the_accuracy_of_a_training_counts_on_the_training_part_alone(cases: SimpleNamespace) -> None:
    recipe = cases.make_study().arms["one"]
    history = pd.DataFrame({"stage": "main", "kept": [0, 1, 0], "train_accuracy": [0.1, 0.9, 0.2]})
    assert accuracy_of_training(recipe, history) == 0.9
    assert accuracy_of_training(recipe, history.assign(train_accuracy=np.nan)) is None
    for other in ({"sampling": "balanced"}, {"samples": ["own", "more"]}):
        stages = {"main": recipe.stages["main"].model_copy(update=other)}
        assert accuracy_of_training(recipe.model_copy(update={"stages": stages}), history) is None


def test_validation_stands_in_for_a_missing_test_part() -> None:
    finding = collapsed(run_of(np.full(1311, 2), part="validation"), CLASSES, None)
    assert finding is not None
    assert "validation predictions" in finding.text


@pytest.mark.parametrize(
    ("accuracies", "reading"),
    [
        ((0.8, 0.25, 0.79), "stale batch-norm statistics"),
        ((0.27, 0.25, 0.25), "a wrong input scale"),
        ((None, 0.25, None), None),  # without batch norm
    ],
)
def test_batch_norm_readings(accuracies: tuple[Any, ...], reading: str | None) -> None:
    keys = ("train_mode_accuracy", "eval_mode_accuracy", "recalibrated_accuracy")
    finding = collapsed(run_of(np.full(1311, 1)), CLASSES, checked(**dict(zip(keys, accuracies))))
    assert finding is not None
    assert ("consistent with" in finding.text) == (reading is not None)
    assert (reading or "") in finding.text
    assert ("batch norm" in finding.text) == (reading is not None)


@pytest.mark.parametrize(
    ("train", "validation", "expected"),
    [
        ((0.99, 0.98, 1.0), (0.8, 0.75, 0.85), "overfitting"),
        ((0.95, 0.93, 0.97), (0.9, 0.8, 0.95), None),  # the intervals overlap
        ((0.4, 0.35, 0.45), (0.4, 0.3, 0.5), "underfitting"),
        ((0.8, 0.75, 0.85), (0.8, 0.7, 0.9), None),
    ],
)
def test_fitting(train: tuple[float, ...], validation: tuple[float, ...], expected: str | None) -> None:
    intervals = [Interval(value=value, low=low, high=high, method="wilson") for value, low, high in (train, validation)]
    finding = fitting(*intervals, 4)
    assert (finding.finding if finding else None) == expected
    assert finding is None or "consistent with" in finding.text


def test_drop_in_mid_training() -> None:
    finding = dropped(np.array([0.3, 0.6, 0.8, 0.5, 0.79, 0.82]))
    assert finding is not None
    assert finding.epoch == 3
    assert "from 0.80 to 0.50 at epoch 3" in finding.text
    assert dropped(np.array([0.3, 0.6, 0.8, 0.7, 0.79])) is None
    assert dropped(np.array([0.3, 0.8, 0.5])) is None  # the last epoch is not mid-training
    assert dropped(np.array([0.3, np.nan])) is None


def test_diagnose_reads_the_files_of_each_run(cases: SimpleNamespace) -> None:
    study = cases.make_study(seeds=2)
    rows = pd.concat([run_of(np.full(1311, 1)).rows.assign(seed=seed) for seed in (0, 1)])
    predicted = np.concatenate([np.full(1311, 1), TEST])
    reading = Reading(rows, predicted, predicted.astype(float), None)
    folder = "results/full/heads/one/fold0_seed"
    accuracies = {"train_mode_accuracy": 0.9, "eval_mode_accuracy": 0.2, "recalibrated_accuracy": 0.2}
    checked(**accuracies).write(f"{folder}0/diagnosis.json")
    write_history(f"{folder}1/history.csv", 4, validation_accuracy=[0.2, 0.9, 0.1, 0.9])
    Diagnosis(collapsed=False, diverged="stage main, epoch 4, step 7").write(f"{folder}1/diagnosis.json")
    found = diagnose(study, "one", reading, {})
    assert [(finding.finding, finding.seed) for finding in found] == [("collapsed", 0), ("diverged", 1), ("drop", 1)]
    assert found[1].text.startswith("fold 0, seed 1: diverged: the loss was not finite at stage main, epoch 4, step 7;")
    assert "train mode 0.90" in found[0].text
    assert found[2].text.startswith("fold 0, seed 1: ")


def test_accuracies_by_batch_norm_are_means_over_runs_that_all_have_them(cases: SimpleNamespace) -> None:
    study = cases.make_study(seeds=2)
    folder = "results/full/heads/one/fold0_seed"
    Diagnosis(collapsed=False, train_mode_accuracy=0.9, eval_mode_accuracy=0.2, recalibrated_accuracy=0.8).write(
        f"{folder}0/diagnosis.json"
    )
    Diagnosis(collapsed=False).write(f"{folder}1/diagnosis.json")  # of an older version
    assert batch_norm(study, "one") is None
    Diagnosis(collapsed=False, train_mode_accuracy=0.7, eval_mode_accuracy=0.4, recalibrated_accuracy=0.6).write(
        f"{folder}1/diagnosis.json"
    )
    found = batch_norm(study, "one")
    assert found is not None
    assert (found.train_mode, found.eval_mode, found.recalibrated) == pytest.approx((0.8, 0.3, 0.7))


def test_what_is_not_as_trained_is_neither_over_nor_underfitting(cases: SimpleNamespace) -> None:
    study = cases.make_study()
    target = np.tile(np.arange(4), 100)
    rows = pd.DataFrame({"part": "train", "target": target, "fold": 0, "seed": 0})
    reading = Reading(rows, target % 2, target.astype(float), None)
    interval = Interval(value=0.5, low=0.45, high=0.55, method="wilson")
    scores = {"image": SimpleNamespace(metrics={"accuracy": interval})}
    write_history("results/full/heads/one/fold0_seed0/history.csv", 2, train_accuracy=[0.5, 0.9])
    found = diagnose(study, "one", reading, {"train": scores, "validation": scores})  # type: ignore[dict-item]
    assert [finding.finding for finding in found] == ["unlike training"]
    write_history("results/full/heads/one/fold0_seed0/history.csv", 2, train_accuracy=[0.5, 0.5])
    found = diagnose(study, "one", reading, {"train": scores, "validation": scores})  # type: ignore[dict-item]
    assert [finding.finding for finding in found] == ["underfitting"]
