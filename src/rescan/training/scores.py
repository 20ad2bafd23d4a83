"""Validation scores of an epoch: what decides which weights are kept and when a stage ends."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from rescan.training.losses import total


def score(losses: Mapping[Any, dict[str, Any]], logits: np.ndarray, targets: np.ndarray) -> dict[str, float | None]:
    """Score validation logits.

    Args:
        losses: The stage's losses, by head.
        logits: (n, K) float32.
        targets: (n,) int64 in [0, K).

    Returns:
        `loss` (None if it is not finite), `accuracy`, `balanced_accuracy` and `macro_f1`, as scikit-learn defines them.
    """
    loss = float(total(losses, {"classification": torch.from_numpy(logits)}, torch.from_numpy(targets)))
    predictions, classes = logits.argmax(axis=1), logits.shape[1]
    confusion = np.bincount(targets * classes + predictions, minlength=classes**2).reshape(classes, classes)
    right, true, predicted = np.diag(confusion), confusion.sum(axis=1), confusion.sum(axis=0)
    there, named = true > 0, true + predicted > 0
    return {
        "loss": loss if math.isfinite(loss) else None,
        "accuracy": float(right.sum() / true.sum()),
        "balanced_accuracy": float(np.mean(right[there] / true[there])),
        "macro_f1": float(np.mean(2 * right[named] / (true + predicted)[named])),
    }


def better(metric: str, scores: dict[str, float | None], best: float | None) -> bool:
    """Whether an epoch's score beats the best before (None: there is none yet)."""
    value = scores[metric]
    if value is None or best is None:
        return value is not None
    return value < best if metric == "loss" else value > best
