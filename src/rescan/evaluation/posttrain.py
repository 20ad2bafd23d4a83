"""Post-training: what is fitted on predictions after the training, and how an arm's predictions are read with it.

A temperature for each head that gives probabilities (Guo et al. 2017), a linear neuron on all heads (Tymchenko et al.
2020) and cut points. Never fitted on the test part.
"""

from __future__ import annotations

import math
from hashlib import blake2b
from os.path import relpath
from typing import Any

import numpy as np
import pandas as pd
from scipy.optimize import minimize_scalar

from rescan.errors import RescanError
from rescan.evaluation import cuts, predictions
from rescan.evaluation.predictions import Predictions, Reading
from rescan.files import write_json
from rescan.heads import outputs as heads
from rescan.heads.head import Array, Indices
from rescan.log import logger
from rescan.paths import Paths
from rescan.study import Recipe, Study

CROSSFIT = 5
BOUNDS = (0.05, 20.0)


def posttrain(study: Study, arm: str) -> None:
    """Fit an arm's post-training on the pooled predictions of all its runs; write posttraining.json.

    Temperatures are fitted on the validation part; the linear neuron and cut points where the recipe says. Each is
    fitted on all those rows (`whole`) and on the other folds than k (`crossfit[k]`), where a row's fold comes from its
    group.

    `models` are the model files whose outputs are averaged to predict new images, relative to the arm's folder, and
    what each is shown of an image.

    Raises:
        RescanError: There is no row to fit the neuron or the cut points on.
    """
    given, recipe, classes = predictions.read(study, arm), study.arms[arm], len(study.data.classes)
    paths = Paths(study.scale, study.name)
    path = paths.arm(arm).posttraining
    validation = given.where(given.rows["part"] == "validation")
    content: dict[str, Any] = {
        "head": recipe.head,
        "fit_on": recipe.posttrain.fit_on,
        "n": len(validation.rows),
        "classes": classes,
        "temperatures": {
            head: _fits(validation, lambda rows, _, head=head: temperature(head, rows, classes))
            for head in given.outputs
            if heads.HEADS[head].log_probabilities(given.outputs[head][:1], classes) is not None
        },
    }
    fitted_on = given.where(given.rows["part"] == ("train" if recipe.posttrain.fit_on == "train" else "validation"))
    if recipe.is_fitted and fitted_on.rows.empty:
        raise RescanError(f"{path}: no row to fit post-training on; change posttrain.fit_on, or split.validation")
    if len(given.outputs) > 1 and study.data.ordered and not fitted_on.rows.empty:
        content["linear"] = _fits(fitted_on, lambda rows, _: neuron(rows, classes))
    if recipe.posttrain.cuts == "optimized":
        content["cuts"] = _fits(fitted_on, lambda rows, left_out: _optimized(rows, content, left_out))
    elif recipe.posttrain.cuts != "rounding":
        content["cuts"] = {"whole": recipe.posttrain.cuts, "crossfit": [recipe.posttrain.cuts] * CROSSFIT}
    content["runs"] = [{"fold": fold, "seed": seed} for fold, seed in study.runs(arm)]
    content["models"] = [
        {
            "file": relpath(paths.run(source, fold, seed).model, paths.arm(arm)),
            "inference": study.arms[member].inference.model_dump(mode="json"),
        }
        for member, source, fold, seed in study.models(arm)
    ]
    content["ensemble"] = recipe.ensemble is not None
    content["trim"] = trim_of(recipe)
    write_json(path, content)
    logger.info("%s: read from %s; fitted on %d predictions", arm, recipe.head, len(fitted_on.rows))


def trim_of(recipe: Recipe) -> float:
    """The share cut off at either end when the outputs of an arm's networks are averaged; 0 for a plain mean."""
    return recipe.ensemble.trim if recipe.ensemble and recipe.ensemble.combine == "trimmed_mean" else 0.0


