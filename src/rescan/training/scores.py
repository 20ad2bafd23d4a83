"""Validation scores of an epoch: what decides which weights are kept and when a stage ends."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from rescan.heads import outputs as heads
from rescan.training.loss_functions import total


def score(
    losses: Mapping[Any, dict[str, Any]], outputs: dict[str, np.ndarray], targets: np.ndarray, classes: int, head: str
) -> dict[str, float | None]:
    """Score a network's outputs for the validation images.

    Args:
        losses: The stage's losses, by head.
        outputs: For each head (n, K_head) float32.
        targets: (n,) int64 in [0, K).
        classes: K.
        head: The head that the classes are read from.

    Returns:
        `loss` (None if it is not finite), `accuracy`, `balanced_accuracy`, `macro_f1` and `quadratic_kappa` (None if it
        is undefined), as scikit-learn defines them.
    """
    tensors = {name: torch.from_numpy(output) for name, output in outputs.items()}
    loss = float(total(losses, tensors, torch.from_numpy(targets), classes))
    predictions = heads.HEADS[head].decide(outputs[head], classes)
    confusion = np.bincount(targets * classes + predictions, minlength=classes**2).reshape(classes, classes)
    right, true, predicted = np.diag(confusion), confusion.sum(axis=1), confusion.sum(axis=0)
    there, named = true > 0, true + predicted > 0
    grades = np.arange(classes)
    penalty = (grades[:, None] - grades) ** 2
    chance = (penalty * np.outer(true, predicted)).sum() / true.sum()
    return {
        "loss": loss if math.isfinite(loss) else None,
        "accuracy": float(right.sum() / true.sum()),
        "balanced_accuracy": float(np.mean(right[there] / true[there])),
        "macro_f1": float(np.mean(2 * right[named] / (true + predicted)[named])),
        "quadratic_kappa": float(1 - (penalty * confusion).sum() / chance) if chance else None,
    }


def better(metric: str, scores: dict[str, float | None], best: float | None) -> bool:
    """Whether an epoch's score beats the best before (None: there is none yet)."""
    value = scores[metric]
    if value is None or best is None:
        return value is not None
    return value < best if metric == "loss" else value > best
