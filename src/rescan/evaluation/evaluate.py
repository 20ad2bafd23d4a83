"""metrics.json of an arm: metrics with intervals, confusion matrices, curves for the figures, warnings, diagnoses.

Reads what infer and posttrain wrote, never the images or the network.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from rescan.errors import RescanError
from rescan.evaluation import posttrain, predictions
from rescan.evaluation.bootstrap import estimate
from rescan.evaluation.diagnosis import diagnose
from rescan.evaluation.metrics import BINS, COUNTED, RANKED, Run, accumulate, compute, confidence_bins
from rescan.evaluation.predictions import PARTS, Predictions
from rescan.files import read_json, write_json
from rescan.log import logger
from rescan.paths import Paths
from rescan.study import Best, Study

# Kappa with quadratic weights is for ordered classes, which a study file cannot declare.
METRICS = [name for name in (*COUNTED, *RANKED) if name != "quadratic_kappa"]
UNLINKED_A_CLASS = 10  # unlinked test items that each class needs for them to be scored apart
CURVE_POINTS = 200


def evaluate(study: Study, arm: str) -> None:
    """Evaluate an arm from its predictions; write metrics.json.

    Raises:
        RescanError: A file is missing or unusable, a group is on both sides of a split that Rescan made, or the runs do
            not share one test set.
    """
    folder, classes = Paths(study.scale, study.name).arm(arm), study.data.classes
    positive = len(classes) - 1 if len(classes) == 2 else None
    raw = predictions.read(study, arm)
    check_groups(study, raw.rows, folder)
    check_test_items(raw.rows, folder)
    images = posttrain.apply(read_json(f"{folder}/posttraining.json"), raw)
    patients_known = bool((images.rows["patient"] != "").all())
    unit = "patient" if patients_known else "group"
    levels, warnings = {"image": images}, []
    if patients_known:
        levels["patient"], ties = predictions.by_patient(images, len(classes))
        warnings += [f"{part}: {n} patients whose labels tie are left out" for part, n in ties.items()]
    else:
        warnings.append(
            "patients unknown: the true intervals are at least as wide as these, and wider if groups share a patient"
        )
    warnings += _selected_on(study, arm) if (images.rows["part"] == "validation").any() else []
    linked = _linked(images.rows)
    warnings += _linked_share(images.rows, linked)

    parts: dict[str, dict[str, Any]] = {}
    runs: dict[str, list[Run]] = {}
    which: list[tuple[int, int]] = []
    for part in (*PARTS, "test_unlinked"):
        for level, rows in levels.items():
            seen = rows.where(_in_part(rows.rows, part, linked))
            if part == "test_unlinked" and not _enough_unlinked(rows, seen, len(classes)):
                continue
            if seen.rows.empty:
                continue
            ready, which = predictions.runs_of(seen, unit)
            metrics, said = estimate(METRICS, ready, [seed for _, seed in which], classes, positive)
            items = seen.rows["item" if level == "image" else "patient"]
            sizes = {"n": items.nunique(), "groups": seen.rows[unit].nunique()}
            parts.setdefault(part, {})[level] = {**sizes, "metrics": metrics}
            warnings += [f"{part}, {level}: {line}" for line in said]
            if level == "image":
                runs[part] = ready
    diagnosis = diagnose(study, arm, images, parts)
    warnings += [finding["text"] for finding in diagnosis]
    for line in warnings:
        logger.warning("%s: %s", arm, line)
    write_json(
        f"{folder}/metrics.json",
        {
            "study": study.name,
            "arm": arm,
            "recipe_key": study.recipe_key(arm),
            "head": "classification",
            "positive_class": None if positive is None else classes[positive],
            "classes": classes,
            "interval_units": unit,
            "runs": [{"fold": fold, "seed": seed} for fold, seed in which],
            "parts": parts,
            "before_temperature": _before_temperature(raw),
            "confusion": {
                part: np.mean([confusion(run) for run in ready], axis=0).tolist() for part, ready in runs.items()
            },
            "curves": {
                "run": {"fold": which[0][0], "seed": which[0][1]},
                "roc": {part: roc(ready[0], classes) for part, ready in runs.items()},
                "reliability": {part: reliability(ready[0]) for part, ready in runs.items()},
            },
            "warnings": warnings,
            "diagnosis": diagnosis,
        },
    )


def check_groups(study: Study, rows: pd.DataFrame, where: str) -> None:
    """Refuse a group on both sides of a split that Rescan made.

    Raises:
        RescanError: Names such a group; the published test part is exempt, because its split is not Rescan's.
    """
    own = rows if study.split.test != "published" else rows[rows["part"] != "test"]
    parts = own.groupby(["fold", "seed", "group"])["part"].nunique()
    if (parts > 1).any():
        fold, seed, group = parts.index[parts > 1][0]
        raise RescanError(
            f"{where}/fold{fold}_seed{seed}/predictions.csv: group {group!r} is in more than one part "
            f"(as are {int((parts > 1).sum()) - 1} more); make the split again"
        )


def check_test_items(rows: pd.DataFrame, where: str) -> None:
    """Refuse runs that do not share one test set: their mean and its interval would mean nothing."""
    tests = rows[rows["part"] == "test"].groupby(["fold", "seed"])["item"].agg(frozenset)
    if len(set(tests)) > 1:
        raise RescanError(f"{where}: its runs hold different test items; run infer again for all of them")


def _in_part(rows: pd.DataFrame, part: str, linked: set[str]) -> pd.Series:
    if part == "test_unlinked":
        return (rows["part"] == "test") & ~rows["group"].isin(linked)
    return rows["part"] == part


def _linked(rows: pd.DataFrame) -> set[str]:
    """Groups that the training part of any run shares with the test part."""
    return set(rows.loc[rows["part"] == "train", "group"]) & set(rows.loc[rows["part"] == "test", "group"])


def _linked_share(rows: pd.DataFrame, linked: set[str]) -> list[str]:
    tests = rows[rows["part"] == "test"].drop_duplicates("item")
    count = int(tests["group"].isin(linked).sum())
    if not count:
        return []
    line = (
        f"the published split has groups on both sides: {count} of {len(tests)} test items ({count / len(tests):.0%}) "
        "have a relative (same patient or near-duplicate) in the training part; test scores may be too good"
    )
    return [line]


def _enough_unlinked(rows: Predictions, unlinked: Predictions, classes: int) -> bool:
    """Whether some, but not all, test items are unlinked, and enough of them in each class."""
    one = unlinked.rows.drop_duplicates(["item", "patient"])
    fewer = len(unlinked.rows) < int((rows.rows["part"] == "test").sum())
    return fewer and int(np.bincount(one["target"], minlength=classes).min()) >= UNLINKED_A_CLASS


def _selected_on(study: Study, arm: str) -> list[str]:
    recipe = study.arms[arm]
    if not isinstance(recipe.keep, Best) and recipe.early_stopping is None:
        return []
    return ["validation chose the epoch: its scores are selected on, not an estimate of performance"]


def _before_temperature(raw: Predictions) -> dict[str, dict[str, float]]:
    """Loss, Brier score and calibration error of the network's own probabilities, mean over runs, for each part."""
    found: dict[str, dict[str, float]] = {}
    for part in PARTS:
        rows = raw.where(raw.rows["part"] == part)
        if rows.rows.empty:
            continue
        runs, _ = predictions.runs_of(rows, "group")
        values = [compute(["loss", "brier", "ece"], run, np.ones((1, len(run.features)))) for run in runs]
        found[part] = {name: float(np.mean([value[name] for value in values])) for name in values[0]}
    return found


