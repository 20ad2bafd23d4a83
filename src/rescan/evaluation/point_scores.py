"""What operating points score, with intervals that count the uncertainty of the threshold, too."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from rescan.evaluation.answers import Answers, answers_by_level, thresholds_of
from rescan.evaluation.bootstrap import REPLICATES, resamples
from rescan.evaluation.levels import LEVELS
from rescan.evaluation.part_scores import PartReadings
from rescan.evaluation.scoring import of_part
from rescan.metrics.counted import Array, ratio
from rescan.metrics.intervals import score_interval
from rescan.metrics.sweep import Sweep, accumulated, places, sweep
from rescan.results.decisions import AtPoint, PointLevel, PointScores
from rescan.results.posttraining import FittedPoint, Posttraining
from rescan.study import Outcome

OF_STUDY = ("validation", "out_of_fold", "test")


def score_points(
    outcome: Outcome, posttraining: Posttraining, read: PartReadings, parts: Sequence[str] = OF_STUDY
) -> list[PointScores]:
    """Score the operating points of an arm on some parts, at every level but that of patches.

    Args:
        outcome: What is predicted.
        posttraining: What was fitted.
        read: The readings of all parts.
        parts: The parts; with out_of_fold, validation is left out.
    """
    scores = []
    for point in posttraining.points:
        of_parts: dict[str, dict[str, PointLevel]] = {}
        for part in parts if point.threshold.whole is not None else ():
            levels = {name: of_part(reading, part) for name, reading in read.levels.items()}
            levels = {name: reading for name, reading in levels.items() if not reading.rows.empty}
            if "image" not in levels:
                continue
            by_level = answers_by_level(levels, outcome, point.kind, point.number)
            scored = {level: _score(point, own, level, read.unit) for level, own in by_level.items()}
            of_parts[part] = {level: one for level, one in scored.items() if one is not None}
        if of_parts.get("out_of_fold"):
            of_parts.pop("validation", None)
        scores.append(
            PointScores(
                name=point.name,
                of=point.of,
                threshold=point.threshold.whole,
                scale=point.scale,
                prevalence=point.prevalence,
                predicts=point.predicts,
                problem=point.problem,
                parts={part: levels for part, levels in of_parts.items() if levels},
            )
        )
    return scores


def joined(first: list[PointScores], second: list[PointScores]) -> list[PointScores]:
    """The same points with the parts of both; those of one where the other has none."""
    if not (first and second):
        return first or second
    return [one.model_copy(update={"parts": {**one.parts, **other.parts}}) for one, other in zip(first, second)]


def _score(point: FittedPoint, own: Answers, level: str, unit: str) -> PointLevel | None:
    """Score some rows; None where none has a threshold."""
    thresholds = thresholds_of(point, own.rows)
    known = ~np.isnan(thresholds)
    if not known.any():
        return None
    own, called = own.where(known), own.scores[known] >= thresholds[known]
    names, units = np.unique(own.rows[unit].to_numpy(str), return_inverse=True)
    run = own.rows.groupby(["fold", "seed"]).ngroup().to_numpy()
    runs = [np.flatnonzero(run == number) for number in range(run.max() + 1)]
    counts = np.array([np.bincount(2 * own.positive[rows] + called[rows], minlength=4) for rows in runs], float)
    spread = _replicates(point, [sweep(own.scores[rows], own.positive[rows], units[rows]) for rows in runs], len(names))
    sides = {"sensitivity": own.positive, "specificity": ~own.positive, "ppv": called, "npv": ~called}
    metrics = {}
    for name, values in rates(*counts.T).items():
        behind = _units_behind(point, name, len(np.unique(units[sides[name]])))
        metrics[name] = _estimate(values, spread[name], behind, len(names))
    (true_no, false_yes), (false_no, true_yes) = counts.mean(0).reshape(2, 2).tolist()
    return PointLevel(
        n=len(own.rows[LEVELS[level]].drop_duplicates()),
        groups=len(names),
        confusion=[[true_no, false_yes], [false_no, true_yes]],
        metrics={**metrics, **(_at_prevalence(metrics, point.prevalence) if point.prevalence else {})},
    )


def rates(true_no: Array, false_yes: Array, false_no: Array, true_yes: Array) -> dict[str, Array]:
    """The metrics of some counts, of one shape; NaN where undefined."""
    return {
        "sensitivity": ratio(true_yes, true_yes + false_no),
        "specificity": ratio(true_no, true_no + false_yes),
        "ppv": ratio(true_yes, true_yes + false_yes),
        "npv": ratio(true_no, true_no + false_no),
    }


def _replicates(point: FittedPoint, runs: list[Sweep], units: int) -> dict[str, Array]:
    """The mean over runs of each metric (B,), where validation and these units are both drawn anew; NaN: undefined."""
    fits = np.asarray(point.resampled or [point.threshold.whole], float)
    thresholds = np.resize(fits, REPLICATES)
    places_of = [places(rows, thresholds) for rows in runs]
    blocks: list[dict[str, Array]] = []
    start = 0
    for weights in resamples(units, max(len(rows.scores) for rows in runs)):
        size, of_runs = len(weights), []
        for rows, taken in zip(runs, places_of):
            own = np.arange(size), taken[start : start + size]
            hits, alarms = accumulated(rows, weights)
            of_runs.append(rates(alarms[:, -1] - alarms[own], alarms[own], hits[:, -1] - hits[own], hits[own]))
        blocks.append({name: np.mean([one[name] for one in of_runs], axis=0) for name in of_runs[0]})
        start += size
    whole = {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}
    return {name: np.where(np.isnan(thresholds), np.nan, values) for name, values in whole.items()}


def _units_behind(point: FittedPoint, name: str, units: int) -> float:
    """The number of units that a metric rests on: those of the part, and those that a fitted threshold rests on."""
    behind = {"sensitivity": point.having, "specificity": point.lacking}.get(name, point.having + point.lacking)
    return 1 / (1 / units + 1 / behind) if units and behind and point.resampled else float(units)


def _estimate(values: Array, replicates: Array, behind: float, units: int) -> AtPoint:
    """The mean over runs with its interval (`score_interval`)."""
    runs = [None if math.isnan(value) else value for value in values.tolist()]
    if None in runs:
        return AtPoint(value=None, low=None, high=None, runs=runs)
    defined = replicates[~np.isnan(replicates)]
    variance = float(defined.var()) * units / (units - 1) if units > 1 and defined.size else 0.0
    low, high = score_interval(values, variance, max(behind, 1.0), 0.0, 1.0)
    return AtPoint(value=float(values.mean()), low=low, high=high, runs=runs)


def _at_prevalence(metrics: dict[str, AtPoint], prevalence: float) -> dict[str, AtPoint]:
    """PPV and NPV at a declared prevalence, by Bayes' rule from sensitivity and specificity and their intervals."""
    found, spared = metrics["sensitivity"], metrics["specificity"]
    odds = prevalence / (1 - prevalence)
    return {
        "ppv_at_prevalence": _predictive(found, spared, odds),
        "npv_at_prevalence": _predictive(spared, found, 1 / odds),
    }


