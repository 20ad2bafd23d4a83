"""Scores with 95 % intervals, from a bootstrap over units: patients, else groups."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import numpy as np

from rescan.catalogue import METRICS
from rescan.metrics.counted import Array
from rescan.metrics.intervals import log_interval, score_interval, together, units_behind
from rescan.metrics.run_rows import RunRows, compute, headline
from rescan.results.metrics_file import Estimate, Interval

REPLICATES = 2000
CHUNK = 300_000  # weights in memory at once: larger blocks leave the processor's cache


def resamples(units: int, rows: int, replicates: int = REPLICATES, seed: int = 0) -> Iterator[Array]:
    """Yield the weights of bootstrap replicates: how often each of U units was drawn in U draws with replacement.

    Args:
        units: U.
        rows: Rows of the largest run, from which the size of a block follows.
        replicates: B, over all blocks.
        seed: Of the draws.

    Yields:
        (b, U) blocks whose b add up to B.
    """
    generator = np.random.default_rng(seed)
    block = max(1, CHUNK // max(rows, units))
    for start in range(0, replicates, block):
        size = min(block, replicates - start)
        drawn = generator.integers(units, size=(size, units)) + units * np.arange(size)[:, None]
        yield np.bincount(drawn.ravel(), minlength=size * units).reshape(size, units).astype(float)


def distributions(
    metrics: Sequence[str], runs: Sequence[RunRows], replicates: int = REPLICATES, seed: int = 0
) -> dict[str, Array]:
    """Bootstrap every metric of several runs with the same resampled units.

    Returns:
        By name (R, B), or (R, B, K) where the metric has a value per class.
    """
    units = len(runs[0].features)
    blocks: dict[str, list[Array]] = {name: [] for name in metrics}
    for weights in resamples(units, max(len(run.target) for run in runs), replicates, seed):
        of_runs = [compute(metrics, run, weights) for run in runs]
        for name, of_metric in blocks.items():
            of_metric.append(np.stack([values[name] for values in of_runs]))
    return {name: np.concatenate(of_metric, axis=1) for name, of_metric in blocks.items()}


def percentile(values: Array) -> tuple[float, float]:
    """Percentile 95 % interval of replicates (B,); undefined ones (NaN) are left out; (NaN, NaN) if none is left."""
    defined = values[~np.isnan(values)]
    if not defined.size:
        return math.nan, math.nan
    low, high = np.percentile(defined, [2.5, 97.5])
    return float(low), float(high)


def _interval(name: str, values: Array, replicates: Array, units: float, everything: int, highest: float) -> Interval:
    """The mean over runs with its interval.

    Args:
        name: The metric.
        values: (R,) of each run.
        replicates: (R, B) of each run and replicate.
        units: The number of units that the metric rests on.
        everything: U, of all units.
        highest: The metric's upper bound.
    """
    method: Literal["wilson", "log t"] = "wilson" if METRICS[name].rests_on else "log t"
    value, of_mean = float(values.mean()), replicates.mean(0)
    of_mean = of_mean[~np.isnan(of_mean)]
    if math.isnan(value):
        return Interval(value=None, low=None, high=None, method=method)
    variance = float(of_mean.var()) * everything / (everything - 1) if everything > 1 and of_mean.size else 0.0
    if method == "log t":
        low, high = log_interval(value, variance, everything)
    else:
        low, high = score_interval(values, variance, max(units, 1), METRICS[name].lowest, highest)
    return Interval(value=value, low=_without_nan(low), high=_without_nan(high), method=method)


def estimate(
    metrics: Sequence[str], runs: Sequence[RunRows], seeds: Sequence[int], classes: Sequence[str], positive: int | None
) -> dict[str, Estimate]:
    """Every metric as the mean over runs, with its interval.

    The interval is that of other patients for these networks: a replicate's value is the mean over runs with the same
    resampled units. What other networks would give is `seed_sd`.

    Args:
        metrics: Names of metrics.
        runs: R runs over the same units.
        seeds: (R,) the seed of each run.
        classes: K names.
        positive: Index of the positive class of two, else None.

    Returns:
        The estimates by name.
    """
    ones = np.ones((1, len(runs[0].features)))
    points = [compute(metrics, run, ones) for run in runs]
    resampled = distributions(metrics, runs)
    everything = len(np.unique(np.concatenate([run.unit for run in runs])))
    estimates: dict[str, Estimate] = {}
    for name in metrics:
        values, replicates = np.stack([of_run[name][0] for of_run in points]), resampled[name]
        behind = units_behind(name, runs) if METRICS[name].rests_on else [0.0]
        highest = 2.0 if name == "brier" and len(classes) > 2 else 1.0
        units, of_classes = behind[0], {}
        if values.ndim == 2:
            of_classes = {
                label: _interval(name, values[:, k], replicates[:, :, k], behind[k], everything, highest)
                for k, label in enumerate(classes)
            }
            of_positive = positive is not None and METRICS[name].of_positive
            units = behind[positive] if positive is not None and of_positive else together(behind, everything)
            values, replicates = headline(name, values, positive), headline(name, replicates, positive)
        estimates[name] = Estimate(
            **_interval(name, values, replicates, units, everything, highest).model_dump(),
            runs=[_without_nan(value) for value in values.tolist()],
            seed_sd=_without_nan(_seed_sd(values, seeds)),
            **({"classes": of_classes} if of_classes else {}),
        )
    return estimates


def _seed_sd(values: Array, seeds: Sequence[int]) -> float | None:
    """The standard deviation over seeds of the mean over folds; None for one seed."""
    means = [values[np.array(seeds) == seed].mean() for seed in sorted(set(seeds))]
    return float(np.std(means, ddof=1)) if len(means) > 1 else None


def _without_nan(value: Any) -> Any:
    return None if isinstance(value, float) and math.isnan(value) else value
