"""From predictions to readings: the class, grade and probabilities of each row, with post-training applied."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy.special import expit

from rescan.catalogue import HEADS
from rescan.evaluation.crossfit import fit_per_row
from rescan.evaluation.predictions import SAMPLE, Predictions, averaged, combine, head_columns, joined
from rescan.heads import outputs as heads
from rescan.heads.head import TINY, Array, Indices
from rescan.heads.multilabel_head import targets
from rescan.paths import Paths
from rescan.results.damage import damaged
from rescan.results.posttraining import CROSSFIT, Fits, Posttraining
from rescan.study import Recipe, Study
from rescan.study.operating_points import points_asked


class Reading(NamedTuple):
    """What is read off predictions: one row per run and item, sample, eye, study or patient."""

    rows: pd.DataFrame
    predicted: Indices  # (n,)
    grade: Array  # (n,) on the line of the classes' numbers
    log_probabilities: Array | None  # (n, K)
    multilabel: bool = False  # `predicted` then holds several labels each (`heads.multilabel_head`)
    lowest: Array | None = (
        None  # (n,) where an operating point tells two classes apart: its threshold; NaN: it has none
    )

    def where(self, chosen: Sequence[bool] | np.ndarray | pd.Series) -> Reading:
        """The rows where `chosen` (n,) is true."""
        chosen = np.asarray(chosen, bool)
        log_probabilities = None if self.log_probabilities is None else self.log_probabilities[chosen]
        lowest = None if self.lowest is None else self.lowest[chosen]
        return Reading(
            self.rows[chosen], self.predicted[chosen], self.grade[chosen], log_probabilities, self.multilabel, lowest
        )


def read_posttraining(study: Study, arm: str, predictions: Predictions) -> Posttraining:
    """Read an arm's posttraining.json.

    Args:
        study: The study.
        arm: The arm.
        predictions: Those of all its runs.

    Raises:
        RescanError: It is missing or damaged, does not fit the arm's recipe, or is of other predictions.
    """
    path = Paths(study.scale, study.name).arm(arm).posttraining
    posttraining = Posttraining.read(path)
    if fault := _fault(study, arm, posttraining):
        raise damaged(path, Posttraining.step, fault)
    if posttraining.n != (rows := int((predictions.rows["part"] == "validation").sum())):
        raise damaged(path, Posttraining.step, f"was fitted on {posttraining.n} validation rows, the arm has {rows}")
    return posttraining


def _fault(study: Study, arm: str, posttraining: Posttraining) -> str | None:
    """What in a post-training does not fit the arm's recipe, if anything does not."""
    recipe = study.arms[arm]
    for key, value in (("head", recipe.head), ("fit_on", recipe.posttrain.fit_on)):
        if getattr(posttraining, key) != value:
            return f"{key} is {getattr(posttraining, key)!r}, not {value!r} as in the study"
    if set(posttraining.temperatures) != set(heads_of_probabilities(study, arm)):
        return "temperatures are not those of the arm's heads"
    names = list(head_columns(study, arm))
    fitted = posttraining.n > 0 if posttraining.fit_on != "train" else recipe.ensemble is None
    asked = points_asked(study.operating_points, study.data.outcome)
    if [(point.name, point.of) for point in posttraining.points] != [(point.name, of.name) for point, of in asked]:
        return "points are not those of the study"
    for key, needed in (
        ("linear", study.data.ordered and len(names) > 1 and fitted),
        ("cuts", recipe.posttrain.cuts != "rounding"),
        ("thresholds", study.data.multilabel),
    ):
        if needed and getattr(posttraining, key) is None:
            return f"{key} is missing"
    return misfit(posttraining, names, len(study.data.classes))


def misfit(posttraining: Posttraining, names: Sequence[str], classes: int) -> str | None:
    """Why outputs of some heads cannot be read with a post-training, if they cannot.

    Args:
        posttraining: What was fitted.
        names: The heads.
        classes: K.
    """
    if posttraining.classes != classes:
        return f"classes is {posttraining.classes}, not {classes}"
    if posttraining.head not in names and not (posttraining.head == "linear" and posttraining.linear):
        return f"head {posttraining.head!r} cannot be read"
    if fault := _fault_of_head(posttraining):
        return fault
    for key, width in (("linear", len(names) + 1), ("cuts", classes - 1), ("thresholds", classes)):
        fits: Fits[list[float]] | None = getattr(posttraining, key)
        if fits and any(len(fit) != width for fit in (fits.whole, *fits.crossfit)):
            return f"{key} does not hold {width} numbers each"
    return _fault_of_points(posttraining)


