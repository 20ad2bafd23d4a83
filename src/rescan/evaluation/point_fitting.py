"""Operating points: thresholds fitted on the validation part, by image, pooled over all runs of an arm."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Optional

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from rescan.catalogue import METRICS
from rescan.evaluation.answers import Answers, answers, thresholds_of
from rescan.evaluation.bootstrap import resamples
from rescan.evaluation.crossfit import crossfit_fold
from rescan.evaluation.predictions import Predictions
from rescan.evaluation.readings import as_fitted_without, by_sample
from rescan.heads.head import TINY
from rescan.metrics.counted import Array, Indices, ratio
from rescan.metrics.intervals import wilson
from rescan.metrics.sweep import accumulated, cuts, sweep
from rescan.results.posttraining import CROSSFIT, Fits, FittedPoint, Posttraining
from rescan.study import Study
from rescan.study.operating_points import OperatingPoint, Question, points_asked

RESAMPLES = 300  # of validation units: thresholds that other patients would have given
ROUNDING = 1e-9  # of a sum of weights that a share of another one must reach
ALIKE = "all validation images have the same score: no threshold tells them apart"


def fitted_points(study: Study, posttraining: Posttraining, validation: Predictions) -> list[FittedPoint]:
    """Fit all operating points of a study to an arm.

    Args:
        study: The study.
        posttraining: What else was fitted on the arm's predictions: it makes the scores.
        validation: The validation rows of all runs.
    """
    wanted = points_asked(study.operating_points, study.data.outcome)
    if not wanted:
        return []
    fold = crossfit_fold(validation.rows["group"])
    # Each as its threshold will be used: with the temperature, or neuron, that was fitted without the same fold.
    read = {
        left_out: by_sample(as_fitted_without(posttraining, left_out), validation.where(fold != left_out))
        for left_out in (None, *range(CROSSFIT))
    }
    held_out = by_sample(posttraining, validation)  # each row by what was fitted without its fold
    classes = posttraining.classes
    found: dict[str, Mapping[Optional[int], Answers | None]] = {}
    unseen: dict[str, Answers | None] = {}
    for _, question in wanted:
        if question.name not in found:
            unseen[question.name] = answers(held_out, question.kind, question.number, classes)
            found[question.name] = {
                left_out: answers(reading, question.kind, question.number, classes)
                for left_out, reading in read.items()
            }
    graded = read[None].log_probabilities is None
    return [
        _fitted(point, question, found[question.name], unseen[question.name], graded=graded)
        for point, question in wanted
    ]


def _fitted(
    point: OperatingPoint,
    question: Question,
    read: Mapping[Optional[int], Answers | None],
    unseen: Answers | None,
    *,
    graded: bool,
) -> FittedPoint:
    """Fit a point on all rows, and on those of the other folds than each; look at the rows that each did not see."""
    whole = read[None]
    noun, units = ("unit", np.empty(0, np.intp)) if whole is None else _units(whole)
    sides = [0, 0] if whole is None else [len(np.unique(units[whole.positive == side])) for side in (True, False)]
    fits = {left_out: None if own is None else _threshold(point, own) for left_out, own in read.items()}
    crossfit = [fits[number] for number in range(CROSSFIT)]
    threshold = fits[None]
    fitted = FittedPoint(
        name=point.name,
        of=question.name,
        kind=question.kind,
        number=question.number,
        prevalence=point.prevalence,
        predicts=point.predicts,
        scale="grade" if graded else "probability",
        threshold=Fits(whole=threshold, crossfit=crossfit),
        resampled=[],
        having=sides[0],
        lacking=sides[1],
    )
    if whole is None or unseen is None or threshold is None:
        return fitted.model_copy(update={"problem": _why_not(point, question, whole)})
    reached = _rates(whole, whole.scores >= threshold)
    thresholds = thresholds_of(fitted, unseen.rows)
    unseen, thresholds = unseen.where(~np.isnan(thresholds)), thresholds[~np.isnan(thresholds)]
    value, lower = _lower(point, unseen, unseen.scores >= thresholds)
    update = {
        "reached": reached,
        "lower": lower,
        "resampled": _resampled(point, whole, units, graded=graded) if not point.threshold else [],
        "problem": _limit(point, question, reached, value, lower, sides, noun),
    }
    return fitted.model_copy(update=update)


def _threshold(point: OperatingPoint, own: Answers) -> float | None:
    """The threshold of all rows, each with a weight of 1; None where there is none."""
    if point.threshold:
        return point.threshold
    if len(np.unique(own.scores)) < 2:
        return None
    return _cut(point, own.scores, own.positive, np.zeros(len(own.scores), np.intp), np.ones(1))


def _cut(
    point: OperatingPoint, scores: Array, positive: NDArray[np.bool_], units: Indices, weights: Array
) -> float | None:
    """The cut of scores (n,) that a rule takes, each row with the weight of its unit; None where there is none."""
    rows = sweep(scores, positive, units)
    ends, thresholds = cuts(rows)
    hits, alarms = accumulated(rows, weights[None])
    place = int(chosen(point, hits[:, ends], alarms[:, ends])[0])
    return None if place < 0 else float(thresholds[place])


def _resampled(point: OperatingPoint, own: Answers, units: Indices, *, graded: bool) -> list[float | None]:
    """The thresholds of RESAMPLES resamples of the units: a smoothed bootstrap.

    The lowest scores of few patients are drawn again and again, but never lower ones, as other patients would have. So
    each unit's scores are moved at random, by as much as a kernel estimate of their density smooths it.
    """
    values = own.scores if graded else logit(own.scores.clip(TINY, 1 - TINY))
    widths = np.zeros(len(values))
    for side in (own.positive, ~own.positive):
        widths[side] = bandwidth(values[side], len(np.unique(units[side])))
    generator, count = np.random.default_rng(1), int(units.max()) + 1
    found: list[float | None] = []
    for block in resamples(count, len(units), RESAMPLES):
        for weights in block:
            moved = values + widths * generator.normal(size=count)[units]
            cut = _cut(point, moved, own.positive, units, weights)
            found.append(None if cut is None else float(f"{cut if graded else expit(cut):.6g}"))
    return found


def bandwidth(values: Array, units: int) -> float:
    """The width of a kernel that smooths values of so many units (Silverman 1986)."""
    spread = float(np.subtract(*np.percentile(values, [75, 25]))) / 1.34
    return 0.9 * min(float(values.std()), spread or np.inf) * units**-0.2


def chosen(point: OperatingPoint, hits: Array, alarms: Array) -> Indices:
    """Which of the G + 1 cuts a rule takes, for B weightings: the highest threshold of several that are equally good.

    Only of specificity and PPV it is the lowest one that reaches them, which finds the most.

    Args:
        point: The rule; not a fixed threshold.
        hits: (B, G + 1) weights of the positive rows at or above each cut.
        alarms: (B, G + 1) of the other rows.

    Returns:
        (B,); −1 where a side has no weight, or no cut has the PPV.
    """
    having, lacking = hits[:, -1:], alarms[:, -1:]
    defined = (having * lacking)[:, 0] > 0
    if point.sensitivity:
        place = (hits >= point.sensitivity * having - ROUNDING).argmax(1)
    elif point.specificity:
        place = _last(alarms <= (1 - point.specificity) * lacking + ROUNDING)
    else:
        found, alarmed = hits / np.maximum(having, ROUNDING), alarms / np.maximum(lacking, ROUNDING)
        prevalence = ratio(having, having + lacking) if point.prevalence is None else point.prevalence
        if point.ppv:
            true, false = prevalence * found, (1 - prevalence) * alarmed
            place = _last((true >= point.ppv * (true + false) - ROUNDING) & (true + false > 0))
        elif point.cost:
            cost = point.cost.fn * prevalence * (1 - found) + point.cost.fp * (1 - prevalence) * alarmed
            place = np.round(cost / (point.cost.fn + point.cost.fp), 12).argmin(1)
        else:
            place = np.round(found - alarmed, 12).argmax(1)
    return np.where(defined, place, -1)


def _last(true: NDArray[np.bool_]) -> Indices:
    """The last true of each row (B, G); −1 without one."""
    return np.where(true.any(1), true.shape[1] - 1 - true[:, ::-1].argmax(1), -1)


def _units(own: Answers) -> tuple[str, Indices]:
    """What is resampled together: patients, or groups where patients are unknown; and the number of each row's."""
    noun = "patient" if bool((own.rows["patient"] != "").all()) else "group"
    return noun, np.unique(own.rows[noun].to_numpy(str), return_inverse=True)[1]


