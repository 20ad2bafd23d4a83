"""Validation scores of an epoch: what decides which weights are kept and when a stage ends."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Optional

import numpy as np
import torch

from rescan import catalogue
from rescan.heads import outputs as heads
from rescan.metrics import counted
from rescan.metrics.counted import Counts
from rescan.metrics.run_rows import compute, prepare_labels
from rescan.training.loss_functions import total

Scores = dict[str, Optional[float]]  # by metric; None where undefined

# As scikit-learn defines them: averages over the classes leave out those where a metric is undefined.
METRICS = {
    "accuracy": counted.accuracy,
    "balanced_accuracy": counted.sensitivity,
    "macro_f1": counted.f1,
    "quadratic_kappa": counted.quadratic_kappa,
}


def score(
    losses: Mapping[Any, dict[str, Any]], outputs: dict[str, np.ndarray], targets: np.ndarray, classes: int, head: str
) -> Scores:
    """Score a network's outputs for the validation images.

    Args:
        losses: The stage's losses, by head.
        outputs: For each head (n, K_head) float32.
        targets: (n,) int64 in [0, K).
        classes: K.
        head: The head that the classes are read from.

    Returns:
        `loss` (None if it is not finite), `accuracy`, `balanced_accuracy`, `macro_f1` and `quadratic_kappa` (None if it
        is undefined), as scikit-learn defines them. Of several labels `loss`, and `auroc` and `macro_f1`, means over
        the labels with and without which there are images.
    """
    tensors = {name: torch.from_numpy(output) for name, output in outputs.items()}
    loss = float(total(losses, tensors, torch.from_numpy(targets), classes))
    if catalogue.HEADS[head].of_several:
        return {"loss": loss if math.isfinite(loss) else None, **_of_labels(outputs[head], targets, classes)}
    predictions = heads.HEADS[head].decide(outputs[head], classes)
    counts = Counts.of(counted.confusion_matrix(targets, predictions, classes))
    scores = {name: _mean_of_defined(metric(counts)) for name, metric in METRICS.items()}
    return {"loss": loss if math.isfinite(loss) else None, **scores}


def _of_labels(output: np.ndarray, targets: np.ndarray, classes: int) -> Scores:
    """The mean AUROC and F1 of labels, of their logits (n, K) and targets (n,)."""
    units = np.zeros(len(targets), np.intp)
    rows = prepare_labels(targets, heads.HEADS["multilabel"].decide(output, classes), units, 1, classes, output)
    values = compute(("auroc", "macro_f1"), rows, np.ones((1, 1)))
    return {name: _mean_of_defined(value) for name, value in values.items()}


def _mean_of_defined(values: counted.Array) -> float | None:
    """The mean of the values that are not NaN; None if all are."""
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if defined.size else None


def better(metric: str, scores: Scores, best: float | None) -> bool:
    """Whether an epoch's score beats the best before (None: there is none yet)."""
    value = scores[metric]
    if value is None or best is None:
        return value is not None
    return value < best if metric == "loss" else value > best
