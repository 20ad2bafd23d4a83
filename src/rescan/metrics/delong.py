"""The test of DeLong et al. (1988): do two scores of the same independent rows differ in their area under the ROC?

By midranks, as Sun and Xu (2014) compute it.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm, rankdata

from rescan.metrics.counted import Array


class AreaDifference(NamedTuple):
    """One area less the other, its standard error, and the two-sided p; NaN where it is undefined."""

    difference: float
    error: float
    p: float


def delong(positive: NDArray[np.bool_], ours: Array, theirs: Array) -> AreaDifference:
    """Compare the areas of two scores.

    Args:
        positive: (n,) which rows are positive; two rows or more of each kind are needed.
        ours: (n,) a score of each row, the higher the more likely positive.
        theirs: (n,) another score of the same rows.
    """
    m, n = int(positive.sum()), int((~positive).sum())
    if min(m, n) < 2:
        return AreaDifference(math.nan, math.nan, math.nan)
    parts = [_placements(scores[positive], scores[~positive]) for scores in (ours, theirs)]
    of_positives, of_negatives = (parts[0][kind] - parts[1][kind] for kind in (0, 1))
    difference = float(of_positives.mean())
    error = math.sqrt(of_positives.var(ddof=1) / m + of_negatives.var(ddof=1) / n)
    if error == 0:
        return AreaDifference(difference, error, 1.0 if difference == 0 else math.nan)
    return AreaDifference(difference, error, float(2 * norm.sf(abs(difference) / error)))


def _placements(positives: Array, negatives: Array) -> tuple[Array, Array]:
    """Of each positive row the share of negative ones below it, of each negative row that of positive ones above it."""
    m, n = len(positives), len(negatives)
    ranks = rankdata(np.concatenate([positives, negatives]))
    return (ranks[:m] - rankdata(positives)) / n, 1 - (ranks[m:] - rankdata(negatives)) / m
