"""metrics.json of an arm: metrics with intervals, confusion matrices, curves for the figures, warnings, diagnoses.

Reads what infer and posttrain wrote, never the images or the network.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from rescan.errors import RescanError
from rescan.evaluation import posttrain, predictions
from rescan.evaluation.bootstrap import estimate
from rescan.evaluation.diagnosis import diagnose
from rescan.evaluation.metrics import BINS, COUNTED, RANKED, Run, accumulate, compute, confidence_bins
from rescan.evaluation.predictions import PARTS, Predictions, Reading
from rescan.files import read_json, write_json, write_table
from rescan.log import logger
from rescan.paths import Paths
from rescan.study import Best, Study

METRICS = [*COUNTED, *RANKED]
FOR_GRADES = ("quadratic_kappa",)  # kappa with quadratic weights is for ordered classes
OF_HEADS = ("quadratic_kappa", "accuracy", "balanced_accuracy", "macro_f1")  # shown for each head beside the arm's own
UNLINKED_A_CLASS = 10  # unlinked test items that each class needs for them to be scored apart
CURVE_POINTS = 200


def evaluate(study: Study, arm: str) -> None:
    """Evaluate an arm from its predictions; write metrics.json, and submission.csv if there are unlabelled images.

    Raises:
        RescanError: A file is missing or unusable, a group is on both sides of a split that Rescan made, or the runs do
            not share one test set.
    """
    folder, classes, recipe = Paths(study.scale, study.name).arm(arm), study.data.classes, study.arms[arm]
    positive = len(classes) - 1 if len(classes) == 2 else None
    fitted = read_json(f"{folder}/posttraining.json")
    everything = predictions.read(study, arm)
    raw = everything.where(everything.rows["part"].isin(PARTS))
    if recipe.ensemble:  # its validation rows are for fitting only: each is the mean of few members
        raw = raw.where(raw.rows["part"] == "test")
    check_groups(study, raw.rows, folder)
    check_test_items(raw.rows, folder)
    images = posttrain.apply(fitted, raw)
    patients_known = bool((images.rows["patient"] != "").all())
    unit = "patient" if patients_known else "group"
    levels, warnings = _levels(study, images, patients_known)
    warnings += _selected_on(study, arm)
    linked = _linked(images.rows)
    warnings += _linked_share(images.rows, linked)

    parts: dict[str, dict[str, Any]] = {}
    runs: dict[str, list[Run]] = {}
    which: list[tuple[int, int]] = []
    names = [name for name in METRICS if study.data.ordered or name not in FOR_GRADES]
    plain = posttrain.apply(_without_temperature(fitted), raw)
    for part in (*PARTS, "out_of_fold", "test_unlinked"):
        for level, rows in levels.items():
            seen = rows.where(_in_part(rows.rows, part, linked))
            if seen.rows.empty or (part == "test_unlinked" and not _enough_unlinked(rows, seen, len(classes))):
                continue
            if part == "out_of_fold":
                if seen.rows["fold"].nunique() < 2:
                    continue
                seen = seen._replace(rows=seen.rows.assign(fold=0))
            found, ready, those = _scores(seen, unit, names, classes, positive, pooled=part == "out_of_fold")
            if level == "image" and "one_hot_accuracy" in found["metrics"]:
                # What is published is that of the softmax itself.
                of_part = plain.where(_in_part(plain.rows, part, linked))
                found["metrics"] |= _scores(of_part, unit, ["one_hot_accuracy"], classes, positive)[0]["metrics"]
            parts.setdefault(part, {})[level] = found
            warnings += [f"{part}, {level}: {line}" for line in found.pop("warnings")]
            if level == "image" and part != "out_of_fold":
                runs[part], which = ready, those
    diagnosis = diagnose(study, arm, images, parts)
    warnings += [finding["text"] for finding in diagnosis]
    for line in warnings:
        logger.warning("%s: %s", arm, line)
    write_json(
        f"{folder}/metrics.json",
        {
            "study": study.name,
            "arm": arm,
            "result_key": study.result_key(arm),
            "metric": study.metric,
            "head": recipe.head,
            "positive_class": None if positive is None else classes[positive],
            "classes": classes,
            "interval_units": unit,
            "runs": [{"fold": fold, "seed": seed} for fold, seed in which],
            "parts": parts,
            "endpoints": _endpoints(study, levels, unit),
            "heads": _heads(study, arm, fitted, raw, unit),
            "before_temperature": _before_temperature(raw, recipe.head, fitted),
            "confusion": {
                part: np.mean([confusion(run) for run in ready], axis=0).tolist() for part, ready in runs.items()
            },
            "curves": _curves(study, runs, which, images),
            "warnings": warnings,
            "diagnosis": diagnosis,
        },
    )
    _submit(everything, fitted, folder)


def _levels(study: Study, images: Reading, patients_known: bool) -> tuple[dict[str, Reading], list[str]]:
    """The readings by image and, where that is known, by eye and by patient; and what must be said about them."""
    levels, warnings, classes = {"image": images}, [], len(study.data.classes)
    if not patients_known:
        said = "the true intervals are at least as wide as these, and wider if groups share a patient"
        return levels, [f"patients unknown: {said}"]
    one = images.rows.drop_duplicates("sample")
    eyes_known = (one["eye"] != "").all() and one.duplicated(["patient", "eye"]).any()
    for level in ("eye", "patient") if eyes_known else ("patient",):
        levels[level], ties = predictions.by_unit(images, level, classes, ordered=study.data.ordered)
        warnings += [f"{part}: {n} {level}s whose labels tie are left out" for part, n in ties.items()]
    return levels, warnings


def _scores(
    seen: Reading,
    unit: str,
    names: Sequence[str],
    classes: Sequence[str],
    positive: int | None,
    *,
    pooled: bool = False,
) -> tuple[dict[str, Any], list[Run], list[tuple[int, int]]]:
    """One part's entry of metrics.json, its runs and their (fold, seed). `pooled` folds have no common ranking."""
    ready, which = predictions.runs_of(seen, unit, len(classes))
    known = [name for name in ready[0].known(names) if not (pooled and name in RANKED)]
    metrics, said = estimate(known, ready, [seed for _, seed in which], classes, positive)
    sizes = {"n": int(seen.rows["item"].nunique()), "groups": int(seen.rows[unit].nunique())}
    return {**sizes, "metrics": metrics, "warnings": said}, ready, which