def _predictive(right: AtPoint, other: AtPoint, odds: float) -> AtPoint:
    """The share of true answers among those of one kind: 1 / (1 + wrong / right / odds).

    Args:
        right: Of those that should have this answer, the share that has it.
        other: Of the others, the share that has not.
        odds: Of being one that should.
    """
    known = [end for one in (right, other) for end in (one.value, one.low, one.high) if end is not None]
    if len(known) < 6:
        return AtPoint(value=None, low=None, high=None)
    share, share_low, share_high, spared, spared_low, spared_high = known
    wrong = 1 - spared
    low, high = ratio_interval((wrong, 1 - spared_high, 1 - spared_low), (share, share_low, share_high))
    value = share * odds / (share * odds + wrong) if share or wrong else None
    return AtPoint(value=value, low=1 / (1 + high / odds), high=1 / (1 + low / odds))


def ratio_interval(above: tuple[float, float, float], below: tuple[float, float, float]) -> tuple[float, float]:
    """The interval of a ratio of two independent quantities ≥ 0 from theirs (Donner and Zou 2012); ∞ if undefined.

    Args:
        above: Value, low and high of the numerator.
        below: Of the denominator.
    """
    (one, one_low, one_high), (two, two_low, two_high) = above, below
    product = one * two
    least, most = one_low * (2 * one - one_low), one_high * (2 * one - one_high)
    small, large = two_low * (2 * two - two_low), two_high * (2 * two - two_high)
    low = (product - math.sqrt(max(product**2 - least * large, 0))) / large if large > 0 else 0.0
    high = (product + math.sqrt(max(product**2 - most * small, 0))) / small if small > 0 else math.inf
    return max(low, 0.0), high
