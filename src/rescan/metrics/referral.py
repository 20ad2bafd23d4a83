"""Selective prediction: what the rest scores if the least sure rows are referred to a human (El-Yaniv and Wiener 2010).

Each run refers the same share of its rows; then the rows of all runs are taken together.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

from rescan.metrics.counted import Array, Indices
from rescan.metrics.recalibration import Ends, covariance, share, unit_sums

REFERRED = np.arange(0, 0.901, 0.02).round(2)  # shares of the rows


class Answers(NamedTuple):
    """What networks answer, and how sure they are: n rows of all runs."""

    right: NDArray[np.bool_]  # (n,)
    confidence: Array  # (n,)
    unit: Indices  # (n,) in 0 … U−1, each of them there
    run: Indices  # (n,) in 0 … R−1, each of them there


def kept(answers: Answers, referred: Array = REFERRED) -> Array:
    """How much of each row the networks answer themselves, if shares (G,) are referred, the least sure rows first.

    Returns:
        (n, G) in [0, 1]: rows of one run that are equally sure are kept by equal parts.
    """
    parts = np.empty((len(answers.right), len(referred)))
    for run in range(int(answers.run.max()) + 1):
        own = answers.run == run
        _, place, counts = np.unique(-answers.confidence[own], return_inverse=True, return_counts=True)
        before = np.cumsum(counts) - counts  # rows that are surer
        budget = (1 - referred) * own.sum()
        parts[own] = np.clip((budget - before[place][:, None]) / counts[place][:, None], 0, 1)
    return parts


def accuracies(answers: Answers, parts: Array, among: NDArray[np.bool_] | None = None) -> list[Ends]:
    """The share of right answers among what is kept, (G,), with intervals.

    Args:
        answers: The answers.
        parts: (n, G) of `kept`.
        among: (n,) which rows count, such as those of the positive class; all if not given. Undefined without one.
    """
    right = answers.right.astype(float)
    weights = parts if among is None else parts * among[:, None]
    columns = np.ascontiguousarray(weights.T)
    return [share(right, column, answers.unit, answers.run) if column.any() else Ends() for column in columns]


def area_gain(answers: Answers, parts: Array) -> Ends:
    """How much fewer errors the order by confidence leaves than a random one: error rate − area under risk-coverage.

    The area is the mean error rate of what is kept, over the shares (Geifman and El-Yaniv 2017); of a random order it
    is the error rate of all. The interval is Student's t over units; undefined of a single one.
    """
    totals = parts.sum(0)
    wrong = ~answers.right
    risks = (parts * wrong[:, None]).sum(0) / totals
    # what each row adds to every risk, less the risk itself: the first order of a draw of other units
    of_area = wrong * (parts @ (1 / totals)) - parts @ (risks / totals)
    influence = (wrong - risks[0]) / len(wrong) - of_area / len(totals)
    value, units = float(risks[0] - risks.mean()), int(answers.unit.max()) + 1
    if units < 2:
        return Ends(value)
    variance = covariance(unit_sums(influence[:, None], answers.unit, units))[0, 0]
    half = float(student.ppf(0.975, units - 1)) * math.sqrt(variance)
    return Ends(value, value - half, value + half)


def needed(found: list[Ends], target: float, referred: Array = REFERRED) -> tuple[float | None, float | None]:
    """The least share referred from which on the accuracy stays at a target, and from which on its interval does."""
    values, lows = ([getattr(ends, name) >= target - 1e-9 for ends in found] for name in ("value", "low"))
    return _from_on(values, referred), _from_on(lows, referred)


def _from_on(reached: list[bool], referred: Array) -> float | None:
    last = next((place for place in range(len(reached), 0, -1) if not reached[place - 1]), 0)
    return float(referred[last]) if last < len(reached) else None
