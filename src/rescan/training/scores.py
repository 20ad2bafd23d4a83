"""Validation scores of an epoch: what decides which weights are kept and when a stage ends."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, Optional

import numpy as np
import torch

from rescan import catalogue
from rescan.heads import outputs as heads
from rescan.metrics import counted
from rescan.metrics.counted import Counts
from rescan.metrics.run_rows import RunRows, compute, prepare, prepare_labels
from rescan.training.loss_functions import total

Scores = dict[str, Optional[float]]  # by metric; None where undefined

# As scikit-learn defines them: averages over the classes leave out those where a metric is undefined.
METRICS = {
    "accuracy": counted.accuracy,
    "balanced_accuracy": counted.sensitivity,
    "macro_f1": counted.f1,
    "quadratic_kappa": counted.quadratic_kappa,
}
OF_LABELS = ("auroc", "macro_f1")  # of several labels instead


def score(
    losses: Mapping[Any, dict[str, Any]],
    outputs: dict[str, np.ndarray],
    targets: np.ndarray,
    classes: int,
    head: str,
    wanted: Iterable[str] = (),
) -> Scores:
    """Score a network's outputs for the validation images.

    Args:
        losses: The stage's losses, by head.
        outputs: For each head (n, K_head) float32.
        targets: (n,) int64 in [0, K).
        classes: K.
        head: The head that the classes are read from.
        wanted: More metrics of the catalogue, by which epochs are compared.

    Returns:
        `loss` (None if it is not finite), `accuracy`, `balanced_accuracy`, `macro_f1` and `quadratic_kappa` (None if it
        is undefined), as scikit-learn defines them. Of several labels `loss`, and `auroc` and `macro_f1`, means over
        the labels with and without which there are images. And what is wanted: of the second of two classes where that
        is the custom, else the mean over the classes for which it is defined.
    """
    tensors = {name: torch.from_numpy(output) for name, output in outputs.items()}
    loss = float(total(losses, tensors, torch.from_numpy(targets), classes))
    output, finite = outputs[head], {"loss": loss if math.isfinite(loss) else None}
    if catalogue.HEADS[head].of_several:
        units = np.zeros(len(targets), np.intp)
        rows = prepare_labels(targets, heads.HEADS[head].decide(output, classes), units, 1, classes, output)
        return {**finite, **_computed(dict.fromkeys([*OF_LABELS, *wanted]), rows, None)}
    predictions = heads.HEADS[head].decide(output, classes)
    counts = Counts.of(counted.confusion_matrix(targets, predictions, classes))
    scores: Scores = {**finite, **{name: _mean_of_defined(metric(counts)) for name, metric in METRICS.items()}}
    further = [name for name in wanted if name not in scores]
    if not further or not np.isfinite(output).all():
        return {**scores, **dict.fromkeys(further)}
    # The grade ranks two classes where a head gives no probabilities.
    logs, grade = heads.HEADS[head].log_probabilities(output.astype(float), classes), heads.HEADS[head].grade
    ranking = None if logs is not None or classes > 2 else grade(output, classes)[:, None] * [-1.0, 1.0]
    rows = prepare(targets, predictions, np.zeros(len(targets), np.intp), 1, classes, logs, ranking)
    return {**scores, **_computed(further, rows, 1 if classes == 2 else None)}


def _computed(names: Iterable[str], rows: RunRows, positive: int | None) -> Scores:
    """Metrics of rows; of the positive class of two, or the mean over the classes for which one is defined."""
    names = [name for name in names if name != "loss"]
    values = {name: of_metric[0] for name, of_metric in compute(names, rows, np.ones((1, 1))).items()}
    return {
        name: _mean_of_defined(
            value[[positive]] if positive is not None and catalogue.METRICS[name].of_positive else np.atleast_1d(value)
        )
        for name, value in values.items()
    }


def _mean_of_defined(values: counted.Array) -> float | None:
    """The mean of the values that are not NaN; None if all are."""
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if defined.size else None


def better(metric: str, scores: Scores, best: float | None) -> bool:
    """Whether an epoch's score beats the best before (None: there is none yet)."""
    value = scores[metric]
    if value is None or best is None:
        return value is not None
    return value < best if catalogue.METRICS[metric].falls else value > best