def _endpoints(study: Study, levels: dict[str, Reading], unit: str) -> dict[str, Any]:
    """For each endpoint its scores on validation and test, as of two classes."""
    found: dict[str, Any] = {}
    names = [name for name in METRICS if name not in ("one_hot_accuracy", "balanced_accuracy")]
    for name, lowest in study.data.endpoints.items():
        parts: dict[str, dict[str, Any]] = {}
        for part in ("validation", "test"):
            for level, rows in levels.items():
                seen = rows.where(rows.rows["part"] == part)
                if seen.rows.empty:
                    continue
                seen = predictions.endpoint(seen, study.data.classes.index(lowest))
                entry, _, _ = _scores(seen, unit, names, ["below", name], 1)
                parts.setdefault(part, {})[level] = {key: entry[key] for key in ("n", "groups", "metrics")}
        found[name] = {"lowest": lowest, "parts": parts}
    return found


def _heads(study: Study, arm: str, fitted: dict[str, Any], raw: Predictions, unit: str) -> dict[str, Any]:
    """For each way to read an arm with several heads, its main scores by image on validation and test."""
    readable = posttrain.readable(fitted, study.arms[arm])
    if len(readable) < 2:
        return {}
    found: dict[str, Any] = {}
    for head in readable:
        for part in ("validation", "test"):
            seen = raw.where(raw.rows["part"] == part)
            if not seen.rows.empty:
                reading = posttrain.apply(fitted, seen, head)
                entry, _, _ = _scores(reading, unit, OF_HEADS, study.data.classes, None)
                found.setdefault(head, {})[part] = {key: entry[key] for key in ("n", "groups", "metrics")}
    return found


def _curves(study: Study, runs: dict[str, list[Run]], which: list[tuple[int, int]], images: Reading) -> dict[str, Any]:
    """What the figures of the first run draw."""
    classes, (fold, seed) = study.data.classes, which[0]
    first = {part: ready[0] for part, ready in runs.items()}
    content: dict[str, Any] = {
        "run": {"fold": fold, "seed": seed},
        "roc": {part: roc(run, classes) for part, run in first.items() if run.rankings},
        "reliability": {part: reliability(run) for part, run in first.items() if run.probabilities is not None},
    }
    if study.data.ordered:
        own = images.where((images.rows["fold"] == fold) & (images.rows["seed"] == seed))
        parts = {part: own.where(own.rows["part"] == part) for part in first}
        content["grades"] = {part: grades(rows, classes) for part, rows in parts.items()}
        content["endpoints"] = {
            name: {part: _endpoint_roc(rows, classes.index(lowest)) for part, rows in parts.items()}
            for name, lowest in study.data.endpoints.items()
        }
    return content


