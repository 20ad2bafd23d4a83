"""Metrics of how rows are ranked by a score: weights accumulated down the ranking."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rescan.metrics.counted import Array, Indices, ratio


class Ranking(NamedTuple):
    """The rows of a run by falling score of one class."""

    unit: Indices  # (n,)
    positive: NDArray[np.bool_]  # (n,)
    last: Indices | slice  # (G,): the last row of every distinct score; all rows if no two are equal


def rank(scores: Array, positive: NDArray[np.bool_], unit: Indices) -> Ranking:
    """Rank rows by their scores (n,), the highest first; `positive` and `unit` are theirs, (n,) each."""
    order = np.argsort(-scores, kind="stable")
    last = np.flatnonzero(np.diff(scores[order], append=np.inf))
    return Ranking(unit[order], positive[order], last if len(last) < len(scores) else slice(None))


def accumulate(ranking: Ranking, weights: Array) -> tuple[Array, Array]:
    """Accumulate weights (B, U) down a ranking: true and false positives, each (B, G), at every distinct score."""
    rows = weights[:, ranking.unit]
    everything = np.cumsum(rows, axis=1)[:, ranking.last]
    rows *= ranking.positive
    true_positives = np.cumsum(rows, axis=1)[:, ranking.last]
    return true_positives, everything - true_positives


def auroc(true_positives: Array, false_positives: Array) -> Array:
    """Area under the ROC curve by trapezoids, so that ties count half: (B, G) and (B, G) accumulated → (B,)."""
    steps = np.diff(false_positives, axis=1, prepend=0)
    heights = true_positives - np.diff(true_positives, axis=1, prepend=0) / 2
    return ratio(np.einsum("bg,bg->b", steps, heights), true_positives[:, -1] * false_positives[:, -1])


def average_precision(true_positives: Array, false_positives: Array) -> Array:
    """Sum of precision × step of recall, without interpolation: (B, G) and (B, G) accumulated → (B,)."""
    predicted = true_positives + false_positives
    precision = np.divide(true_positives, predicted, out=np.zeros_like(predicted), where=predicted > 0)
    steps = np.diff(true_positives, axis=1, prepend=0)
    return ratio(np.einsum("bg,bg->b", steps, precision), true_positives[:, -1])
