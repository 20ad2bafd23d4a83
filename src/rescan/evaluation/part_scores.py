"""The scores of an arm: of its parts at every level, of its endpoints, of each of its heads."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np

from rescan.catalogue import COMPARED_GRADES, METRICS
from rescan.evaluation import readings
from rescan.evaluation.levels import LEVELS, ByLevel, ByRule, coarser_levels
from rescan.evaluation.predictions import Predictions
from rescan.evaluation.readings import Reading
from rescan.evaluation.scoring import Scored, of_part, runs_of, score
from rescan.evaluation.undefined import undefined
from rescan.heads.multilabel_head import present
from rescan.metrics.run_rows import RunRows, compute
from rescan.results.metrics_file import Endpoint, Levels, Scores
from rescan.results.parts import PARTS
from rescan.results.posttraining import Posttraining, RunId
from rescan.study import Outcome, Study

OF_STUDY = (*PARTS, "out_of_fold", "test_unlinked")
BY_RULE = ("accuracy", "balanced_accuracy", "kappa", "sensitivity", "specificity")
NOT_OF_ENDPOINTS = ("one_hot_accuracy", "balanced_accuracy")
UNLINKED_PER_CLASS = 10  # unlinked test samples that each class needs for them to be scored apart


class PartReadings(NamedTuple):
    """What is read off the predictions of some parts.

    Attributes:
        levels: The readings by level.
        by_rule: Readings by other rules, by level and rule (`levels.RULES`).
        softmax: By image, without temperatures: what is published as one-hot accuracy is that of the softmax itself.
        unit: The column of what is resampled together: patient, or group where patients are unknown.
        warnings: What limits the levels.
    """

    levels: ByLevel
    by_rule: ByRule
    softmax: Reading
    unit: Literal["patient", "group"]
    warnings: list[str]

    @property
    def images(self) -> Reading:
        """By image."""
        return self.levels["image"]


def read_parts(outcome: Outcome, posttraining: Posttraining, labeled: Predictions) -> PartReadings:
    """Read labeled predictions at every level that is known."""
    images = readings.by_sample(posttraining, labeled)
    softmax = readings.by_sample(readings.without_temperatures(posttraining), labeled)
    patients_known = bool((images.rows["patient"] != "").all())
    coarser: ByLevel = {}
    by_rule: ByRule = {}
    warnings: list[str] = []
    if not patients_known:
        wider = "the true intervals are at least as wide as these, and wider if groups share a patient"
        warnings = [f"patients unknown: {wider}"]
    elif not outcome.multilabel:  # of several labels, each image has its own
        coarser, by_rule, warnings = coarser_levels(outcome, images)
    finer = {"patch": readings.by_item(posttraining, labeled)} if labeled.has_patches else {}
    unit: Literal["patient", "group"] = "patient" if patients_known else "group"
    return PartReadings({**finer, "image": images, **coarser}, by_rule, softmax, unit, warnings)


@dataclass
class PartScores:
    """Scores by part and level, the runs of each part by image, and warnings about the scores."""

    parts: dict[str, Levels] = field(default_factory=dict)
    runs: dict[str, dict[RunId, RunRows]] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


def score_parts(
    outcome: Outcome, read: PartReadings, linked: Collection[str] = (), parts: Sequence[str] = OF_STUDY
) -> PartScores:
    """Score every part at every level.

    Args:
        outcome: What is predicted.
        read: The readings of all parts.
        linked: Groups with samples in training and test.
        parts: The parts.
    """
    classes, positive = outcome.classes, outcome.positive
    levels, by_rule, softmax, unit, _ = read
    names = [name for name, metric in METRICS.items() if outcome.ordered or not metric.of_grades]
    result, scored_parts = PartScores(), dict[str, dict[str, Scored]]()
    for part in parts:
        of_levels = scored_parts.setdefault(part, {})
        for level, reading in levels.items():
            rows = of_part(reading, part, linked)
            if rows.rows.empty or (part == "test_unlinked" and not _enough_unlinked(outcome, reading, rows, level)):
                continue
            scored = score(rows, level, unit, names, classes, positive, pooled=part == "out_of_fold")
            metrics = scored.scores.metrics
            if level == "image" and "one_hot_accuracy" in metrics:
                of_softmax = of_part(softmax, part, linked)
                metrics = {
                    **metrics,
                    **score(of_softmax, level, unit, ["one_hot_accuracy"], classes, positive).scores.metrics,
                }
            ruled = {rule: of_part(own, part, linked) for rule, own in by_rule.get(level, {}).items()}
            rules = {
                rule: score(own, level, unit, BY_RULE, classes, positive).scores
                for rule, own in ruled.items()
                if not own.rows.empty
            }
            scores = scored.scores.model_copy(update={"metrics": metrics, **rules})
            result.parts.setdefault(part, {})[level] = scores
            of_levels[level] = scored
            if level == "image" and part != "out_of_fold":
                result.runs[part] = scored.runs
    result.warnings += undefined(scored_parts, classes)
    return result


def _enough_unlinked(outcome: Outcome, reading: Reading, unlinked: Reading, level: str) -> bool:
    """Whether some, but not all, of the test part is unlinked, and enough of each class."""
    one = unlinked.rows.drop_duplicates(LEVELS[level])
    fewer = len(unlinked.rows) < int((reading.rows["part"] == "test").sum())
    targets, classes = one["target"].to_numpy(np.intp), len(outcome.classes)
    counts = present(targets, classes).sum(0) if outcome.multilabel else np.bincount(targets, minlength=classes)
    return fewer and int(counts.min()) >= UNLINKED_PER_CLASS


def score_endpoints(
    outcome: Outcome, read: PartReadings, wanted: Sequence[str] = ("validation", "test")
) -> dict[str, Endpoint]:
    """Score each endpoint on some parts, as of two classes."""
    endpoints = {}
    names = [name for name in METRICS if name not in NOT_OF_ENDPOINTS]
    for endpoint, lowest in outcome.endpoints.items():
        parts: dict[str, Levels] = {}
        for part in wanted:
            for level, reading in read.levels.items():
                rows = of_part(reading, part)
                if not rows.rows.empty:
                    two_classes = readings.endpoint(rows, outcome.classes.index(lowest))
                    scored = score(two_classes, level, read.unit, names, ["below", endpoint], 1)
                    parts.setdefault(part, {})[level] = scored.scores
        endpoints[endpoint] = Endpoint(lowest=lowest, parts=parts)
    return endpoints


def score_heads(
    study: Study, arm: str, posttraining: Posttraining, predictions: Predictions, unit: str
) -> dict[str, dict[str, Scores]]:
    """Score each way to read an arm with several heads by image, on validation and test: by head and part."""
    heads = readings.readable_heads(posttraining, study.arms[arm])
    scores: dict[str, dict[str, Scores]] = {}
    for head in heads if len(heads) > 1 else []:
        for part in ("validation", "test"):
            own = predictions.where(predictions.rows["part"] == part)
            if not own.rows.empty:
                reading = readings.by_sample(posttraining, own, head)
                scored = score(reading, "image", unit, COMPARED_GRADES, study.data.classes, None)
                scores.setdefault(head, {})[part] = scored.scores
    return scores


def before_temperature(posttraining: Posttraining, predictions: Predictions) -> dict[str, dict[str, float]]:
    """Loss, Brier score and calibration error of the network's own probabilities, mean over runs, by part."""
    if posttraining.head not in posttraining.temperatures:
        return {}
    plain, scores = readings.without_temperatures(posttraining), {}
    for part in PARTS:
        own = predictions.where(predictions.rows["part"] == part)
        if not own.rows.empty:
            runs = runs_of(readings.by_sample(plain, own), "group", posttraining.classes).values()
            values = [compute(["loss", "brier", "ece"], run, np.ones((1, len(run.features)))) for run in runs]
            scores[part] = {name: float(np.mean([value[name] for value in values])) for name in values[0]}
    return scores
