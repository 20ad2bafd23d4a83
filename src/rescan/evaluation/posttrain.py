"""The step `posttrain`: what is fitted on predictions after the training; never on the test part.

A temperature per head that gives probabilities of classes (Guo et al. 2017), a linear neuron on all heads (Tymchenko et
al. 2020) and cut points; of several labels, a threshold for each.
"""

from __future__ import annotations

import math
from os.path import relpath
from typing import Callable

import numpy as np
from scipy.optimize import minimize_scalar

from rescan.errors import RescanError
from rescan.evaluation import cuts, predictions
from rescan.evaluation.crossfit import crossfit_fold
from rescan.evaluation.point_fitting import fitted_points
from rescan.evaluation.predictions import SAMPLE, Predictions, averaged, trim_of
from rescan.evaluation.readings import heads_of_probabilities, neuron_grades
from rescan.evaluation.thresholds import thresholds
from rescan.heads import outputs as heads
from rescan.log import logger
from rescan.paths import Paths
from rescan.results.posttraining import CROSSFIT, Fit, Fits, NetworkFile, Posttraining, RunId
from rescan.study import Study

BOUNDS = (0.05, 20.0)  # of a temperature
FLAT = 1e-9  # nats: losses that differ by less are equal


def posttrain(study: Study, arm: str) -> None:
    """Fit an arm's post-training on the pooled predictions of all its runs; write posttraining.json.

    Temperatures are fitted on the validation part; the linear neuron and cut points where the recipe says. Each is
    fitted on all those rows, and on those of the other folds than each cross-fitting fold.

    Raises:
        RescanError: There is no row to fit the neuron or the cut points on; or the predictions are missing or damaged.
    """
    recipe, classes = study.arms[arm], len(study.data.classes)
    paths = Paths(study.scale, study.name)
    folder = paths.arm(arm)
    rows = predictions.read(study, arm)
    validation = rows.where(rows.rows["part"] == "validation")
    fitted_on = rows.where(rows.rows["part"] == ("train" if recipe.posttrain.fit_on == "train" else "validation"))
    if recipe.is_fitted and fitted_on.rows.empty:
        raise RescanError(
            f"{folder.posttraining}: no row to fit post-training on; change posttrain.fit_on, or split.validation"
        )
    posttraining = Posttraining(
        head=recipe.head,
        fit_on=recipe.posttrain.fit_on,
        n=len(validation.rows),
        classes=classes,
        ordered=study.data.ordered,
        temperatures={head: _temperatures(head, validation, classes) for head in heads_of_probabilities(study, arm)},
        **_neuron_and_cuts(study, arm, fitted_on),
        runs=[RunId(fold=run.fold, seed=run.seed) for run in study.runs(arm)],
        models=[
            NetworkFile(file=relpath(run.trained.folder.model, folder), inference=run.settings.inference)
            for run in study.member_runs(arm)
        ],
        ensemble=recipe.ensemble is not None,
        trim=trim_of(recipe),
    )
    points = fitted_points(study, posttraining, validation)
    for point in points:
        if point.problem:
            logger.warning("%s: operating point %s of %s: %s", arm, point.name, point.of, point.problem)
    posttraining = posttraining.model_copy(update={"points": points})
    posttraining.write(folder.posttraining)
    logger.info("%s: read from %s; fitted on %d predictions", arm, recipe.head, len(fitted_on.rows))


def _temperatures(head: str, validation: Predictions, classes: int) -> Fits[float]:
    return _crossfitted(validation, lambda own, _: temperature(head, own, classes))


def _neuron_and_cuts(study: Study, arm: str, fitted_on: Predictions) -> dict[str, Fits[list[float]]]:
    """`linear`, `cuts` and `thresholds` of posttraining.json, where the arm has them."""
    recipe, classes = study.arms[arm], len(study.data.classes)
    fits: dict[str, Fits[list[float]]] = {}
    if len(fitted_on.outputs) > 1 and study.data.ordered and not fitted_on.rows.empty:
        fits["linear"] = _crossfitted(fitted_on, lambda own, _: neuron(own, classes))
    if recipe.posttrain.cuts == "optimized":
        linear = fits["linear"] if recipe.head == "linear" else None
        fits["cuts"] = _crossfitted(
            fitted_on,
            lambda own, left_out: optimized_cuts(own, classes, linear.without(left_out) if linear else None),
        )
    elif recipe.posttrain.cuts != "rounding":
        fits["cuts"] = Fits(whole=recipe.posttrain.cuts, crossfit=[recipe.posttrain.cuts] * CROSSFIT)
    if study.data.multilabel:
        rule = recipe.posttrain.thresholds
        fits["thresholds"] = _crossfitted(fitted_on, lambda own, _: thresholds(own, classes, rule))
    return fits


def _crossfitted(rows: Predictions, fit: Callable[[Predictions, int | None], Fit]) -> Fits[Fit]:
    """What `fit` makes of all rows (and None), and of those of the other folds than each (and its number)."""
    fold = crossfit_fold(rows.rows["group"])
    return Fits(whole=fit(rows, None), crossfit=[fit(rows.where(fold != k), k) for k in range(CROSSFIT)])


def temperature(head: str, rows: Predictions, classes: int) -> float:
    """The temperature in BOUNDS of a head's logits with the least negative log-likelihood.

    A bound, where nothing inside is better; 1 without a row, and where all temperatures are equally good.
    """
    target, logits = rows.rows["target"].to_numpy(np.intp), rows.outputs[head]
    if not len(target):
        return 1.0
    index = np.arange(len(target))

    def negative_log_likelihood(log_temperature: float) -> float:
        log_probabilities = heads.HEADS[head].log_probabilities(logits / math.exp(log_temperature), classes)
        return float(-log_probabilities[index, target].mean())  # type: ignore[index]

    bounds = [math.log(bound) for bound in BOUNDS]
    inside = minimize_scalar(negative_log_likelihood, bounds=bounds, method="bounded")
    as_good = [bound for bound, end in zip(BOUNDS, bounds) if negative_log_likelihood(end) <= inside.fun + FLAT]
    return as_good[0] if len(as_good) == 1 else 1.0 if as_good else math.exp(inside.x)


def neuron(rows: Predictions, classes: int) -> list[float]:
    """A linear neuron with the least squared error: the weights of `heads.neuron_inputs`, then the bias."""
    inputs = heads.neuron_inputs(rows.outputs, classes)
    with_bias = np.column_stack([inputs, np.ones(len(inputs))])
    weights: list[float] = np.linalg.lstsq(with_bias, rows.rows["target"].to_numpy(float), rcond=None)[0].tolist()
    return weights


def optimized_cuts(rows: Predictions, classes: int, neuron: list[float] | None = None) -> list[float]:
    """Cut points of the samples' grades with the highest quadratic kappa; those of rounding without a row.

    Args:
        rows: The predictions; the grades of a sample's patches are averaged first.
        classes: K.
        neuron: The weights of the neuron whose grades are cut; those of the regression if not given.
    """
    if rows.rows.empty:
        return cuts.rounding(classes).tolist()
    grades = rows.outputs["regression"] if neuron is None else neuron_grades(np.array([neuron]), rows, classes)[:, None]
    samples = averaged(Predictions(rows.rows, {"regression": grades}), SAMPLE)
    target = samples.rows["target"].to_numpy(np.intp)
    return cuts.optimized(samples.outputs["regression"][:, 0], target, classes).tolist()
