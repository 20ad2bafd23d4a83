"""metrics.json of an arm: metrics with intervals, confusion matrices, curves for the figures, warnings, diagnoses.

Reads what infer and posttrain wrote, never the images or the network.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from rescan.catalogue import METRICS
from rescan.errors import RescanError
from rescan.evaluation import baselines, posttrain, predictions, subgroups
from rescan.evaluation.curves import curves
from rescan.evaluation.diagnosis import diagnose
from rescan.evaluation.predictions import LEVELS, PARTS, Predictions, Reading
from rescan.evaluation.scoring import of_part, scores
from rescan.files import read_json, write_json, write_table
from rescan.log import logger
from rescan.metrics.run_rows import RunRows, compute
from rescan.paths import ArmFolder, Paths
from rescan.study import Best, Study
from rescan.study.keys import result_key

FOR_GRADES = ("quadratic_kappa",)  # kappa with quadratic weights is for ordered classes
OF_HEADS = ("quadratic_kappa", "accuracy", "balanced_accuracy", "macro_f1")  # shown for each head beside the arm's own
RULED = ("accuracy", "balanced_accuracy", "kappa", "sensitivity", "specificity")  # by majority
UNLINKED_A_CLASS = 10  # unlinked test samples that each class needs for them to be scored apart


def evaluate(study: Study, arm: str) -> None:
    """Evaluate an arm from its predictions; write metrics.json, and submission.csv if there are unlabelled images.

    Raises:
        RescanError: A file is missing or unusable, a group is on both sides of a split that Rescan made, or the runs do
            not share one test set.
    """
    folder, classes, recipe = Paths(study.scale, study.name).arm(arm), study.data.classes, study.arms[arm]
    positive = study.positive
    fitted = read_json(folder.posttraining)
    everything = predictions.read(study, arm)
    raw = everything.where(everything.rows["part"].isin(PARTS))
    if recipe.ensemble:  # its validation rows are for fitting only: each is the mean of few members
        raw = raw.where(raw.rows["part"] == "test")
    check_groups(study, raw.rows, folder)
    check_test_samples(raw.rows, folder)
    images = posttrain.by_sample(fitted, raw)
    patients_known = bool((images.rows["patient"] != "").all())
    unit = "patient" if patients_known else "group"
    levels, warnings = _levels(study, images, patients_known)
    by_rule = _by_rule(study, images, levels)
    if predictions.has_patches(raw.rows):
        levels = {"patch": posttrain.apply(fitted, raw), **levels}
    warnings += _selected_on(study, arm)
    linked = _linked(images.rows)
    warnings += _linked_share(images.rows, linked)

    parts: dict[str, dict[str, Any]] = {}
    runs: dict[str, list[RunRows]] = {}
    which: list[tuple[int, int]] = []
    names = [name for name in METRICS if study.data.ordered or name not in FOR_GRADES]
    plain = posttrain.by_sample(_without_temperature(fitted), raw)
    for part in (*PARTS, "out_of_fold", "test_unlinked"):
        for level, rows in levels.items():
            seen = of_part(rows, part, linked)
            if seen.rows.empty or (part == "test_unlinked" and not _enough_unlinked(rows, seen, level, len(classes))):
                continue
            found, ready, those = scores(seen, level, unit, names, classes, positive, pooled=part == "out_of_fold")
            if level == "image" and "one_hot_accuracy" in found["metrics"]:
                # What is published is that of the softmax itself.
                of_softmax = scores(of_part(plain, part, linked), level, unit, ["one_hot_accuracy"], classes, positive)
                found["metrics"] |= of_softmax[0]["metrics"]
            for rule, others in by_rule.get(level, {}).items():
                entry, _, _ = scores(of_part(others, part, linked), level, unit, RULED, classes, positive)
                found[rule] = {key: entry[key] for key in ("n", "groups", "metrics")}
            parts.setdefault(part, {})[level] = found
            warnings += [f"{part}, {level}: {line}" for line in found.pop("warnings")]
            if level == "image" and part != "out_of_fold":
                runs[part], which = ready, those
    diagnosis = diagnose(study, arm, images, parts)
    warnings += [finding["text"] for finding in diagnosis]
    for line in warnings:
        logger.warning("%s: %s", arm, line)
    write_json(
        folder.metrics,
        {
            "study": study.name,
            "arm": arm,
            "result_key": result_key(study, arm),
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
                part: np.mean([run.confusion for run in ready], axis=0).tolist() for part, ready in runs.items()
            },
            "subgroups": subgroups.subgroups(study, images, "test", unit),
            "subgroups_of_studies": subgroups.subgroups(study, levels["study"], "test", unit, "study")
            if "study" in levels
            else {},
            "subgroups_out_of_fold": subgroups.subgroups(study, images, "out_of_fold", unit),
            "baselines": baselines.baselines(study, images, unit),
            "curves": curves(study, runs, which, images),
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
    known = [name for name in ("eye", "study") if (one[name] != "").all() and one.duplicated(["patient", name]).any()]
    for level in (*known, "patient"):
        levels[level], ties = predictions.by_unit(images, level, classes, ordered=study.data.ordered)
        warnings += [f"{part}: {n} {level}s whose labels tie are left out" for part, n in ties.items()]
    return levels, warnings


def _by_rule(study: Study, images: Reading, levels: dict[str, Reading]) -> dict[str, dict[str, Reading]]:
    """Studies and patients of several images read by another rule, the majority, and those of one label only.

    Of grades there is one rule.
    """
    if study.data.ordered:
        return {}
    one = images.rows.drop_duplicates("sample")
    several = [level for level in ("study", "patient") if level in levels and one.duplicated(LEVELS[level]).any()]
    classes, rules = len(study.data.classes), {"majority": False, "consistent": True}
    return {
        level: {
            rule: predictions.by_unit(images, level, classes, ordered=False, majority=True, consistent=consistent)[0]
            for rule, consistent in rules.items()
        }
        for level in several
    }


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
                entry, _, _ = scores(seen, level, unit, names, ["below", name], 1)
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
                reading = posttrain.by_sample(fitted, seen, head)
                entry, _, _ = scores(reading, "image", unit, OF_HEADS, study.data.classes, None)
                found.setdefault(head, {})[part] = {key: entry[key] for key in ("n", "groups", "metrics")}
    return found


def _submit(everything: Predictions, fitted: dict[str, Any], folder: ArmFolder) -> None:
    """Write submission.csv, the class of each unlabelled image, from the mean of the runs' outputs."""
    unlabeled = everything.where(everything.rows["part"] == "unlabeled")
    path = Path(folder.submission)
    if unlabeled.rows.empty:
        path.unlink(missing_ok=True)
        return
    reading = posttrain.of_new(fitted, [unlabeled])
    write_table(path, pd.DataFrame({"id_code": reading.rows["sample"], "diagnosis": reading.predicted}))


