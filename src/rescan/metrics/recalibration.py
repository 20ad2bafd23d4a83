"""How well probabilities of one outcome are calibrated: bins of equal mass, calibration error, slope and intercept.

The rows of all runs are taken together. Variances are those of a draw of other units (patients, else groups), in closed
form, as a bootstrap over units would give them: what the images of a patient, and the runs, have in common counts once.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import expit
from scipy.stats import t as student

from rescan.metrics.counted import Array, Indices
from rescan.metrics.intervals import score_interval

MOST_BINS = 10
UNITS_PER_BIN = 10
TINY = 1e-12  # probabilities are held away from 0 and 1 by this
STEPS, LONGEST, CONVERGED = 100, 2.0, 1e-8  # of Newton's method
DRAWS = 2000
QUANTILES = (0.5, 0.975, 0.025)  # where what was observed lies among draws: at the value, low and high


class Ends(NamedTuple):
    """A value and its 95 % interval; NaN where undefined."""

    value: float = math.nan
    low: float = math.nan
    high: float = math.nan


class Forecast(NamedTuple):
    """Probabilities of an outcome and whether it came: n rows of all runs."""

    probability: Array  # (n,)
    present: NDArray[np.bool_]  # (n,)
    unit: Indices  # (n,) in 0 … U−1, each of them there: what is drawn together
    run: Indices  # (n,) in 0 … R−1

    @property
    def units(self) -> int:
        """U."""
        return int(self.unit.max()) + 1

    @property
    def gap(self) -> Array:
        """(n,) outcome − probability."""
        gaps: Array = self.present - self.probability
        return gaps

    @property
    def log_odds(self) -> Array:
        """(n,) the logits of the probabilities, finite."""
        inside = np.clip(self.probability, TINY, 1 - TINY)
        return np.log(inside) - np.log1p(-inside)


class Mass(NamedTuple):
    """One bin of probabilities.

    Attributes:
        rows: How many rows it holds.
        lowest: Their lowest probability.
        highest: Their highest one.
        predicted: Their mean probability.
        observed: The share of them whose outcome came, with its interval.
    """

    rows: int
    lowest: float
    highest: float
    predicted: float
    observed: Ends


def unit_sums(values: Array, unit: Indices, units: int) -> Array:
    """Sums (U, m) over the rows (n, m) of each unit."""
    return np.stack([np.bincount(unit, column, units) for column in values.T], axis=1)


def covariance(sums: Array) -> Array:
    """The covariance (m, m) of totals that U units add up to, (U, m), over draws of other units."""
    units = len(sums)
    of_totals: Array = np.einsum("ui,uj->ij", sums, sums) * (units / max(units - 1, 1))
    return of_totals


def share(values: Array, weights: Array, unit: Indices, run: Indices) -> Ends:
    """The weighted mean of values in [0, 1] with its interval, of as many cases as the units are worth.

    Args:
        values: (n,).
        weights: (n,) ≥ 0, not all 0.
        unit: (n,) as of a forecast.
        run: (n,) as of a forecast.
    """
    total, behind = float(weights.sum()), int(np.count_nonzero(np.bincount(unit, weights)))
    mean = float((weights * values).sum()) / total
    residuals = (weights * (values - mean))[:, None]
    variance = float(covariance(unit_sums(residuals, unit, int(unit.max()) + 1))[0, 0]) / total**2
    of_runs = np.bincount(run, weights)
    means = np.bincount(run, weights * values)[of_runs > 0] / of_runs[of_runs > 0]
    nearest = means[np.minimum(means, 1 - means).argmin()]  # to a bound: of the runs, it alone matters beside the mean
    return Ends(mean, *score_interval(np.array([nearest, 2 * mean - nearest]), variance, behind, 0.0, 1.0))


def bin_numbers(forecast: Forecast) -> Indices:
    """The bins (n,) of rows by rising probability: up to 10 of about equally many rows; equal ones share a bin.

    There are two at least, and no more than a tenth of the units.
    """
    wanted = int(np.clip(forecast.units // UNITS_PER_BIN, 2, MOST_BINS))
    edges = np.quantile(forecast.probability, np.arange(1, wanted) / wanted, method="inverted_cdf")
    return np.unique(np.searchsorted(edges, forecast.probability, side="left"), return_inverse=True)[1]


def masses(forecast: Forecast, bins: Indices) -> list[Mass]:
    """What each bin holds, the lowest probabilities first."""
    found = []
    for number in range(int(bins.max()) + 1):
        own = bins == number
        probability = forecast.probability[own]
        came = forecast.present[own].astype(float)
        observed = share(came, np.ones(len(came)), forecast.unit[own], forecast.run[own])
        ends = (float(probability.min()), float(probability.max()))
        found.append(Mass(len(came), *ends, float(probability.mean()), observed))
    return found


def brier(forecast: Forecast) -> Ends:
    """Mean squared distance of the probability from the outcome, in [0, 1]."""
    return share(forecast.gap**2, np.ones(len(forecast.gap)), forecast.unit, forecast.run)


def calibration_error(forecast: Forecast, bins: Indices) -> Ends:
    """The mean distance of observed from predicted shares, over bins of equal mass, without what chance adds to it.

    The plain mean of distances is too large, as chance alone moves observed shares; of resampled rows, it is so twice.
    So: under which error would chance give what was observed? That for which it is the median is the value; those for
    which it is the 97.5 % and the 2.5 % quantile are the ends. Chance moves the bins' gaps normally, with their
    covariance over units and one more unit in each bin, which errs as a coin falls; the errors asked about are the
    observed gaps times a factor. The factor 0 is consistency resampling (Bröcker and Smith 2007; Vaicenavicius et al.
    2019). The upper end is the plain mean at least: fewer gaps than chance makes are no proof of perfection.

    Returns:
        In [0, 1]; undefined of a single unit.
    """
    rows, units, number = len(bins), forecast.units, int(bins.max()) + 1
    if units < 2:
        return Ends()
    sizes, gap = np.bincount(bins), forecast.gap
    gaps = np.bincount(bins, gap) / rows
    residuals = np.zeros((rows, number))
    residuals[np.arange(rows), bins] = gap - (gaps / sizes * rows)[bins]
    of_gaps = covariance(unit_sums(residuals, forecast.unit, units))
    behind = np.array([len(np.unique(forecast.unit[bins == one])) for one in range(number)])
    of_gaps[np.diag_indices(number)] += (sizes / behind) ** 2 / 4
    lengths, directions = np.linalg.eigh(of_gaps / rows**2)
    noise = np.random.default_rng(0).normal(size=(DRAWS // 2, number)) * np.sqrt(np.maximum(lengths, 0))
    moves = np.einsum("db,cb->dc", np.concatenate([noise, -noise]), directions)
    observed = float(np.abs(gaps).sum())
    value, low, high = (min(1.0, observed * _factor(gaps, moves, observed, quantile)) for quantile in QUANTILES)
    return Ends(value, low, max(high, observed))


def _factor(gaps: Array, moves: Array, observed: float, quantile: float) -> float:
    """The factor of the gaps (m,) for which `observed` is a quantile of what chance (d, m) makes of them; 0 or more."""

    def excess(factor: float) -> float:
        return float(np.quantile(np.abs(factor * gaps + moves).sum(1), quantile)) - observed

    if excess(0.0) >= 0:
        return 0.0
    most = 1.0
    while excess(most) < 0:
        most *= 2
    return float(brentq(excess, 0.0, most, xtol=1e-4))


def slope(forecast: Forecast) -> Ends:
    """The slope of logistic recalibration (Cox 1958): 1 if as sure as it may be, < 1 if too sure.

    Undefined for the reasons of `without_slope`.
    """
    if without_slope(forecast):
        return Ends()
    log_odds = forecast.log_odds
    mean, scale = log_odds.mean(), log_odds.std()
    inputs = np.stack([np.ones(len(log_odds)), (log_odds - mean) / scale], axis=1)
    return Ends(*(end / scale for end in _logistic(forecast, inputs, np.zeros(len(log_odds)))))


def intercept(forecast: Forecast) -> Ends:
    """Calibration in the large: what the log odds lack on average, the slope being 1; above 0, they are too low.

    Undefined where the outcome always or never came.
    """
    if forecast.present.all() or not forecast.present.any():
        return Ends()
    return _logistic(forecast, np.ones((len(forecast.present), 1)), forecast.log_odds)


def without_slope(forecast: Forecast) -> str:
    """Why logistic recalibration has no slope; "" if it has one."""
    log_odds, present = forecast.log_odds, forecast.present
    if present.all() or not present.any():
        return "all have it" if present.any() else "none has it"
    if np.ptp(log_odds) == 0:
        return "all have the same probability"
    having, lacking = log_odds[present], log_odds[~present]
    if having.min() >= lacking.max() or having.max() <= lacking.min():
        return "one threshold tells the two apart without an error, so that no slope fits best"
    return ""


def _logistic(forecast: Forecast, inputs: Array, offset: Array) -> Ends:
    """The last coefficient of a logistic regression of the outcome, with its interval.

    The variance is the sandwich's over units (Liang and Zeger 1986), the quantile that of t with as many degrees of
    freedom as there are units of the rarer outcome, less one.

    Args:
        forecast: The outcomes, some of either kind and not separated.
        inputs: (n, m).
        offset: (n,) added to the log odds.
    """
    coefficients = np.zeros(inputs.shape[1])
    for _ in range(STEPS):
        expected = expit(inputs @ coefficients + offset)
        information = np.einsum("ni,n,nj->ij", inputs, expected * (1 - expected), inputs)
        step = np.linalg.lstsq(information, inputs.T @ (forecast.present - expected), rcond=None)[0]
        coefficients += step * min(1.0, LONGEST / max(float(np.abs(step).max()), LONGEST))
        if np.abs(step).max() < CONVERGED:
            break
    else:
        return Ends()
    inverse = np.linalg.pinv(information)
    residuals = inputs * (forecast.present - expected)[:, None]
    variance = inverse @ covariance(unit_sums(residuals, forecast.unit, forecast.units)) @ inverse
    rarer = min(len(np.unique(forecast.unit[forecast.present == came])) for came in (True, False))
    value = float(coefficients[-1])
    if rarer < 2:
        return Ends(value)
    half = float(student.ppf(0.975, rarer - 1)) * math.sqrt(variance[-1, -1])
    return Ends(value, value - half, value + half)