def _fault_of_points(posttraining: Posttraining) -> str | None:
    """Which operating point does not fit the classes, if one does not."""
    several = posttraining.thresholds is not None
    for point in posttraining.points:
        out = point.number >= posttraining.classes or (point.kind == "label") != several
        if out or (point.predicts and not several and posttraining.classes != 2):
            return f"points: {point.name} of {point.of} does not fit the classes"
    return None


def _fault_of_head(posttraining: Posttraining) -> str | None:
    """What the head that is read lacks, or has too much, if it does."""
    name, classes = posttraining.head, posttraining.classes
    if name not in HEADS:  # of "linear" nothing more is needed
        return None
    if HEADS[name].of_several != (posttraining.thresholds is not None):
        return "thresholds is missing" if HEADS[name].of_several else f"thresholds are of several labels, not of {name}"
    lacks = _is_tempered(name, classes) and name not in posttraining.temperatures
    return f"temperatures lacks {name}" if lacks else None


def _is_tempered(name: str, classes: int, width: int | None = None) -> bool:
    """Whether a head has a temperature: it gives probabilities of classes that exclude each other."""
    head = heads.HEADS[name]
    zeros = np.zeros((1, width or head.width(classes)))
    return not HEADS[name].of_several and head.log_probabilities(zeros, classes) is not None


def heads_of_probabilities(study: Study, arm: str) -> list[str]:
    """The heads of an arm that give probabilities of classes, and so have a temperature."""
    classes = len(study.data.classes)
    widths = {name: len(columns) for name, columns in head_columns(study, arm).items()}
    return [name for name, width in widths.items() if _is_tempered(name, classes, width)]


def readable_heads(posttraining: Posttraining, recipe: Recipe) -> list[str]:
    """What an arm's predictions can be read from, its own head first."""
    names: list[str] = [name for name in heads.HEADS if name in recipe.network.heads]
    names += ["linear"] if posttraining.linear else []
    return [recipe.head, *(name for name in names if name != recipe.head)]


def without_temperatures(posttraining: Posttraining) -> Posttraining:
    """The post-training with temperatures of 1: for the network's own probabilities."""
    ones = Fits(whole=1.0, crossfit=[1.0] * CROSSFIT)
    return posttraining.model_copy(update={"temperatures": dict.fromkeys(posttraining.temperatures, ones)})


def as_fitted_without(posttraining: Posttraining, fold: int | None) -> Posttraining:
    """The post-training with what was fitted without a cross-fitting fold, for all rows; on all rows if None."""

    def fixed(fits: Any) -> Any:
        fit = fits.without(fold)
        return Fits(whole=fit, crossfit=[fit] * CROSSFIT)

    linear = fixed(posttraining.linear) if posttraining.linear and posttraining.fit_on == "crossfit" else None
    temperatures = {head: fixed(fits) for head, fits in posttraining.temperatures.items()}
    return posttraining.model_copy(update={"temperatures": temperatures, "linear": linear or posttraining.linear})


def by_item(posttraining: Posttraining, predictions: Predictions, head: str | None = None) -> Reading:
    """Read each row by itself.

    Args:
        posttraining: What was fitted.
        predictions: The predictions.
        head: The head to read, or "linear"; the arm's own if not given. Cut points belong to the arm's own.
    """
    head = head or posttraining.head
    return _read(posttraining, head, predictions.rows, _output(posttraining, head, predictions))


def by_sample(posttraining: Posttraining, predictions: Predictions, head: str | None = None) -> Reading:
    """Read whole samples: their patches' probabilities are averaged, or their grades where a head gives none."""
    if not predictions.has_patches:
        return by_item(posttraining, predictions, head)
    head = head or posttraining.head
    patches = predictions._replace(outputs={head: _output(posttraining, head, predictions)})
    whole = averaged(patches, SAMPLE)
    return _read(posttraining, head, whole.rows, whole.outputs[head])


def of_new(posttraining: Posttraining, runs: list[Predictions]) -> Reading:
    """Read samples that are in no part of a split off the mean of an arm's networks.

    Patches are averaged in the order in which the arm was evaluated: an ensemble's within each of its networks first,
    else within the mean of all networks.

    Args:
        posttraining: What was fitted.
        runs: The networks' predictions of the same samples.
    """
    if posttraining.ensemble:
        return by_item(posttraining, combine(runs, posttraining.trim))
    mean = averaged(joined(runs), ["part", "sample", "item"])
    return by_sample(posttraining, mean._replace(rows=mean.rows.assign(fold=0, seed=0)))