def check_groups(study: Study, rows: pd.DataFrame, arm: ArmFolder) -> None:
    """Refuse a group on both sides of a split that Rescan made.

    Raises:
        RescanError: Names such a group; the published test part is exempt, because its split is not Rescan's.
    """
    own = rows if study.split.test != "published" else rows[rows["part"] != "test"]
    parts = own.groupby(["fold", "seed", "group"])["part"].nunique()
    if (parts > 1).any():
        fold, seed, group = parts.index[parts > 1][0]
        raise RescanError(
            f"{arm.run(fold, seed).predictions}: group {group!r} is in more than one part "
            f"(as are {int((parts > 1).sum()) - 1} more); make the split again"
        )


def check_test_samples(rows: pd.DataFrame, where: str) -> None:
    """Refuse runs that do not share one test set: their mean and its interval would mean nothing."""
    tests = rows[rows["part"] == "test"].groupby(["fold", "seed"])["sample"].agg(frozenset)
    if len(set(tests)) > 1:
        raise RescanError(f"{where}: its runs hold different test samples; run infer again for all of them")


def _linked(rows: pd.DataFrame) -> set[str]:
    """Groups that the training part of any run shares with the test part."""
    return set(rows.loc[rows["part"] == "train", "group"]) & set(rows.loc[rows["part"] == "test", "group"])


def _linked_share(rows: pd.DataFrame, linked: set[str]) -> list[str]:
    tests = rows[rows["part"] == "test"].drop_duplicates("sample")
    count = int(tests["group"].isin(linked).sum())
    if not count:
        return []
    share = f"{count} of {len(tests)} test samples ({count / len(tests):.0%})"
    line = (
        f"the published split has groups on both sides: {share} have a relative (same patient or "
        "near-duplicate) in the training part; test scores may be too good"
    )
    return [line]


def _enough_unlinked(rows: Reading, unlinked: Reading, level: str, classes: int) -> bool:
    """Whether some, but not all, of the test part is unlinked, and enough of each class."""
    one = unlinked.rows.drop_duplicates(LEVELS[level])
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
        runs, _ = predictions.runs_of(posttrain.by_sample(alone, rows), "group", fitted["classes"])
        values = [compute(["loss", "brier", "ece"], run, np.ones((1, len(run.features)))) for run in runs]
        found[part] = {name: float(np.mean([value[name] for value in values])) for name in values[0]}
    return found
