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


class Steps(NamedTuple):
    """Weights accumulated at those P distinct scores that a positive row has: nothing else adds to an area."""

    step: Array  # (B, P): of the positive rows of the score
    true_positives: Array  # (B, P): to the score and with it
    predicted: Array  # (B, P): of all rows to the score and with it
    before: Array  # (B, P): of all rows above the score
    total: Array  # (B,)


def steps(ranking: Ranking, weights: Array) -> Steps:
    """Accumulate weights (B, U) down a ranking, at the scores of its positive rows."""
    rows = np.flatnonzero(ranking.positive)
    accumulated = np.take(weights, ranking.unit, axis=1)
    step = accumulated[:, rows]
    np.cumsum(accumulated, axis=1, out=accumulated)
    if isinstance(ranking.last, slice):
        predicted, before = accumulated[:, rows], None
    else:
        scores, first = np.unique(np.searchsorted(ranking.last, rows), return_index=True)
        step = np.add.reduceat(step, first, axis=1) if len(first) else step
        predicted, before = accumulated[:, ranking.last[scores]], accumulated[:, ranking.last[scores - 1]]
        before[:, scores == 0] = 0
    before = predicted - step if before is None else before
    return Steps(step, np.cumsum(step, axis=1), predicted, before, accumulated[:, -1])


def auroc(at: Steps) -> Array:
    """Area under the ROC curve: the share of pairs whose positive row has the higher score; ties count half: (B,)."""
    positives = at.step.sum(1)
    negatives = at.total - positives
    # of negative rows above the score, and with it
    above = at.before + at.step + at.predicted - 2 * at.true_positives
    pairs = np.einsum("bp,bp->b", at.step, negatives[:, None] - above / 2)
    return ratio(pairs, positives * negatives)


def average_precision(at: Steps) -> Array:
    """Sum of precision × step of recall, without interpolation: (B,)."""
    precision = np.divide(at.true_positives, at.predicted, out=np.zeros_like(at.predicted), where=at.predicted > 0)
    return ratio(np.einsum("bp,bp->b", at.step, precision), at.step.sum(1))
