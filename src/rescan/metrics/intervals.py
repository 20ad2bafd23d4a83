"""95 % intervals that hold for few cases, too: what the bootstrap says, held back by how many units a score rests on.

A percentile interval of the bootstrap has no width where every replicate is equal: one of 10 cases that are all right
covers the truth as rarely as 50 % of the time. Coverage of what is here, by simulation: docs/intervals.md.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy.stats import chi2, norm
from scipy.stats import t as student

from rescan.catalogue import METRICS
from rescan.metrics.counted import Array
from rescan.metrics.run_rows import RunRows

Z95 = float(norm.ppf(0.975))
FEW = 3


def wilson(value: float, n: float) -> tuple[float, float]:
    """Wilson's score interval, 95 %, of a proportion of n (Wilson 1927)."""
    center = (value + Z95**2 / (2 * n)) / (1 + Z95**2 / n)
    half = Z95 / (1 + Z95**2 / n) * math.sqrt(value * (1 - value) / n + Z95**2 / (4 * n**2))
    return max(0.0, center - half), min(1.0, center + half)


def units_behind(name: str, runs: Sequence[RunRows]) -> list[float]:
    """The number of units that a metric rests on if the rows of a unit are right or wrong together.

    Runs over the same units count once, those over different ones (the validation parts of folds) add up.

    Of a class's sensitivity and AUPRC, those that have it; of its specificity, those without; of PPV and NPV, those
    that are predicted to have it or not; of its AUROC 4mn / (m + n + 2), m with and n without it: at an area near 1 the
    variance by Hanley and McNeil (1982) is that of a proportion of so many; at most all. Of what weighs the classes
    equally, K² / Σ 1/m_k, at most all units.

    Returns:
        One number per class where the metric has one per class, else one.
    """
    units = [np.unique(run.unit) for run in runs]
    share = len(np.unique(np.concatenate(units))) / sum(len(own) for own in units)
    return (share * np.sum([_units_of_run(METRICS[name].rests_on, run) for run in runs], axis=0)).tolist()


def _units_of_run(rests_on: str, run: RunRows) -> list[float]:
    everything = float(len(np.unique(run.unit)))
    if rests_on == "units":
        return [everything]
    numbers = range(run.classes)
    if rests_on in ("predicted", "not_predicted"):
        wanted = rests_on == "predicted"
        return [float(len(np.unique(run.unit[run.predicted_as(k) == wanted]))) for k in numbers]
    having, lacking = (
        np.array([len(np.unique(run.unit[run.of_class(k) == wanted])) for k in numbers], float)
        for wanted in (True, False)
    )
    if rests_on == "classes":
        return [together(having.tolist(), everything)]
    both = 4 * having * lacking / (having + lacking + 2)
    values = {"class": having, "others": lacking, "both": np.minimum(everything, both)}[rests_on]
    return values.tolist()


def together(units: Sequence[float], everything: float) -> float:
    """The number of units behind the mean over K classes that rest on some each; at most all."""
    return min(everything, len(units) ** 2 / sum(1 / n for n in units)) if all(units) else 0.0


def score_interval(values: Array, variance: float, units: float, lowest: float, highest: float) -> tuple[float, float]:
    """The interval of a mean over runs of a metric between two bounds: Wilson's, of an effective number of cases.

    Where up to three of these err, or do not, the limit beside 0 or 1 is Poisson's.

    That number lies between the one that gives the bootstrap's variance and that of the units: the first counts for
    e / (e + 1), where e = units × distance of the nearest run to its bound is about how many units err. So few errors
    say little about how errors are correlated, and none says nothing.

    Args:
        values: (R,) the metric of each run.
        variance: Of the mean over runs, as the bootstrap has it.
        units: The number of units that the metric rests on (`units_behind`), > 0.
        lowest: The metric's lower bound.
        highest: Its upper bound.
    """
    span = highest - lowest
    shares = (values - lowest) / span
    share = float(np.clip(shares.mean(), 0, 1))
    errors = units * float(np.minimum(shares, 1 - shares).min())
    spread = share * (1 - share)
    if errors <= 0 or not spread:
        effective = units
    else:
        effective = (errors + 1) / (errors * variance / span**2 / spread + 1 / units)
    low, high = wilson(share, effective)
    low = min(low, _of_few(effective * share, effective))
    high = max(high, 1 - _of_few(effective * (1 - share), effective))
    return lowest + span * low, lowest + span * high


def _of_few(cases: float, n: float) -> float:
    """The lower limit of a share of up to three cases of n, where Wilson's is too high (Brown, Cai & DasGupta 2001)."""
    return float(chi2.ppf(0.05, 2 * cases)) / 2 / n if 0 < cases <= FEW else 1.0


def log_interval(value: float, variance: float, units: int) -> tuple[float, float]:
    """The interval of a mean of positive numbers without an upper bound, by Student's t on its logarithm.

    Returns:
        NaN twice of fewer than two units.
    """
    if units < 2 or value <= 0:
        return math.nan, math.nan
    factor = math.exp(float(student.ppf(0.975, units - 1)) * math.sqrt(variance) / value)
    return value / factor, value * factor


def least_half_width(name: str, runs: Sequence[RunRows]) -> float:
    """The least half of the interval of a paired difference of two arms: 0 of n errors may be as many as Wilson says.

    Two arms that are right on the same 20 cases may yet differ on the next; the bootstrap of their difference has no
    width. With four units or more on which the arms differ, the bootstrap's interval is wider than this.

    Args:
        name: The metric.
        runs: Those of one of the arms.
    """
    if not METRICS[name].rests_on:
        return 0.0
    behind = units_behind(name, runs)
    units = behind[0] if len(behind) == 1 else together(behind, float(len(runs[0].features)))
    return (1 - METRICS[name].lowest) * wilson(0.0, max(units, 1))[1]
