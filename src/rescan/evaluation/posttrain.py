"""Post-training: one temperature on the logits, fitted on validation predictions only (Guo et al. 2017)."""

from __future__ import annotations

import math
from hashlib import blake2b
from typing import Any

import numpy as np
import pandas as pd
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from rescan.errors import RescanError
from rescan.evaluation import predictions
from rescan.evaluation.metrics import Array, Indices
from rescan.files import write_json
from rescan.log import logger
from rescan.paths import Paths
from rescan.study import Study

CROSSFIT = 5
BOUNDS = (0.05, 20.0)


def posttrain(study: Study, arm: str) -> None:
    """Fit an arm's temperature on the pooled validation predictions of all its runs; write posttraining.json.

    `temperature` is fitted on all validation rows, `crossfit[k]` on those of the other folds than k, where a row's fold
    comes from its group.

    Raises:
        RescanError: There is no validation row.
    """
    everything = predictions.read(study, arm)
    rows, scores = everything.where(everything.rows["part"] == "validation")
    path = f"{Paths(study.scale, study.name).arm(arm)}/posttraining.json"
    if rows.empty:
        raise RescanError(f"{path}: no validation row to fit a temperature on; set split.validation in the study file")
    target, fold = rows["target"].to_numpy(np.intp), crossfit_fold(rows["group"])
    temperature = fit(scores, target)
    others = [fit(scores[fold != k], target[fold != k]) for k in range(CROSSFIT)]
    logger.info("%s: temperature %.3f, fitted on %d validation predictions", arm, temperature, len(rows))
    content = {"head": "classification", "temperature": temperature, "fit_on": "validation", "n": len(rows)}
    content["runs"] = [{"fold": fold, "seed": seed} for fold, seed in study.runs()]
    write_json(path, {**content, "crossfit": others})


def fit(logits: Array, target: Indices) -> float:
    """The temperature in [0.05, 20] with the least negative log-likelihood; 1 without a row.

    Args:
        logits: (n, K).
        target: (n,) class indices.
    """
    if not len(target):
        return 1.0
    index = np.arange(len(target))

    def negative_log_likelihood(log_temperature: float) -> float:
        return float(-log_softmax(logits / math.exp(log_temperature), axis=1)[index, target].mean())

    bounds = (math.log(BOUNDS[0]), math.log(BOUNDS[1]))
    return math.exp(minimize_scalar(negative_log_likelihood, bounds=bounds, method="bounded").x)


def crossfit_fold(groups: pd.Series) -> Indices:
    """The cross-fitting fold, 0 … 4, of each group: a hash of its name, so the same in every run."""
    hashes = (blake2b(group.encode(), digest_size=8).digest() for group in groups)
    return np.array([int.from_bytes(digest, "big") % CROSSFIT for digest in hashes], dtype=np.intp)


def apply(posttraining: dict[str, Any], given: predictions.Predictions) -> predictions.Predictions:
    """Divide logits by the temperature; for validation rows, by the one fitted without their fold."""
    own = np.array(posttraining["crossfit"])[crossfit_fold(given.rows["group"])]
    temperature = np.where(given.rows["part"] == "validation", own, posttraining["temperature"])
    return predictions.Predictions(given.rows, given.scores / temperature[:, None])