def confusion(run: Run) -> np.ndarray:
    """Counts (K, K): truth, prediction."""
    classes = run.probabilities.shape[1]
    pairs = run.target * classes + run.probabilities.argmax(1)
    return np.bincount(pairs, minlength=classes**2).reshape(classes, classes)


def roc(run: Run, classes: list[str]) -> dict[str, dict[str, list[float]]]:
    """The one-vs-rest ROC curve of each class that has both sides, at 200 points at most."""
    curves = {}
    for label, ranking in zip(classes, run.rankings):
        true_positives, false_positives = (
            np.concatenate([[0], side[0]]) for side in accumulate(ranking, np.ones((1, len(run.features))))
        )
        if not true_positives[-1] or not false_positives[-1]:
            continue
        chosen = np.unique(np.linspace(0, len(true_positives) - 1, CURVE_POINTS).astype(int))
        curves[label] = {
            "fpr": (false_positives / false_positives[-1])[chosen].round(5).tolist(),
            "tpr": (true_positives / true_positives[-1])[chosen].round(5).tolist(),
        }
    return curves


def reliability(run: Run) -> list[dict[str, float]]:
    """Mean confidence and accuracy in each bin of the predicted class's probability that holds a row."""
    confidence, right = run.probabilities.max(1), run.probabilities.argmax(1) == run.target
    bins = confidence_bins(confidence)
    return [
        {
            "low": number / BINS,
            "high": (number + 1) / BINS,
            "n": int((bins == number).sum()),
            "confidence": float(confidence[bins == number].mean()),
            "accuracy": float(right[bins == number].mean()),
        }
        for number in np.unique(bins).tolist()
    ]