def _fits(given: Predictions, fit: Any) -> dict[str, Any]:
    """What `fit` makes of all rows (and None), and of those of the other folds than each (and its number)."""
    fold = crossfit_fold(given.rows["group"])
    return {"whole": fit(given, None), "crossfit": [fit(given.where(fold != k), k) for k in range(CROSSFIT)]}


def temperature(head: str, given: Predictions, classes: int) -> float:
    """The temperature in [0.05, 20] of a head's logits with the least negative log-likelihood; 1 without a row."""
    target, logits = given.rows["target"].to_numpy(np.intp), given.outputs[head]
    if not len(target):
        return 1.0
    index = np.arange(len(target))

    def negative_log_likelihood(log_temperature: float) -> float:
        found = heads.HEADS[head].log_probabilities(logits / math.exp(log_temperature), classes)
        return float(-found[index, target].mean())  # type: ignore[index]

    bounds = (math.log(BOUNDS[0]), math.log(BOUNDS[1]))
    return math.exp(minimize_scalar(negative_log_likelihood, bounds=bounds, method="bounded").x)


def neuron(given: Predictions, classes: int) -> list[float]:
    """A linear neuron with the least squared error: the weights of `heads.neuron_inputs`, then the bias."""
    inputs = heads.neuron_inputs(given.outputs, classes)
    with_bias = np.column_stack([inputs, np.ones(len(inputs))])
    return np.linalg.lstsq(with_bias, given.rows["target"].to_numpy(float), rcond=None)[0].tolist()


def _optimized(given: Predictions, content: dict[str, Any], left_out: int | None) -> list[float]:
    """Cut points of the arm's grades; where a fold is left out, of the neuron that was fitted without it, too."""
    classes = content["classes"]
    if given.rows.empty:
        return cuts.rounding(classes).tolist()
    if content["head"] == "linear":
        fits = content["linear"]
        own = fits["whole"] if left_out is None else fits["crossfit"][left_out]
        grades = _apply_neuron({"whole": own}, given, classes)[:, None]
    else:
        grades = given.outputs["regression"]
    whole = predictions.averaged(Predictions(given.rows, {"regression": grades}), predictions.SAMPLE)
    return cuts.optimized(whole.outputs["regression"][:, 0], whole.rows["target"].to_numpy(np.intp), classes).tolist()


def crossfit_fold(groups: pd.Series) -> Indices:
    """The cross-fitting fold, 0 … 4, of each group: a hash of its name, so the same in every run."""
    hashes = (blake2b(group.encode(), digest_size=8).digest() for group in groups)
    return np.array([int.from_bytes(digest, "big") % CROSSFIT for digest in hashes], dtype=np.intp)


def _of_rows(fits: dict[str, Any], rows: pd.DataFrame, crossfit: bool) -> Array:
    """The fit that holds for each row, (n, …): for validation rows, if cross-fitted, that made without their fold."""
    whole = np.asarray(fits["whole"], float)
    found = np.broadcast_to(whole, (len(rows), *whole.shape)).copy()
    if crossfit:
        held_out = (rows["part"] == "validation").to_numpy()
        found[held_out] = np.asarray(fits["crossfit"], float)[crossfit_fold(rows["group"][held_out])]
    return found


def _apply_neuron(fits: dict[str, Any], given: Predictions, classes: int, crossfit: bool = False) -> Array:
    weights = _of_rows(fits, given.rows, crossfit)
    return (heads.neuron_inputs(given.outputs, classes) * weights[:, :-1]).sum(1) + weights[:, -1]


def apply(posttraining: dict[str, Any], given: Predictions, head: str | None = None) -> Reading:
    """Read predictions with what was fitted, each row by itself.

    Args:
        posttraining: posttraining.json.
        given: The predictions.
        head: The head to read, or "linear"; the arm's own if not given. Cut points belong to the arm's own.
    """
    head = head or posttraining["head"]
    return _read(posttraining, head, given.rows, _output(posttraining, head, given))