def _endpoint_roc(rows: Reading, lowest: int) -> dict[str, list[float]]:
    ready, _ = predictions.runs_of(predictions.endpoint(rows, lowest), "group", 2)
    return roc(ready[0], ["below", "positive"]).get("positive", {})


def grades(rows: Reading, classes: list[str]) -> list[dict[str, Any]]:
    """For each true class its items' grades: number, mean, and the 5th, 25th, 50th, 75th and 95th percentiles."""
    found = []
    for number, label in enumerate(classes):
        own = rows.grade[rows.rows["target"] == number]
        spread = np.percentile(own, [5, 25, 50, 75, 95]).tolist() if len(own) else None
        found.append({"class": label, "n": len(own), "mean": float(own.mean()) if len(own) else None, "spread": spread})
    return found


def _submit(everything: Predictions, fitted: dict[str, Any], folder: str) -> None:
    """Write submission.csv, the class of each unlabelled image, from the mean of the runs' outputs."""
    unlabeled = everything.where(everything.rows["part"] == "unlabeled")
    path = Path(folder, "submission.csv")
    if unlabeled.rows.empty:
        path.unlink(missing_ok=True)
        return
    mean = posttrain.combine([unlabeled], 0.0)
    reading = posttrain.apply(fitted, mean)
    write_table(path, pd.DataFrame({"id_code": mean.rows["sample"], "diagnosis": reading.predicted}))


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
    return rows["part"] == {"out_of_fold": "validation"}.get(part, part)


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


def _enough_unlinked(rows: Reading, unlinked: Reading, classes: int) -> bool:
    """Whether some, but not all, test items are unlinked, and enough of them in each class."""
    one = unlinked.rows.drop_duplicates(["item", "patient"])
    fewer = len(unlinked.rows) < int((rows.rows["part"] == "test").sum())
    return fewer and int(np.bincount(one["target"], minlength=classes).min()) >= UNLINKED_A_CLASS


def _selected_on(study: Study, arm: str) -> list[str]:
    recipe = study.arms[arm]
    selected = isinstance(recipe.keep, Best) or recipe.early_stopping is not None
    plateau = any(stage.schedule["name"] == "plateau" for stage in recipe.stages.values())
    if recipe.validation == "test":
        said = "and chose the epoch or the learning rate" if selected or plateau else "but nothing was chosen on it"
        return [f"the test part was used for validation {said}: a fault of the published study, repeated on purpose"]
    if recipe.posttrain.fit_on == "train" and recipe.is_fitted and len({fold for fold, _ in study.runs(arm)}) > 1:
        return [
            "post-training was fitted on the training parts of all folds: out-of-fold scores are fitted, no estimate"
        ]
    if recipe.posttrain.fit_on == "validation" and recipe.is_fitted:
        return ["post-training was fitted on the validation part: its validation scores are fitted, no estimate"]
    if not selected or recipe.ensemble:
        return []
    return ["validation chose the epoch: its scores are selected on, not an estimate of performance"]


def _without_temperature(fitted: dict[str, Any]) -> dict[str, Any]:
    """The post-training with temperatures of 1."""
    ones = {"whole": 1.0, "crossfit": [1.0] * posttrain.CROSSFIT}
    return {**fitted, "temperatures": dict.fromkeys(fitted["temperatures"], ones)}


def _before_temperature(raw: Predictions, head: str, fitted: dict[str, Any]) -> dict[str, dict[str, float]]:
    """Loss, Brier score and calibration error of the network's own probabilities, mean over runs, for each part."""
    found: dict[str, dict[str, float]] = {}
    if head not in fitted["temperatures"]:
        return found
    alone = _without_temperature(fitted)
    for part in PARTS:
        rows = raw.where(raw.rows["part"] == part)
        if rows.rows.empty:
            continue
        runs, _ = predictions.runs_of(posttrain.apply(alone, rows), "group", fitted["classes"])
        values = [compute(["loss", "brier", "ece"], run, np.ones((1, len(run.features)))) for run in runs]
        found[part] = {name: float(np.mean([value[name] for value in values])) for name in values[0]}
    return found


def confusion(run: Run) -> np.ndarray:
    """Counts (K, K): truth, prediction."""
    pairs = run.target * run.classes + run.predicted
    return np.bincount(pairs, minlength=run.classes**2).reshape(run.classes, run.classes)


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
    """Mean confidence and accuracy in each bin of the largest probability that holds a row."""
    if run.probabilities is None:
        return []
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
