"""A threshold swept over scores: what reaches it, for many weightings of the rows at once."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rescan.metrics.counted import Array, Indices


class Sweep(NamedTuple):
    """Rows by falling score."""

    scores: Array  # (n,)
    positive: NDArray[np.bool_]  # (n,)
    unit: Indices  # (n,): what is weighted together


def sweep(scores: Array, positive: NDArray[np.bool_], unit: Indices) -> Sweep:
    """Sort rows by their scores, (n,) each, the highest first."""
    order = np.argsort(-scores, kind="stable")
    return Sweep(scores[order], positive[order], unit[order])


def places(rows: Sweep, thresholds: Array) -> Indices:
    """How many rows reach each threshold: as `thresholds`; n where that is NaN."""
    return np.searchsorted(-rows.scores, -thresholds, side="right")


def accumulated(rows: Sweep, weights: Array) -> tuple[Array, Array]:
    """The weights of the positive and of the other rows among the first 0, 1, …, n: (B, n + 1) each.

    Args:
        rows: n rows.
        weights: (B, U) of the units, ≥ 0.
    """
    of_rows = np.zeros((len(weights), len(rows.scores) + 1))
    of_rows[:, 1:] = weights[:, rows.unit]
    everything = np.cumsum(of_rows, axis=1)
    of_rows[:, 1:] *= rows.positive
    positive = np.cumsum(of_rows, axis=1)
    return positive, everything - positive


def cuts(rows: Sweep) -> tuple[Indices, Array]:
    """The places between different scores, first the one before all rows, and a threshold for each.

    Returns:
        (G + 1,) numbers of rows that reach the threshold, and (G + 1,) thresholds: in the middle between the scores
        beside it; above all rows between the highest score and 1, or a little above it; the lowest score for all rows.
    """
    ends = np.concatenate([[0], np.flatnonzero(np.diff(rows.scores, append=-np.inf)) + 1])
    values = rows.scores[ends[1:] - 1]
    middle = np.append((values[:-1] + values[1:]) / 2, values[-1])
    below = np.append(values[1:], -np.inf)
    highest = max((values[0] + 1) / 2, np.nextafter(values[0], np.inf))
    return ends, np.concatenate([[highest], np.where(middle > below, middle, values)])