def _sides(own: Answers, called: NDArray[np.bool_]) -> dict[str, NDArray[np.bool_]]:
    """The rows (n,) that each rate is a share of."""
    return {"sensitivity": own.positive, "specificity": ~own.positive, "ppv": called}


def _rates(own: Answers, called: NDArray[np.bool_]) -> dict[str, float | None]:
    """Sensitivity, specificity and PPV of rows, `called` (n,) or not."""
    right = called == own.positive
    return {name: float(right[side].mean()) if side.any() else None for name, side in _sides(own, called).items()}


def _lower(point: OperatingPoint, unseen: Answers, called: NDArray[np.bool_]) -> tuple[float | None, float | None]:
    """The rate that a rule asks for and its lower limit, of rows that were called by a fit that did not see them."""
    value = _rates(unseen, called).get(point.rule)
    if value is None:
        return None, None
    units = _units(unseen)[1]
    return value, wilson(value, len(np.unique(units[_sides(unseen, called)[point.rule]])))[0]


def _why_not(point: OperatingPoint, question: Question, whole: Answers | None) -> str:
    """Why there is no threshold."""
    if whole is None:
        return "the arm is read from grades, which do not rank one class between others"
    if not len(whole.scores):
        return "the arm has no validation part to fit it on"
    if not whole.positive.any() or whole.positive.all():
        return f"no validation image is {'' if not whole.positive.any() else 'without '}{question.name}"
    if len(np.unique(whole.scores)) < 2:
        return ALIKE
    return f"no threshold reaches a PPV of {point.ppv:g} on the validation part"


def _limit(
    point: OperatingPoint,
    question: Question,
    reached: Mapping[str, float | None],
    value: float | None,
    lower: float | None,
    sides: Sequence[int],
    noun: str,
) -> str:
    """What limits a threshold that was found; "" if nothing does."""
    if reached["sensitivity"] == 0:
        return f"it calls no validation image {question.name}"
    if reached["specificity"] == 0:
        return f"it calls every validation image {question.name}"
    wanted = getattr(point, point.rule)
    if lower is None or lower >= wanted:
        return ""
    title = METRICS[point.rule].title
    limit = f"validation, cross-fitted, has a {title} of {value:.3f}, which may be as low as {lower:.3f}"
    if point.ppv:
        return limit
    count, who = (sides[0], "with") if point.sensitivity else (sides[1], "without")
    who = f"{count:,} {noun}{'s' * (count != 1)} {who} it"
    if wilson(1, count)[0] >= wanted:
        return f"{limit}: {who} do not guarantee more"
    return f"{limit}: {who} {'is' if count == 1 else 'are'} too few to guarantee {wanted:g}"
