"""Cut points that turn a grade on a line into a class."""

from __future__ import annotations

import numpy as np

from rescan.heads.head import Array, Indices

ROUNDS = 50


def rounding(classes: int) -> Array:
    """The cut points of rounding: .5, 1.5, …, (K − 1,)."""
    return np.arange(classes - 1, dtype=float) + 0.5


def cut(grades: Array, cuts: Array) -> Indices:
    """The class of each grade (n,): how many of the rising cut points (K − 1,) it reaches."""
    return np.searchsorted(cuts, grades, side="right")


def optimized(grades: Array, target: Indices, classes: int) -> Array:
    """The cut points with the highest quadratic kappa: the optimum itself, not a local one.

    With quadratic weights 1 − kappa is a ratio of two sums over the items, Σ (t − p)² to Σ mean_j (t_j − p)², so
    Dinkelbach's iteration (1967) finds the optimum: each round minimizes the first less λ times the second over all
    rising labelings of the sorted grades, which dynamic programming does, and takes the ratio reached as the next λ.

    Args:
        grades: (n,) on a line.
        target: (n,) class indices.
        classes: K.

    Returns:
        (K − 1,) rising; halfway between the grades that they part. Those of rounding if the targets are all alike.
    """
    if len(np.unique(target)) < 2:
        return rounding(classes)
    values, place = np.unique(grades, return_inverse=True)
    labels = np.arange(classes)
    errors, chance = np.zeros((len(values), classes)), np.zeros((len(values), classes))
    np.add.at(errors, place, (target[:, None] - labels) ** 2)
    np.add.at(chance, place, np.broadcast_to(((target[:, None] - labels) ** 2).mean(0), (len(target), classes)))
    ratio, starts = np.inf, _starts(errors)
    for _ in range(ROUNDS):
        chosen = np.searchsorted(starts, np.arange(len(values)), side="right")
        rows = np.arange(len(values))
        reached = errors[rows, chosen].sum() / max(chance[rows, chosen].sum(), 1e-12)
        if reached >= ratio - 1e-12:
            break
        ratio, best = reached, starts
        starts = _starts(errors - ratio * chance)
    edges = np.concatenate([[values[0] - 1], (values[1:] + values[:-1]) / 2, [values[-1] + 1]])
    return edges[best]


def _starts(costs: Array) -> Indices:
    """Where labels 1 … K − 1 start in the cheapest rising labeling of rows: (K − 1,), each in 0 … n.

    Args:
        costs: (n, K) of giving row i label k.
    """
    sums = np.vstack([np.zeros(costs.shape[1]), np.cumsum(costs, axis=0)])  # (n + 1, K): of the first i rows
    best, starts = sums[:, 0], []
    for label in range(1, costs.shape[1]):
        # Label `label` starts at row j: the first j rows cost best[j], the rest sums[i] − sums[j].
        before = best - sums[:, label]
        lowest = np.minimum.accumulate(before)
        first = np.maximum.accumulate(np.where(before == lowest, np.arange(len(before)), 0))
        starts.append(first)
        best = lowest + sums[:, label]
    end, places = len(costs), []
    for first in reversed(starts):
        end = int(first[end])
        places.append(end)
    return np.array(places[::-1], dtype=np.intp)