def gives_probabilities(posttraining: Posttraining) -> bool:
    """Whether new samples are read with probabilities; else with a grade alone."""
    reader = heads.READERS[posttraining.head]
    tempered = not reader.takes_cuts and posttraining.head in posttraining.temperatures
    return posttraining.thresholds is not None or tempered


def neuron_grades(weights: Array, predictions: Predictions, classes: int) -> Array:
    """The grades (n,) of a linear neuron: weights (n or 1, number of heads + 1), the bias last."""
    return (heads.neuron_inputs(predictions.outputs, classes) * weights[:, :-1]).sum(1) + weights[:, -1]


def _output(posttraining: Posttraining, head: str, predictions: Predictions) -> Array:
    """What a head is read from: the grade (n, 1) of a regression or the neuron, else logits over their temperature."""
    if head == "linear" and posttraining.linear:
        weights = fit_per_row(posttraining.linear, predictions.rows, crossfit=posttraining.fit_on == "crossfit")
        return neuron_grades(weights, predictions, posttraining.classes)[:, None]
    if head not in posttraining.temperatures:
        return predictions.outputs[head]
    temperatures = fit_per_row(posttraining.temperatures[head], predictions.rows, crossfit=True)
    return predictions.outputs[head] / temperatures[:, None]


def _read(posttraining: Posttraining, head: str, rows: pd.DataFrame, output: Array) -> Reading:
    """Read what `_output` gives, or means of it; the arm's own head at the operating points that predict."""
    reading = _read_plainly(posttraining, head, rows, output)
    deciding = [point for point in posttraining.points if point.predicts and head == posttraining.head]
    for point in deciding:
        lowest = fit_per_row(point.threshold, rows, crossfit=True)
        if reading.multilabel:
            bit = 1 << point.number
            called, as_before = expit(output[:, point.number]) >= lowest, reading.predicted & bit
            own = np.where(np.isnan(lowest), as_before, bit * called)
            reading = reading._replace(predicted=reading.predicted - as_before + own)
        else:
            predicted = np.where(np.isnan(lowest), reading.predicted, least_score(reading, 1) >= lowest)
            reading = reading._replace(predicted=predicted.astype(np.intp), lowest=lowest)
    return reading


def _read_plainly(posttraining: Posttraining, head: str, rows: pd.DataFrame, output: Array) -> Reading:
    """Read what `_output` gives without operating points."""
    classes, reader = posttraining.classes, heads.READERS[head]
    if posttraining.thresholds and HEADS[head].of_several:
        lowest = fit_per_row(posttraining.thresholds, rows, crossfit=posttraining.fit_on == "crossfit")
        log_probabilities = reader.log_probabilities(output, classes)
        predicted = targets(expit(output) >= lowest)
        return Reading(rows, predicted, reader.grade(output, classes), log_probabilities, multilabel=True)
    grade, predicted = reader.grade(output, classes), reader.decide(output, classes)
    if reader.takes_cuts:
        if head == posttraining.head and posttraining.cuts:
            cut_points = fit_per_row(posttraining.cuts, rows, crossfit=posttraining.fit_on == "crossfit")
            predicted = (grade[:, None] >= cut_points).sum(1)
        return Reading(rows, predicted, grade, None)
    fitted = head in posttraining.temperatures
    return Reading(rows, predicted, grade, reader.log_probabilities(output, classes) if fitted else None)


def least_score(reading: Reading, lowest: int) -> Array:
    """What ranks rows (n,) by whether the grade is at least `lowest`: its probability, else the grade."""
    if reading.log_probabilities is None:
        return reading.grade
    return np.exp(reading.log_probabilities)[:, lowest:].sum(1).clip(TINY, 1 - TINY)


def endpoint(reading: Reading, lowest: int) -> Reading:
    """The same with two classes, whether the grade is at least `lowest`; with its probability, if that is known."""
    rows = reading.rows.assign(target=(reading.rows["target"] >= lowest).astype(int))
    log_probabilities = None
    if reading.log_probabilities is not None:
        positive = least_score(reading, lowest)
        log_probabilities = np.log(np.stack([1 - positive, positive], axis=1))
    return Reading(rows, (reading.predicted >= lowest).astype(np.intp), reading.grade, log_probabilities)