def by_sample(posttraining: dict[str, Any], given: Predictions, head: str | None = None) -> Reading:
    """The same of whole samples: the patches' probabilities are averaged, or their grades where a head gives none."""
    if not predictions.has_patches(given.rows):
        return apply(posttraining, given, head)
    head = head or posttraining["head"]
    patches = given._replace(outputs={head: _output(posttraining, head, given)})
    whole = predictions.averaged(patches, predictions.SAMPLE)
    return _read(posttraining, head, whole.rows, whole.outputs[head])


def _output(posttraining: dict[str, Any], head: str, given: Predictions) -> Array:
    """What a head is read from: the grade (n, 1) of a regression or the neuron, else logits over their temperature."""
    if head == "linear":
        crossfit = posttraining["fit_on"] == "crossfit"
        return _apply_neuron(posttraining["linear"], given, posttraining["classes"], crossfit)[:, None]
    if head not in posttraining["temperatures"]:
        return given.outputs[head]
    return given.outputs[head] / _of_rows(posttraining["temperatures"][head], given.rows, crossfit=True)[:, None]


def _read(posttraining: dict[str, Any], head: str, rows: pd.DataFrame, output: Array) -> Reading:
    """Read what `_output` gives, or means of it."""
    classes, reader = posttraining["classes"], heads.READERS[head]
    grade, predicted = reader.grade(output, classes), reader.decide(output, classes)
    if reader.takes_cuts:
        if head == posttraining["head"] and "cuts" in posttraining:
            cut_points = _of_rows(posttraining["cuts"], rows, posttraining["fit_on"] == "crossfit")
            predicted = (grade[:, None] >= cut_points).sum(1)
        return Reading(rows, predicted, grade, None)
    fitted = head in posttraining["temperatures"]
    return Reading(rows, predicted, grade, reader.log_probabilities(output, classes) if fitted else None)


def combine(members: list[Predictions], trim: float) -> Predictions:
    """Average the outputs of all rows of a sample, over runs and members; of patches, first those of each run.

    Args:
        members: Of several arms, or of one; only heads that all have are kept.
        trim: Share of the values cut off at either end of each output (0: the plain mean).

    Returns:
        One row a part and sample.
    """
    members = [
        predictions.averaged(member, predictions.SAMPLE) if predictions.has_patches(member.rows) else member
        for member in members
    ]
    return predictions.averaged(_joined(members), ["part", "sample"], trim)


def _joined(members: list[Predictions]) -> Predictions:
    """All rows, with the heads that all members have."""
    shared = [head for head in heads.HEADS if all(head in member.outputs for member in members)]
    rows = pd.concat([member.rows for member in members], ignore_index=True)
    return Predictions(rows, {head: np.concatenate([member.outputs[head] for member in members]) for head in shared})


def of_new(posttraining: dict[str, Any], runs: list[Predictions]) -> Reading:
    """Read samples that are in no part of a split off the mean of an arm's networks.

    Patches are averaged in the order in which the arm was evaluated: an ensemble's within each of its networks first,
    else within the mean of all networks.

    Args:
        posttraining: posttraining.json.
        runs: The networks' predictions of the same samples.
    """
    if posttraining["ensemble"]:
        return apply(posttraining, combine(runs, posttraining["trim"]))
    mean = predictions.averaged(_joined(runs), ["part", "sample", "item"])
    return by_sample(posttraining, mean._replace(rows=mean.rows.assign(fold=0, seed=0)))


def readable(posttraining: dict[str, Any], recipe: Recipe) -> list[str]:
    """The heads that an arm's predictions can be read from, its own first."""
    others: list[str] = [head for head in heads.HEADS if head in recipe.network.heads]
    others += ["linear"] if "linear" in posttraining else []
    return [recipe.head, *(head for head in others if head != recipe.head)]
